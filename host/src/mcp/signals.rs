//! Requests under way in sessions of the older era, each with a signal: a client cancels its call by one, and a plugin lets
//! go of its client's stream by another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

/// A session's request.
type Key = (Arc<str>, RequestId);

/// Signals of one kind. Clones are handles to the same.
#[derive(Clone, Default)]
pub(super) struct Signals(Arc<Mutex<HashMap<Key, CancellationToken>>>);

/// One request; it is forgotten when this is dropped.
pub(super) struct UnderWay {
    key: Key,
    given: CancellationToken,
    signals: Signals,
}

impl Signals {
    /// For a client that uses an id twice at once, the later request gets the signal.
    pub(super) fn begin(&self, session: &str, id: &RequestId) -> UnderWay {
        let key = (Arc::from(session), id.clone());
        let given = CancellationToken::new();
        self.lock().insert(key.clone(), given.clone());
        UnderWay { key, given, signals: self.clone() }
    }

    /// Gives the signal of a request, if it is under way.
    pub(super) fn give(&self, session: &str, id: &RequestId) {
        if let Some(signal) = self.lock().get(&(Arc::from(session), id.clone())) {
            signal.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Cancelled when the signal is given.
    pub(super) fn given(&self) -> &CancellationToken {
        &self.given
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.signals.lock().remove(&self.key);
    }
}
