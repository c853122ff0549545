//! The cache of metadata documents, and of failures to fetch them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::{DocumentError, DocumentWithKeys};
use crate::fetch::{Document, FetchError};

/// Documents that are remembered, failures included.
const MAX_ENTRIES: usize = 256;

/// Bytes of all of them. Each may have 64 KiB, and as much again of keys elsewhere; real ones have 1 KiB.
const MAX_BYTES: usize = 4 << 20;

/// The most that a set of keys takes which is at another URL.
const REMOTE_KEYS_BYTES: usize = 64 << 10;

/// Bounds of what a document's server says about its age. A document is never asked for more often, so that
/// `/authorize` is no means to make requests, and its changes are seen within a day.
const FRESH: [Duration; 2] = [Duration::from_secs(5 * 60), Duration::from_secs(24 * 60 * 60)];

/// The age of a document whose server says nothing.
const FRESH_BY_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// The time beyond that for which a document is used while it cannot be fetched.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Wait after a fetch that failed, when there is a document to go on with.
const RETRY_BEHIND_COPY: Duration = Duration::from_secs(5 * 60);

/// Wait after a fetch that failed, when there is none. Short, since somebody is trying to log in.
const RETRY: Duration = Duration::from_secs(30);

/// Outcomes by client id.
pub(super) struct DocumentCache<F>(HashMap<String, Entry<F>>);

struct Entry<F> {
    outcome: Result<Arc<DocumentWithKeys<F>>, DocumentError>,
    /// The time until which there is no reason to fetch.
    fresh_until: Instant,
    /// The time until which it may be used if a fetch fails.
    stale_until: Instant,
    used: Instant,
    /// Its size, about.
    bytes: usize,
}

impl<F> Default for DocumentCache<F> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<F> DocumentCache<F> {
    /// The outcome of an earlier fetch, while it is fresh.
    pub(super) fn fresh(
        &mut self,
        client_id: &str,
        now: Instant,
    ) -> Option<Result<Arc<DocumentWithKeys<F>>, DocumentError>> {
        let entry = self.0.get_mut(client_id).filter(|entry| now < entry.fresh_until)?;
        entry.used = now;
        Some(entry.outcome.clone())
    }

    /// The last good document, however old.
    pub(super) fn last_good(&self, client_id: &str) -> Option<Arc<DocumentWithKeys<F>>> {
        self.0.get(client_id).and_then(|entry| entry.outcome.as_ref().ok()).cloned()
    }

    /// Takes a document that was just fetched.
    pub(super) fn keep(&mut self, client_id: &str, client: Arc<DocumentWithKeys<F>>, fetched: &Document, now: Instant) {
        let [shortest, longest] = FRESH;
        let fresh_until = now + fetched.max_age.unwrap_or(FRESH_BY_DEFAULT).clamp(shortest, longest);
        let keys = if client.remote_keys.is_some() { REMOTE_KEYS_BYTES } else { 0 };
        let bytes = fetched.body.len() + keys;
        let entry = Entry { outcome: Ok(client), fresh_until, stale_until: fresh_until + STALE, used: now, bytes };
        self.insert(client_id, entry);
    }

    /// Notes a failed fetch. Returns the last good document, `copy`, or the failure.
    pub(super) fn fail(
        &mut self,
        client_id: &str,
        failure: DocumentError,
        copy: impl FnOnce() -> Option<Arc<DocumentWithKeys<F>>>,
        now: Instant,
    ) -> Result<Arc<DocumentWithKeys<F>>, DocumentError> {
        if let Some(entry) = self.0.get_mut(client_id)
            && let Ok(client) = &entry.outcome
            && now < entry.stale_until
            && !ends_document(&failure)
        {
            entry.fresh_until = now + RETRY_BEHIND_COPY;
            entry.used = now;
            return Ok(client.clone());
        }
        let copy = if matches!(failure, DocumentError::Invalid(_)) { None } else { copy() };
        // Not asked: the next one may be.
        if matches!(failure, DocumentError::Fetch(FetchError::Limited)) {
            return copy.ok_or(failure);
        }
        let fresh_until = now + if copy.is_some() { RETRY_BEHIND_COPY } else { RETRY };
        let outcome = copy.ok_or(failure);
        self.insert(client_id, Entry { outcome: outcome.clone(), fresh_until, stale_until: now, used: now, bytes: 0 });
        outcome
    }

    /// Makes room by forgetting the least recently used failure, or document if there is no failure: naming documents
    /// that are not there pushes out none that are.
    fn insert(&mut self, client_id: &str, entry: Entry<F>) {
        self.0.remove(client_id);
        while self.0.len() >= MAX_ENTRIES || self.bytes() + entry.bytes > MAX_BYTES {
            let oldest = self.0.iter().min_by_key(|(_, entry)| (entry.outcome.is_ok(), entry.used));
            let Some(oldest) = oldest.map(|(client_id, _)| client_id.clone()) else { break };
            self.0.remove(&oldest);
        }
        self.0.insert(client_id.to_owned(), entry);
    }

    fn bytes(&self) -> usize {
        self.0.values().map(|entry| entry.bytes).sum()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Makes everything older.
    #[cfg(test)]
    pub(super) fn age(&mut self, time: Duration) {
        for entry in self.0.values_mut() {
            entry.fresh_until -= time;
            entry.stale_until -= time;
            entry.used -= time;
        }
    }
}

/// True if the document's server says that there is no such document any more, or not this one.
fn ends_document(failure: &DocumentError) -> bool {
    match failure {
        DocumentError::Fetch(FetchError::Status(status)) => {
            matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE)
        }
        DocumentError::Invalid(_) => true,
        _ => false,
    }
}
