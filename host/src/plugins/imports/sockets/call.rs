//! What one call has of sockets, beside those that it holds.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::found::Found;

/// Look-ups that a call has under way at once. Each may hold a thread of the system's resolver.
pub(super) const MAX_LOOK_UPS: usize = 8;

/// Refusals that a caller is told of.
const MAX_REFUSALS: usize = 8;

/// What a guest has of sockets, beside those that it holds.
#[derive(Default)]
pub(in crate::plugins::imports) struct Sockets {
    pub(super) found: Found,
    /// A line each.
    refusals: Vec<String>,
    /// Made for the first look-up.
    look_ups: Option<Arc<Semaphore>>,
}

impl Sockets {
    /// What was refused so far, for the caller: a line each.
    pub(in crate::plugins::imports) fn take_refusals(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refusals)
    }

    /// A place for one more look-up.
    pub(super) fn look_up(&mut self) -> Option<OwnedSemaphorePermit> {
        let places = self.look_ups.get_or_insert_with(|| Arc::new(Semaphore::new(MAX_LOOK_UPS)));
        Arc::clone(places).try_acquire_owned().ok()
    }

    pub(super) fn note(&mut self, line: String) {
        if self.refusals.len() < MAX_REFUSALS && !self.refusals.contains(&line) {
            self.refusals.push(line);
        }
    }

    /// Forgets what was for one call. Open sockets of an instance that is kept warm stay: they are its person's, as the
    /// instance is.
    pub(in crate::plugins::imports) fn end(&mut self) {
        self.found.clear();
        self.refusals.clear();
    }
}
