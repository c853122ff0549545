//! Requests under way in sessions of the older era, each with a signal: a client cancels its call by one, and a plugin lets
//! go of its client's stream by another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

/// A session's request, by the id that its client gave it: several may have one.
type Key = (Arc<str>, RequestId);

/// Signals of one kind. Clones are handles to the same.
#[derive(Clone, Default)]
pub(super) struct Signals(Arc<Mutex<HashMap<Key, Vec<Signal>>>>);

struct Signal {
    /// Tells it apart from the others of its key.
    of: Arc<()>,
    given: CancellationToken,
}

/// One request; it is forgotten when this is dropped.
pub(super) struct UnderWay {
    key: Key,
    own: Arc<()>,
    given: CancellationToken,
    signals: Signals,
}

impl Signals {
    pub(super) fn begin(&self, session: &str, id: &RequestId) -> UnderWay {
        let key = (Arc::from(session), id.clone());
        let (own, given) = (Arc::default(), CancellationToken::new());
        let signal = Signal { of: Arc::clone(&own), given: given.clone() };
        self.lock().entry(key.clone()).or_default().push(signal);
        UnderWay { key, own, given, signals: self.clone() }
    }

    /// Requests under way that have this id.
    pub(super) fn count(&self, session: &str, id: &RequestId) -> usize {
        self.lock().get(&(Arc::from(session), id.clone())).map_or(0, Vec::len)
    }

    /// Gives the signal of a request, if it is the only one under way that has this id.
    pub(super) fn give(&self, session: &str, id: &RequestId) {
        if let Some([signal]) = self.lock().get(&(Arc::from(session), id.clone())).map(Vec::as_slice) {
            signal.given.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Signal>>> {
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
        let mut signals = self.signals.lock();
        let Some(of_key) = signals.get_mut(&self.key) else { return };
        of_key.retain(|signal| !Arc::ptr_eq(&signal.of, &self.own));
        if of_key.is_empty() {
            signals.remove(&self.key);
        }
    }
}
