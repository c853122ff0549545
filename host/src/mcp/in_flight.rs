//! Requests in flight in sessions of the older era, each with a signal: one kind cancels a client's call, another lets
//! a plugin release its client's stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

/// A session's request, by the id that its client gave it: several may have one.
type Key = (Arc<str>, RequestId);

/// The requests of one kind. Clones are handles to the same.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<Key, Vec<Signal>>>>);

struct Signal {
    /// Distinguishes it from others with the same key.
    of: Arc<()>,
    token: CancellationToken,
}

/// One request; it is forgotten when this is dropped.
pub(super) struct InFlightRequest {
    key: Key,
    own: Arc<()>,
    signal: CancellationToken,
    all: InFlight,
}

impl InFlight {
    pub(super) fn begin(&self, session: &str, id: &RequestId) -> InFlightRequest {
        let key = (Arc::from(session), id.clone());
        let (own, token) = (Arc::default(), CancellationToken::new());
        let signal = Signal { of: Arc::clone(&own), token: token.clone() };
        self.lock().entry(key.clone()).or_default().push(signal);
        InFlightRequest { key, own, signal: token, all: self.clone() }
    }

    /// Requests in flight that have this id.
    pub(super) fn count(&self, session: &str, id: &RequestId) -> usize {
        self.lock().get(&(Arc::from(session), id.clone())).map_or(0, Vec::len)
    }

    /// Signals a request, if it is the only one in flight with this id.
    pub(super) fn signal(&self, session: &str, id: &RequestId) {
        if let Some([signal]) = self.lock().get(&(Arc::from(session), id.clone())).map(Vec::as_slice) {
            signal.token.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Signal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlightRequest {
    /// Cancelled by the signal.
    pub(super) fn signal(&self) -> &CancellationToken {
        &self.signal
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        let mut requests = self.all.lock();
        let Some(of_key) = requests.get_mut(&self.key) else { return };
        of_key.retain(|signal| !Arc::ptr_eq(&signal.of, &self.own));
        if of_key.is_empty() {
            requests.remove(&self.key);
        }
    }
}
