//! The channel from a call to its client, over the request that made it.
//!
//! A modern client gets questions as a result, `input_required`, and comes back with another request (MCP 2026-07-28,
//! patterns/mrtr); a legacy client is asked on the stream of its call, which waits.
#![expect(deprecated, reason = "sampling, roots and logging are deprecated since 2026-07-28, and clients have them")]

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::request::Parts;
use rmcp::model::{
    ErrorData, InputRequest, InputRequests, InputRequiredResult, InputResponses, LoggingLevel,
    LoggingMessageNotification, LoggingMessageNotificationParam, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{OriginatingRequestId, Peer, RequestContext};
use rmcp::{RoleServer, ServiceError};
use serde_json::{Value, json};

use super::in_flight::InFlight;
use super::preferences::Preferences;
use super::request_state::{Purpose, RequestStates};
use super::room::memory;
use super::round_trips::{AskOutcome, Channel, answers_in};
use super::{content, headers, input};
use crate::plugins::conversation::{Conversation, PluginMessage};
use crate::plugins::wit::input::Capabilities;
use crate::plugins::wit::log::Level;
use crate::principal::Principal;
use crate::traces::TraceParent;

/// Time for a legacy client to answer: a person has to read and decide.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// Time for which a client may leave a message unread. It does not count against the call's own time limit.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a message to one that has not read for so long.
const STUCK_TIMEOUT: Duration = Duration::from_millis(1);

/// A modern client's answers, in a request that it repeats.
pub(super) struct Retry {
    pub(super) responses: Option<InputResponses>,
    pub(super) state: Option<String>,
}

impl Retry {
    pub(super) fn has_answers(&self) -> bool {
        self.responses.is_some()
    }
}

/// The channel of one request.
pub(super) struct RequestChannel<'a> {
    context: &'a RequestContext<RoleServer>,
    principal: &'a Arc<Principal>,
    preferences: &'a Preferences,
    states: &'a RequestStates,
    purpose: Purpose,
    /// Requests whose streams can be let go.
    detachable: &'a InFlight,
    pub(super) is_modern: bool,
    /// The last progress: a plugin counts from zero again in each round, and its client must not see that.
    done: Option<f64>,
    /// The client does not read, and gets nothing more.
    is_stuck: bool,
}

impl<'a> RequestChannel<'a> {
    pub(super) fn new(
        (context, is_modern): (&'a RequestContext<RoleServer>, bool),
        principal: &'a Arc<Principal>,
        preferences: &'a Preferences,
        (states, purpose): (&'a RequestStates, Purpose),
        detachable: &'a InFlight,
    ) -> Self {
        let (done, is_stuck) = (None, false);
        Self { context, principal, preferences, states, purpose, detachable, is_modern, done, is_stuck }
    }

    /// Continues the conversation with the state and answers that a client has sent back.
    ///
    /// # Errors
    /// -32602 for a state that is not this request's.
    pub(super) fn open(&self, retry: Retry) -> Result<Conversation, ErrorData> {
        let state = retry.state.as_deref().map(|state| self.states.open(&self.purpose, state)).transpose()?;
        let answers = answers_in(retry.responses.unwrap_or_default());
        let memory = memory(self.context).cloned();
        let trace_parent = self.context.meta.get("traceparent").and_then(Value::as_str).and_then(TraceParent::parse);
        Ok(Conversation { answers, state, memory, trace_parent, ..Conversation::with(self.principal) })
    }

    /// Sends a message, if the client is still there.
    async fn send(&mut self, message: PluginMessage) {
        match message {
            PluginMessage::Progress { done, total, message } => {
                let Some(token) = self.context.meta.get_progress_token() else { return };
                if self.done.is_some_and(|before| done <= before) {
                    return;
                }
                self.done = Some(done);
                let mut params = ProgressNotificationParam::new(token, done);
                (params.total, params.message) = (total, message);
                let _ = self.context.peer.notify_progress(params).await;
            }
            PluginMessage::Detach => {
                let version = self.context.protocol_version();
                let parts = self.context.extensions.get::<Parts>();
                if let Some(session) = parts.and_then(|parts| headers::session_id(&parts.headers))
                    && version.is_some_and(|version| version == ProtocolVersion::V_2025_11_25)
                {
                    self.detachable.signal(session, &self.context.id);
                }
            }
            PluginMessage::Log { level, logger, data } => {
                let mut params = json!({ "level": level_name(level), "data": data });
                content::set(&mut params, "logger", logger.map(Value::String));
                let Ok(params) = content::read::<LoggingMessageNotificationParam>("message", params) else { return };
                let mut message = LoggingMessageNotification::new(params);
                message.extensions.insert(OriginatingRequestId(self.context.id.clone()));
                let _ = self.context.peer.send_notification(message.into()).await;
            }
        }
    }
}

impl Channel for RequestChannel<'_> {
    type Error = ErrorData;

    fn askable(&self) -> Capabilities {
        let client = self.context.client_capabilities();
        client.map_or_else(Capabilities::empty, |client| input::askable(&client))
    }

    fn wants_progress(&self) -> bool {
        self.context.meta.get_progress_token().is_some()
    }

    fn least_level(&self) -> Option<Level> {
        if self.is_modern { self.context.meta.log_level().map(level) } else { Some(self.preferences.least_level()) }
    }

    /// A client that does not read gets a moment, once; then what finds room, which it does again once the client reads.
    async fn deliver(&mut self, message: PluginMessage) {
        let patience = if self.is_stuck { STUCK_TIMEOUT } else { SEND_TIMEOUT };
        self.is_stuck = tokio::time::timeout(patience, self.send(message)).await.is_err();
    }

    fn refuse(&self, lacking: Capabilities) -> Result<String, ErrorData> {
        if self.is_modern {
            return Err(ErrorData::missing_required_client_capability(input::declared(lacking)));
        }
        Ok(format!("this needs {}, which the client does not offer", input::named(lacking)))
    }

    async fn ask(&mut self, _round: usize, questions: InputRequests, state: &[u8]) -> Result<AskOutcome, ErrorData> {
        if self.is_modern {
            let state = self.states.seal(&self.purpose, state)?;
            let questions = (!questions.is_empty()).then_some(questions);
            return Ok(AskOutcome::Later(InputRequiredResult::new(questions, Some(state))));
        }
        let asked = questions.into_iter().map(|(key, question)| async {
            (key, tokio::time::timeout(ANSWER_TIMEOUT, ask(&self.context.peer, question)).await)
        });
        let mut responses = InputResponses::new();
        for (key, answered) in join_all(asked).await {
            match answered {
                Ok(Ok(response)) => responses.insert(key, response),
                Ok(Err(error)) => return Ok(AskOutcome::Unanswered(format!("the client did not answer: {error}"))),
                Err(_) => return Ok(AskOutcome::Unanswered("nobody answered in time".to_owned())),
            };
        }
        Ok(AskOutcome::Answered(responses))
    }
}

async fn ask(peer: &Peer<RoleServer>, question: InputRequest) -> Result<Value, ServiceError> {
    let answer = match question {
        InputRequest::Elicitation(request) => json!(peer.create_elicitation(request.params).await?),
        InputRequest::CreateMessage(request) => json!(peer.create_message(request.params).await?),
        InputRequest::ListRoots(_) => json!(peer.list_roots().await?),
        _ => return Err(ServiceError::UnexpectedResponse),
    };
    Ok(answer)
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
