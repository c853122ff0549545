//! The channels of catalogs: what is current, and whether the first scan is done.

use std::sync::Arc;

use crate::sync::watch;

/// The sending side, which only the registry has.
pub(super) struct Publisher<T> {
    current: watch::Sender<Arc<T>>,
    ready: watch::Sender<bool>,
}

impl<T> Publisher<T> {
    pub(super) fn new(current: watch::Sender<Arc<T>>, ready: watch::Sender<bool>) -> Self {
        Self { current, ready }
    }

    /// True once the first scan is done.
    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Publishes the value that follows the current one.
    pub(super) fn publish(&self, next: impl FnOnce(&T) -> T) {
        self.current.send_modify(|current| *current = Arc::new(next(current)));
    }

    /// Says that the first scan is done. What it found must be published before: those who wait for it look once.
    pub(super) fn settle(&self) {
        self.ready.send_replace(true);
    }
}
