//! The limits of compiling one file, and its outcome.

use std::time::Duration;

use crate::config::ByteSize;
use crate::config::units::Period;

/// A file that is not compiled after so much processor time gives its turn to another, and goes on among those that
/// take long. On a busy machine that is any time.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// The processor time and memory that compiling one file may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Processor time, over all threads.
    pub cpu: Period,
    /// Memory.
    pub memory: ByteSize,
}

/// Machine code, and the time and memory that it took.
#[derive(Debug)]
pub(in crate::plugins) struct MachineCode {
    pub(in crate::plugins) code: Vec<u8>,
    /// As far as it is known.
    pub(in crate::plugins) cpu: Option<Duration>,
    pub(in crate::plugins) memory: Option<ByteSize>,
}

/// A reason why there is no code. Each message names the cause and, where there is one, the cure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CompileError {
    /// Cranelift, or the validator before it, does not take the component.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// The component is valid, and uses features that this host lacks.
    #[error("{0}")]
    Unsupported(String),
    /// The limit of processor time.
    #[error("compiling it takes more than {limit} of processor time (`limits.compile_cpu`){culprit}")]
    Processor {
        /// The limit.
        limit: Period,
        /// The function that costs most, as far as that can be told.
        culprit: String,
    },
    /// The limit of memory.
    #[error("compiling it takes more than {limit} of memory (`limits.compile_memory`){culprit}")]
    Memory {
        /// The limit.
        limit: ByteSize,
        /// The function that costs most, as far as that can be told.
        culprit: String,
    },
    /// The compiler failed.
    #[error("the compiler failed: {0}")]
    Crashed(String),
    /// It failed before, under the same limits.
    #[error("{0} (so it was within the last hour, under the same limits; a changed file or limit is tried at once)")]
    Remembered(String),
    /// Somebody ended the child, or the system did because memory is short.
    #[error("the compiler was ended from outside ({0}), as systems do that run out of memory")]
    Killed(String),
    /// The child cannot be started.
    #[error("no process to compile in: {0}")]
    NoProcess(String),
}

impl CompileError {
    /// True if another try may end otherwise, with the same file and limits.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Killed(_) | Self::NoProcess(_))
    }

    /// True for failures to be remembered: they took long, and would end the same way again.
    pub(in crate::plugins) fn is_worth_remembering(&self, took_long: bool) -> bool {
        match self {
            Self::Processor { .. } | Self::Memory { .. } => true,
            Self::Invalid(_) | Self::Unsupported(_) | Self::Crashed(_) => took_long,
            Self::Remembered(_) | Self::Killed(_) | Self::NoProcess(_) => false,
        }
    }
}
