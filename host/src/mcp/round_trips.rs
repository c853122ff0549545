//! A call and its client: messages on the way, and the rounds in which a plugin gets what it asks for.
//!
//! A plugin always does the same: it ends with its questions and is called again with the answers. To a modern client
//! that is a result, `input_required`, and another request (MCP 2026-07-28, patterns/mrtr); a legacy client is asked on
//! the stream of its call, which waits meanwhile. No instance waits with it.
#![expect(deprecated, reason = "sampling, roots and logging are deprecated since 2026-07-28, and clients have them")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rmcp::model::{
    ErrorData, InputRequest, InputRequiredResult, InputResponses, LoggingLevel, LoggingMessageNotificationParam,
    MetaObject, ProgressNotificationParam, ProgressToken, ProtocolVersion,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::{RoleServer, ServiceError};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::content;
use super::in_flight::Signals;
use super::input;
use super::preferences::SessionState;
use super::request_state::{Purpose, RequestStates};
use super::requests::session_of;
use crate::plugins::conversation::{Conversation, Message, Outbox};
use crate::plugins::wit::input::{Answer, Capabilities, Request, Stop};
use crate::plugins::wit::log::Level;
use crate::principal::Principal;

/// How often a plugin may ask in one call of a legacy client. Modern clients count for themselves.
pub(super) const MAX_ROUNDS: usize = 10;

/// How long a legacy client may take to answer: a person has to read and decide.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// Messages on their way to the client; a call that has more waits.
const OUTBOX: usize = 16;

/// Answers by the keys of their questions.
type Answers = Vec<(String, Answer)>;

/// How long a client may leave a message unread. The call's own clock stands still meanwhile.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// What came of one round.
pub(super) enum Round<T> {
    /// The result.
    Done(T),
    /// Questions.
    Asks(Request),
}

impl<T> Round<T> {
    /// What a stop comes to where there is no result that could tell of a failure.
    ///
    /// # Errors
    /// Everything but questions.
    pub(super) fn of_stop(stop: Stop) -> Result<Self, ErrorData> {
        match stop {
            Stop::InputRequired(request) => Ok(Self::Asks(request)),
            Stop::Invalid(why) => Err(ErrorData::invalid_params(why, None)),
            Stop::Failed(why) => Err(ErrorData::internal_error(why, None)),
        }
    }
}

/// What came of a request.
pub(super) enum Ended<T> {
    /// The result.
    Done(T),
    /// The client has to come back with answers.
    InputRequired(InputRequiredResult),
    /// The questions cannot be asked of this client; in words for whoever reads the result.
    CannotAsk(String),
}

impl<T> Ended<T> {
    /// The response, where there is no result that could tell of a failure; `name_server` says in the result who answered.
    ///
    /// # Errors
    /// The questions cannot be asked.
    pub(super) fn into_response<R>(
        self,
        server: Option<MetaObject>,
        name_server: impl FnOnce(&mut T, Option<MetaObject>),
    ) -> Result<R, ErrorData>
    where
        R: From<T> + From<InputRequiredResult>,
    {
        match self {
            Self::Done(mut result) => {
                name_server(&mut result, server);
                Ok(result.into())
            }
            Self::InputRequired(mut required) => {
                required.meta = server;
                Ok(required.into())
            }
            Self::CannotAsk(why) => Err(ErrorData::internal_error(why, None)),
        }
    }
}

/// What a modern client brings back.
pub(super) struct CameBack {
    pub(super) responses: Option<InputResponses>,
    pub(super) state: Option<String>,
}

impl CameBack {
    /// Whether this is a request that was made before, with what it lacked.
    pub(super) fn has_answers(&self) -> bool {
        self.responses.is_some()
    }
}

