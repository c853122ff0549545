//! The primitives of `host/src/sync.rs`, whose order shuttle chooses.

pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
