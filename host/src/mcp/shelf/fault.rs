//! The reasons that a thing is not put on a shelf, or not found.

use crate::store::StoreError;

/// The reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::mcp) enum ShelfError {
    /// The store's.
    #[error("what the servers share cannot be used now: {0}")]
    Store(#[from] StoreError),
    /// The person has as much as may be kept.
    #[error("there is no room for more of them")]
    Full,
    /// Others have changed the same all the time.
    #[error("it was changed again and again")]
    Busy,
}
