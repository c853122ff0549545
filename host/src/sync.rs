//! The primitives of what threads and tasks share by hand, by one name.
//!
//! `tests/shuttle` compiles the files that use them once more, with primitives of the same interface in this module's
//! place that let it choose who goes first.

pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
