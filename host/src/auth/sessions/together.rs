//! What requests of one process know of each other: refreshes under way, and codes that were just redeemed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::record::Record;
use crate::auth::tokens::{Family, TokenHash};
use crate::auth::upstream::{Identity, UpstreamTokens};

/// Lets one refresh of a session run at a time, so that the provider sees one and the others get its answer.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Family, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Runs `work` when it is its turn.
    pub(super) async fn take<T>(&self, family: Family, work: impl Future<Output = T>) -> T {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(family).or_default())
        };
        let outcome = {
            let _turn = turn.lock().await;
            work.await
        };
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the map's: nobody waits for it.
        if Arc::strong_count(&turn) <= 2 {
            turns.remove(&family);
        }
        outcome
    }
}

/// When a request came in.
#[derive(Debug, Clone, Copy)]
pub(in crate::auth) struct Began {
    at: Instant,
    at_ms: u64,
}

impl Began {
    pub(in crate::auth) fn now() -> Self {
        Self { at: Instant::now(), at_ms: now_ms() }
    }
}

/// Codes that were redeemed here a moment ago.
///
/// Some clients send the same redemption twice at once; the loser of that is no thief. A redemption that begins after
/// the first was answered is.
#[derive(Default)]
pub(super) struct Answered(Mutex<HashMap<TokenHash, Instant>>);

/// How long an answer is remembered exactly. Afterwards, and on other replicas, the time of use in the record counts.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How much the clocks of two replicas may differ before a doubled redemption is taken for a replay.
const CLOCKS_DIFFER_MS: u64 = 2_000;

impl Answered {
    pub(super) fn note(&self, code: TokenHash) {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|_, at| at.elapsed() < REMEMBERED);
        answered.insert(code, Instant::now());
    }

    /// Whether a request that began then came after the code's redemption, which was at `used_ms`, was answered.
    pub(super) fn is_replay(&self, code: &TokenHash, used_ms: u64, began: Began) -> bool {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answered.get(code) {
            Some(at) => began.at > *at,
            None => began.at_ms > used_ms + CLOCKS_DIFFER_MS,
        }
    }
}

/// What the provider gave in exchange for a refresh token; nothing, if nothing was due.
#[derive(Clone, Default)]
pub(super) struct Renewed {
    pub(super) tokens: Option<UpstreamTokens>,
    pub(super) identity: Option<Identity>,
}

impl Renewed {
    pub(super) fn apply(&self, record: &mut Record) {
        if let Some(tokens) = &self.tokens {
            record.upstream = tokens.clone();
            record.refused_since_s = None;
        }
        if let Some(identity) = &self.identity {
            record.identity = identity.clone();
        }
    }
}

/// What could not be stored yet of what the provider gave: providers take a refresh token once.
#[derive(Default)]
pub(super) struct Unsaved(Mutex<HashMap<Family, Renewed>>);

/// Sessions of which something may be unsaved at once. It takes a store that fails, and a refresh each.
const UNSAVED_MAX: usize = 10_000;

impl Unsaved {
    pub(super) fn keep(&self, family: Family, renewed: Renewed) {
        let mut unsaved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.tokens.is_some() && unsaved.len() < UNSAVED_MAX {
            unsaved.insert(family, renewed);
        }
    }

    pub(super) fn take(&self, family: &Family) -> Option<Renewed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(family)
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