/// Everything about a request that does not depend on what it asks for.
pub(super) struct Exchange<'a> {
    pub(super) context: &'a RequestContext<RoleServer>,
    pub(super) principal: &'a Arc<Principal>,
    pub(super) session: &'a SessionState,
    pub(super) states: &'a RequestStates,
    pub(super) detached: &'a Signals,
    pub(super) is_modern: bool,
}

impl Exchange<'_> {
    /// What the client can be asked.
    pub(super) fn askable(&self) -> Capabilities {
        let client = self.context.client_capabilities();
        client.map_or_else(Capabilities::empty, |client| input::askable(&client))
    }

    /// What a client has brought back, as the plugin gets it.
    ///
    /// # Errors
    /// -32602 for a state that is not this request's.
    pub(super) fn open(&self, purpose: &Purpose, came_back: CameBack) -> Result<(Answers, Option<Vec<u8>>), ErrorData> {
        let state = came_back.state.as_deref().map(|state| self.states.open(purpose, state)).transpose()?;
        Ok((answers_in(came_back.responses.unwrap_or_default()), state))
    }

    /// Runs rounds until there is a result, or until the client has to come back.
    ///
    /// # Errors
    /// What `round` fails with; -32602 for a state that is not this request's; -32021 for questions that a modern client
    /// cannot be asked; questions that are none.
    pub(super) async fn run<T, F>(
        &self,
        purpose: &Purpose,
        came_back: CameBack,
        round: impl Fn(Conversation) -> F,
    ) -> Result<Ended<T>, ErrorData>
    where
        F: Future<Output = Result<Round<T>, ErrorData>>,
    {
        let (mut answers, mut state) = self.open(purpose, came_back)?;
        let mut post = Post::of(self);
        for _ in 0..MAX_ROUNDS {
            let conversation = Conversation {
                caller: Some(Arc::clone(self.principal)),
                askable: Some(self.askable()),
                answers: std::mem::take(&mut answers),
                state: state.take(),
                outbox: None,
            };
            let request = match post.deliver_while(conversation, &round).await? {
                Round::Done(done) => return Ok(Ended::Done(done)),
                Round::Asks(request) => request,
            };
            let lacking = input::lacking(input::needed(&request), self.askable());
            if lacking != Capabilities::empty() {
                if self.is_modern {
                    return Err(ErrorData::missing_required_client_capability(input::declared(lacking)));
                }
                let lacking = input::named(lacking);
                return Ok(Ended::CannotAsk(format!("this needs {lacking}, which the client does not offer")));
            }
            let requests = input::requests(&request)?;
            if self.is_modern {
                let state = self.states.seal(purpose, &request.state)?;
                let requests = (!requests.is_empty()).then_some(requests);
                return Ok(Ended::InputRequired(InputRequiredResult::new(requests, Some(state))));
            }
            let asked = requests.into_iter().map(|(key, request)| async {
                let answered = tokio::time::timeout(ANSWER_TIMEOUT, ask(&self.context.peer, request)).await;
                (key, answered)
            });
            let mut responses = InputResponses::new();
            for (key, answered) in join_all(asked).await {
                match answered {
                    Ok(Ok(response)) => responses.insert(key, response),
                    Ok(Err(error)) => return Ok(Ended::CannotAsk(format!("the client did not answer: {error}"))),
                    Err(_) => return Ok(Ended::CannotAsk("nobody answered in time".to_owned())),
                };
            }
            answers = answers_in(responses);
            state = Some(request.state);
        }
        Ok(Ended::CannotAsk(format!("it asked {MAX_ROUNDS} times, and had no result")))
    }
}

/// Answers as plugins get them. What is none is left out, so that the plugin asks again.
pub(super) fn answers_in(responses: InputResponses) -> Answers {
    responses.into_iter().filter_map(|(key, response)| Some((key, input::answer(&response)?))).collect()
}

