//! Streams of legacy sessions that end before their answer: the client comes back for the rest with `Last-Event-ID`
//! (MCP 2025-11-25, basic/transports: polling).
//!
//! A plugin says when; the session manager, which owns the stream, lets go of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

type Key = (String, RequestId);

/// The streams of all calls under way that could be let go.
#[derive(Clone, Default)]
pub(super) struct Detached(Arc<Mutex<HashMap<Key, CancellationToken>>>);

/// One such stream; it is forgotten with this.
pub(super) struct Stream {
    all: Detached,
    key: Key,
    token: CancellationToken,
}

impl Detached {
    /// A request of a session has a stream of its own.
    pub(super) fn begin(&self, session: &str, request: &RequestId) -> Stream {
        let (key, token) = ((session.to_owned(), request.clone()), CancellationToken::new());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), token.clone());
        Stream { all: self.clone(), key, token }
    }

    /// Lets the stream of a request go.
    pub(super) fn detach(&self, session: &str, request: &RequestId) {
        let streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = streams.get(&(session.to_owned(), request.clone())) {
            token.cancel();
        }
    }
}

impl Stream {
    /// Done when the stream is let go.
    pub(super) fn detached(&self) -> CancellationToken {
        self.token.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
