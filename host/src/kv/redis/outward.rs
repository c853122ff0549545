//! What a plugin gets to know of a fault; all of it is in the log.

use crate::kv::request::KvError;
use crate::log_limiter::LogLimiter;
use crate::redis::Fault;

/// Logs a fault, and says it to a plugin.
pub(super) fn outward(fault: Fault) -> KvError {
    static FAILED: LogLimiter = LogLimiter::new("failures of the state of plugins");
    FAILED.log(|| tracing::error!("state of plugins not read or written: {fault}"));
    let words = match fault {
        Fault::Unreachable(_) => "its store cannot be reached now",
        Fault::Lost => "its store has lost what was in it",
        Fault::Refused(words) if words.contains("OOM") || words.contains("maxmemory") => {
            "the memory of its store is full"
        }
        Fault::Newer { .. } => "its store is written by a later version of this server",
        Fault::Refused(_) | Fault::Unexpected(_) => "its store cannot be used now",
    };
    KvError::Unavailable(words.to_owned())
}
