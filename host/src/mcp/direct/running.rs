//! Calls under way, by which a client of the older era can cancel them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

/// A session's request.
type Key = (Arc<str>, RequestId);

#[derive(Default)]
pub(super) struct Running(Arc<Mutex<HashMap<Key, CancellationToken>>>);

/// One call; it is forgotten when this is dropped.
pub(super) struct Call {
    key: Key,
    cancelled: CancellationToken,
    running: Arc<Mutex<HashMap<Key, CancellationToken>>>,
}

impl Running {
    /// A client that uses an id twice at once can cancel the later call only.
    pub(super) fn begin(&self, session: &str, id: &RequestId) -> Call {
        let key = (Arc::from(session), id.clone());
        let cancelled = CancellationToken::new();
        lock(&self.0).insert(key.clone(), cancelled.clone());
        Call { key, cancelled, running: Arc::clone(&self.0) }
    }

    pub(super) fn cancel(&self, session: &str, id: &RequestId) {
        if let Some(call) = lock(&self.0).get(&(Arc::from(session), id.clone())) {
            call.cancel();
        }
    }
}

impl Call {
    pub(super) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
