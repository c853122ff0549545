//! The reasons that a thing is not put on a shelf, or not found.

use crate::log_limiter::LogLimiter;
use crate::store::StoreError;

static FAILED: LogLimiter = LogLimiter::new("times that what servers share of clients could not be read or written");

/// The reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::mcp) enum ShelfError {
    /// The store's, whose words are the operator's and not a client's.
    #[error("what the servers share cannot be used now")]
    Store(StoreError),
    /// The person has as much as may be kept.
    #[error("there is no room for more of them")]
    Full,
    /// Others have changed the same all the time.
    #[error("it was changed again and again")]
    Busy,
}

/// Logs the cause; the client hears that something is wrong.
impl From<StoreError> for ShelfError {
    fn from(error: StoreError) -> Self {
        FAILED.log(|| tracing::error!(%error, "what servers share of clients could not be read or written"));
        Self::Store(error)
    }
}
