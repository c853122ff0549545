//! The rounds in which a plugin gets answers to its questions: one loop for calls, reads and tasks.
//!
//! A plugin always ends with its questions and is called again with the answers. The channel to its client carries
//! them: in a result, to which the client answers with another request, on the stream of the call, or in the state of a
//! task. No instance waits meanwhile.

use std::future::Future;
use std::pin::pin;

use rmcp::model::{ErrorData, InputRequests, InputRequiredResult, InputResponses, MetaObject};
use tokio::sync::mpsc;

use super::input;
use crate::plugins::conversation::{Conversation, Outbox, PluginMessage};
use crate::plugins::wit::input::{Answer, Capabilities, Request, Stop};
use crate::plugins::wit::log::Level;

/// The most rounds in one call of a legacy client or in a task. Modern clients set their own limit.
const MAX_ROUNDS: usize = 10;

/// The most messages on their way to the client; a call with more waits.
const OUTBOX: usize = 16;

/// The way between a call and its client.
pub(super) trait Channel {
    type Error: From<ErrorData>;

    /// The questions that the client can be asked.
    fn askable(&self) -> Capabilities;

    fn wants_progress(&self) -> bool;

    /// The lowest level of log messages for the client; `None` for no messages.
    fn least_level(&self) -> Option<Level>;

    /// Sends a message. The call waits meanwhile.
    async fn deliver(&mut self, message: PluginMessage);

    /// Refuses questions that the client cannot be asked: with an error if its version has one for that, else in words.
    fn refuse(&self, lacking: Capabilities) -> Result<String, Self::Error>;

    /// Asks the questions of a round, counted from 0. The plugin gets `state` again with the answers.
    async fn ask(&mut self, round: usize, questions: InputRequests, state: &[u8]) -> Result<AskOutcome, Self::Error>;
}

/// The outcome of questions.
pub(super) enum AskOutcome {
    Answered(InputResponses),
    /// The client has to come back with answers.
    Later(InputRequiredResult),
    /// There is no answer; in words for the reader of the result.
    Unanswered(String),
}

/// The end of one round.
pub(super) enum Round<T> {
    /// The result.
    Done(T),
    /// Questions.
    Asks(Request),
}

impl<T> Round<T> {
    /// The end of a round that was stopped, for a method whose result cannot report a failure.
    ///
    /// # Errors
    /// Every stop but questions.
    pub(super) fn of_stop(stop: Stop) -> Result<Self, ErrorData> {
        match stop {
            Stop::InputRequired(request) => Ok(Self::Asks(request)),
            Stop::Invalid(why) => Err(ErrorData::invalid_params(why, None)),
            Stop::Failed(why) => Err(ErrorData::internal_error(why, None)),
        }
    }
}

/// The end of all rounds.
pub(super) enum Outcome<T> {
    /// The result.
    Done(T),
    /// The client has to come back with answers.
    InputRequired(InputRequiredResult),
    /// This client cannot be asked the questions; in words for the reader of the result.
    CannotAsk(String),
}

impl<T> Outcome<T> {
    /// The response of a method whose result cannot report a failure; `name_server` adds the server's name to it.
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

/// Runs rounds until there is a result, or until the client has to come back.
///
/// # Errors
/// Those of `round` and of the channel; questions in no form of MCP.
pub(super) async fn run<C: Channel, T, F>(
    channel: &mut C,
    mut conversation: Conversation,
    round: impl Fn(Conversation) -> F,
) -> Result<Outcome<T>, C::Error>
where
    F: Future<Output = Result<Round<T>, ErrorData>>,
{
    let (caller, memory) = (conversation.caller.clone(), conversation.memory.clone());
    let trace_parent = conversation.trace_parent;
    for number in 0..MAX_ROUNDS {
        conversation.askable = Some(channel.askable());
        let request = match deliver_while(channel, conversation, &round).await? {
            Round::Done(done) => return Ok(Outcome::Done(done)),
            Round::Asks(request) => request,
        };
        let lacking = input::lacking(input::needed(&request), channel.askable());
        if lacking != Capabilities::empty() {
            return channel.refuse(lacking).map(Outcome::CannotAsk);
        }
        let questions = input::requests(&request)?;
        let answers = match channel.ask(number, questions, &request.state).await? {
            AskOutcome::Answered(responses) => answers_in(responses),
            AskOutcome::Later(required) => return Ok(Outcome::InputRequired(required)),
            AskOutcome::Unanswered(why) => return Ok(Outcome::CannotAsk(why)),
        };
        let (caller, memory) = (caller.clone(), memory.clone());
        let state = Some(request.state);
        let next = Conversation { caller, answers, memory, state, trace_parent, ..Conversation::default() };
        conversation = Conversation { is_counted: true, ..next };
    }
    Ok(Outcome::CannotAsk(format!("it asked {MAX_ROUNDS} times, and had no result")))
}

/// Runs one round, and delivers its messages meanwhile.
async fn deliver_while<C: Channel, T, F>(
    channel: &mut C,
    mut conversation: Conversation,
    round: &impl Fn(Conversation) -> F,
) -> Result<Round<T>, ErrorData>
where
    F: Future<Output = Result<Round<T>, ErrorData>>,
{
    let (sender, mut messages) = mpsc::channel(OUTBOX);
    let (wants_progress, least_level) = (channel.wants_progress(), channel.least_level());
    conversation.outbox = Some(Outbox { wants_progress, least_level, messages: sender });
    let mut round = pin!(round(conversation));
    loop {
        tokio::select! {
            biased;
            Some(message) = messages.recv() => channel.deliver(message).await,
            ended = &mut round => {
                while let Ok(message) = messages.try_recv() {
                    channel.deliver(message).await;
                }
                return ended;
            }
        }
    }
}

/// Answers as plugins get them. One that cannot be read is left out, so that the plugin asks again.
pub(super) fn answers_in(responses: InputResponses) -> Vec<(String, Answer)> {
    responses.into_iter().filter_map(|(key, response)| Some((key, input::answer(&response)?))).collect()
}
