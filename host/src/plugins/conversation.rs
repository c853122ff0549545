//! The exchange between one call and its client, beside arguments and result.
//!
//! A call that needs an answer ends with its questions, and is made again with the answers: nothing of a plugin waits
//! for a person.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::error::CallError;
use super::notes::CallNotes;
use super::wit::input::{Answer, Capabilities};
use super::wit::log::Level;
use crate::budget::Overdrawn;
use crate::principal::Principal;
use crate::request_memory::RequestMemory;
use crate::traces::TraceParent;

/// One call's side of the conversation.
#[derive(Default)]
pub struct Conversation {
    /// The caller; none while lists are made.
    pub caller: Option<Arc<Principal>>,
    /// The kinds of questions that the client can answer.
    pub askable: Option<Capabilities>,
    /// The client's answers, by the keys of the questions.
    pub answers: Vec<(String, Answer)>,
    /// The state that the plugin kept for this call when it asked.
    pub state: Option<Vec<u8>>,
    /// The way of messages to the client, if it wants any.
    pub outbox: Option<Outbox>,
    /// The memory that the request holds; none where nobody counts.
    pub memory: Option<RequestMemory>,
    /// The call is made again once there is memory for its arguments, if there is none now.
    pub is_repeatable: bool,
    /// The request behind it was counted already, against the calls that its person may make.
    pub is_counted: bool,
    /// The client's span in which it made the call.
    pub trace_parent: Option<TraceParent>,
    /// The notes that are taken about the call, if anybody is told of it.
    pub notes: Option<Arc<CallNotes>>,
}

/// Takes messages for the client of one call.
#[derive(Clone)]
pub struct Outbox {
    /// The client asked how far the call has come.
    pub wants_progress: bool,
    /// The least level of messages that the client wants, if it wants any.
    pub least_level: Option<Level>,
    /// The messages. A call waits while it is full.
    pub messages: mpsc::Sender<PluginMessage>,
}

/// Something for the client to know while the call goes on.
#[derive(Debug)]
pub enum PluginMessage {
    /// The progress so far.
    Progress {
        /// So far; grows from message to message.
        done: f64,
        /// The progress at the end.
        total: Option<f64>,
        /// In words.
        message: Option<String>,
    },
    /// The client's connection may go.
    Detach,
    /// A message of the plugin.
    Log {
        /// The severity.
        level: Level,
        /// The part of the plugin that says so; none for the plugin itself.
        logger: Option<String>,
        /// The content.
        data: Value,
    },
}

impl Conversation {
    /// A call by somebody whose client cannot be asked anything and wants no messages.
    pub fn with(caller: &Arc<Principal>) -> Self {
        Self { caller: Some(Arc::clone(caller)), ..Self::default() }
    }

    /// Takes memory for the engine's values of arguments.
    ///
    /// # Errors
    /// The caller's requests hold too much, and the call is made again later. Other calls could only wait for that while
    /// they hold what the next ones wait for: theirs count against the bound of all calls alone.
    pub(super) fn charge_arguments(&self, bytes: usize) -> Result<(), CallError> {
        match self.charge(bytes) {
            Err(CallError::Overdrawn { refusal: Overdrawn::Now(..), .. }) if !self.is_repeatable => Ok(()),
            charged => charged,
        }
    }

    /// Takes memory beside the guest's own, for as long as the request lasts.
    ///
    /// # Errors
    /// The caller's requests hold too much.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), CallError> {
        let Some(memory) = &self.memory else { return Ok(()) };
        memory.charge(bytes).map_err(|refusal| CallError::Overdrawn { refusal, bytes })
    }
}

impl Outbox {
    /// Tells whether the client wants messages of this level.
    pub(super) fn wants(&self, level: Level) -> bool {
        self.least_level.is_some_and(|least| severity(level) >= severity(least))
    }
}

/// The order of RFC 5424, the least first.
fn severity(level: Level) -> u8 {
    match level {
        Level::Debug => 0,
        Level::Info => 1,
        Level::Notice => 2,
        Level::Warning => 3,
        Level::Error => 4,
        Level::Critical => 5,
        Level::Alert => 6,
        Level::Emergency => 7,
    }
}
