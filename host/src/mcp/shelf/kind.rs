//! The kinds of things on a shelf, and how much of each a person may have.

use serde::{Deserialize, Serialize};

/// The sessions of one person of which something is kept: as many as a server has in memory by default. The least recently
/// changed make room.
const SESSIONS: usize = 256;

/// Bytes of what is kept of these.
const SESSION_BYTES: usize = 4 << 20;

/// Answers and other words of clients that wait for the server they are for, and pieces of streams on the way back.
const LETTERS: usize = 64;

/// The most tasks of one person that are kept, done or not, through all clients and on all servers.
const TASKS: usize = 64;

/// Bodies of requests that the tasks of one person may take, as in their account of memory (`budget.rs`), and at least
/// so many bytes.
const TASK_BODIES: usize = 8;
const TASK_BYTES_LEAST: usize = 32 << 20;

/// A kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::mcp) enum Kind {
    /// A session of the older era: its client's wishes, or that it has ended.
    Session,
    /// What a client has said to a server that is not the one it is for, or is to get from one.
    Letter,
    /// A task.
    Task,
}

/// What the bounds depend on.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) max_body_bytes: usize,
}

/// How much a person may have of a kind.
pub(super) struct Most {
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// True if the oldest make room; else further ones are refused.
    pub(super) makes_room: bool,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Letter => "letter",
            Self::Task => "task",
        }
    }

    pub(super) fn most(self, Bounds { max_body_bytes }: Bounds) -> Most {
        match self {
            Self::Session => Most { count: SESSIONS, bytes: SESSION_BYTES, makes_room: true },
            Self::Letter => Most { count: LETTERS, bytes: max_body_bytes.saturating_mul(4), makes_room: true },
            Self::Task => {
                let bytes = max_body_bytes.saturating_mul(TASK_BODIES).max(TASK_BYTES_LEAST);
                Most { count: TASKS, bytes, makes_room: false }
            }
        }
    }
}
