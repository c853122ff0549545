//! Requests that concern the same thing, one at a time in this process. (`shared_turns` has what several servers do so.)

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use crate::sync::{AsyncMutex, Mutex};

/// Lets one request about the same thing run at a time, so that the provider sees one and the others get its answer.
///
/// A waiter should be a task of its own: one that is dropped while it waits may leave its place behind.
pub(in crate::auth) struct Turns<K>(Mutex<HashMap<K, Arc<AsyncMutex<()>>>>);

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> Turns<K> {
    /// Runs `work` when it is its turn.
    pub(in crate::auth) async fn take<T>(&self, of: K, work: impl Future<Output = T>) -> T {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(of).or_default())
        };
        let outcome = {
            let _turn = turn.lock().await;
            work.await
        };
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the map's: nobody waits for it.
        if Arc::strong_count(&turn) <= 2 {
            turns.remove(&of);
        }
        outcome
    }
}