async fn ask(peer: &Peer<RoleServer>, request: InputRequest) -> Result<Value, ServiceError> {
    let answer = match request {
        InputRequest::Elicitation(request) => json!(peer.create_elicitation(request.params).await?),
        InputRequest::CreateMessage(request) => json!(peer.create_message(request.params).await?),
        InputRequest::ListRoots(_) => json!(peer.list_roots().await?),
        _ => return Err(ServiceError::UnexpectedResponse),
    };
    Ok(answer)
}

/// Messages of a call, on their way to its client.
struct Post<'a> {
    context: &'a RequestContext<RoleServer>,
    detached: &'a Signals,
    token: Option<ProgressToken>,
    least_level: Option<Level>,
    /// What was reported last: a plugin begins anew in each round, and its client must not see that.
    done: Option<f64>,
    /// The client does not read: it gets nothing more.
    is_stuck: bool,
}

impl<'a> Post<'a> {
    fn of(exchange: &Exchange<'a>) -> Self {
        let context = exchange.context;
        let least_level =
            if exchange.is_modern { context.meta.log_level().map(level) } else { Some(exchange.session.least_level()) };
        Self {
            context,
            detached: exchange.detached,
            token: context.meta.get_progress_token(),
            least_level,
            done: None,
            is_stuck: false,
        }
    }

    async fn deliver_while<T, F>(
        &mut self,
        mut conversation: Conversation,
        round: &impl Fn(Conversation) -> F,
    ) -> Result<Round<T>, ErrorData>
    where
        F: Future<Output = Result<Round<T>, ErrorData>>,
    {
        let (messages, mut delivered) = mpsc::channel(OUTBOX);
        let wants_progress = self.token.is_some();
        conversation.outbox = Some(Outbox { wants_progress, least_level: self.least_level, messages });
        let mut round = pin!(round(conversation));
        loop {
            tokio::select! {
                biased;
                Some(message) = delivered.recv() => self.try_deliver(message).await,
                ended = &mut round => {
                    while let Ok(message) = delivered.try_recv() {
                        self.try_deliver(message).await;
                    }
                    return ended;
                }
            }
        }
    }

    /// The call waits for its messages, so a client that does not read gets a moment, once.
    async fn try_deliver(&mut self, message: Message) {
        if !self.is_stuck {
            self.is_stuck = tokio::time::timeout(SEND_TIMEOUT, self.deliver(message)).await.is_err();
        }
    }

    /// Sends a message; a client that is gone will not miss it.
    async fn deliver(&mut self, message: Message) {
        match message {
            Message::Progress { done, total, message } => {
                let Some(token) = self.token.clone().filter(|_| self.done.is_none_or(|before| done > before)) else {
                    return;
                };
                self.done = Some(done);
                let mut params = ProgressNotificationParam::new(token, done);
                (params.total, params.message) = (total, message);
                let _ = self.context.peer.notify_progress(params).await;
            }
            Message::Detach => {
                let version = self.context.protocol_version();
                if let Some(session) = session_of(self.context)
                    && version.is_some_and(|version| version == ProtocolVersion::V_2025_11_25)
                {
                    self.detached.give(session, &self.context.id);
                }
            }
            Message::Log { level, logger, data } => {
                let mut params = json!({ "level": level_name(level), "data": data });
                content::set(&mut params, "logger", logger.map(Value::String));
                let Ok(params) = content::read::<LoggingMessageNotificationParam>("message", params) else { return };
                let _ = self.context.peer.notify_logging_message(params).await;
            }
        }
    }
}

pub(super) fn level(level: LoggingLevel) -> Level {
    match level {
        LoggingLevel::Debug => Level::Debug,
        LoggingLevel::Info => Level::Info,
        LoggingLevel::Notice => Level::Notice,
        LoggingLevel::Warning => Level::Warning,
        LoggingLevel::Error => Level::Error,
        LoggingLevel::Critical => Level::Critical,
        LoggingLevel::Alert => Level::Alert,
        LoggingLevel::Emergency => Level::Emergency,
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "critical",
        Level::Alert => "alert",
        Level::Emergency => "emergency",
    }
}
