//! The reasons why a call gave no reply: in words for its caller, and with the cause for the log.

use std::time::Duration;

use super::rates::TooMany;
use super::sandbox::traps;
use super::types::codec::{ArgumentError, ResultError};
use crate::audit::Unwritable;
use crate::budget::Overdrawn;
use crate::config::units::Period;

/// A reason why a call gave no reply. The message is for the caller; causes are logged.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The arguments do not fit the tool's schema.
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    /// The deadline passed, in the queue or in the guest.
    #[error("the tool did not finish within {}", humantime(.0))]
    Timeout(Duration),
    /// More calls wait already than may.
    #[error("the tool is busy: too many calls are waiting, try again in a moment")]
    Busy,
    /// The caller has made as many calls as one person may.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The guest computed for longer than it may.
    #[error("the tool needs more processor time than its limit of {0} for one call: ask it for less at a time")]
    Cpu(Period),
    /// The guest was refused memory, and failed.
    #[error("the tool needs more memory than its limit of {0}")]
    Memory(String),
    /// The guest had more handles than it may, and never let go of them.
    #[error(
        "the tool holds more than {0} resources, streams, futures or tasks at once and was stopped: it has to drop \
         those that it is done with, or `limits.memory` has to be higher"
    )]
    Handles(usize),
    /// The guest recursed too deeply.
    #[error("the tool recursed too deeply and was stopped")]
    StackOverflow(wasmtime::Error),
    /// The stack that the guest keeps in its own memory was full, most likely.
    #[error(
        "the tool recursed too deeply for its stack and was stopped: `stack-size` in its `build.rs` sets how much it has"
    )]
    FullStack(wasmtime::Error),
    /// The guest ended itself instead of returning.
    #[error("the tool exited (status {0}) instead of returning a result")]
    Exited(i32),
    /// The guest trapped: a panic, a division by zero, an access out of bounds.
    #[error("the tool crashed{}", traps::suspicion(.0))]
    Trapped(wasmtime::Error),
    /// The guest's result cannot be given to a client.
    #[error("the tool's result cannot be returned: {0}")]
    Result(#[from] ResultError),
    /// The caller's requests hold too much memory.
    #[error("{refusal}")]
    Overdrawn {
        /// The reason.
        refusal: Overdrawn,
        /// The bytes that were wanted.
        bytes: usize,
    },
    /// The caller's session has ended, or the rules have changed, while the call went on.
    #[error(
        "you may not use this tool any more: your login has ended, or whoever runs this server has changed who may; log in again"
    )]
    TurnedAway,
    /// The audit cannot be written, and calls are not made without.
    #[error(transparent)]
    Unaudited(Unwritable),
    /// A command has switched the plugin off.
    #[error("this tool was switched off by whoever runs this server")]
    SwitchedOff,
    /// The client took its request back.
    #[error("the call was cancelled")]
    Cancelled,
    /// The guest failed after it was refused something, which is why, most likely.
    #[error("{error}\n{}", refusals.join("\n"))]
    Refused {
        /// Its failure.
        error: Box<CallError>,
        /// What it was refused, a line each.
        refusals: Vec<String>,
    },
    /// The host failed; the guest did nothing wrong.
    #[error("the server failed while it ran the tool")]
    Host(String),
}

impl CallError {
    /// The same failure of a guest that was refused these.
    pub(super) fn with(self, refusals: Vec<String>) -> Self {
        if refusals.is_empty() { self } else { Self::Refused { error: Box::new(self), refusals } }
    }

    /// The cause, for the log and for the plugin's author, where the message does not say it.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Trapped(error) | Self::FullStack(error) | Self::StackOverflow(error) => Some(traps::cause(error)),
            Self::Host(cause) => Some(cause.clone()),
            Self::Refused { error, .. } => error.cause(),
            Self::Arguments(_)
            | Self::Timeout(_)
            | Self::Busy
            | Self::TooMany(_)
            | Self::Cpu(_)
            | Self::Memory(_)
            | Self::Handles(_)
            | Self::Exited(_)
            | Self::Result(_)
            | Self::Overdrawn { .. }
            | Self::TurnedAway
            | Self::Unaudited(_)
            | Self::SwitchedOff
            | Self::Cancelled => None,
        }
    }

    /// The functions that the guest was in when it trapped, the innermost first.
    pub fn frames(&self) -> Vec<String> {
        match self {
            Self::Trapped(error) | Self::FullStack(error) | Self::StackOverflow(error) => traps::frames(error),
            Self::Refused { error, .. } => error.frames(),
            _ => Vec::new(),
        }
    }
}

fn humantime(duration: &Duration) -> Period {
    Period::from(*duration)
}
