//! Sessions in memory, so that most requests need no look into the store.
//!
//! An entry may be some seconds older than the store, never more: a session that another replica ended is dead
//! here soon, one that this process ended at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::presence::Presence;
use super::record::{AccessRecord, BrowserRecord};
use crate::auth::identity::Identity;
use crate::auth::people::Version;
use crate::auth::tokens::{Family, TokenHash};
use crate::principal::Principal;
use crate::replicas::hearing::Hearing;
use crate::store::Key;
use crate::view::View;

/// The age after which a session is read again beside the request that uses it.
const FRESH: Duration = Duration::from_secs(5);

/// The age after which a request waits until its session was read again.
const USABLE: Duration = Duration::from_secs(15);

/// The time for which the end of a session is remembered, so that nobody who read its row before brings it back.
const ENDED: Duration = Duration::from_secs(60);

/// The time for which a session is kept that nobody uses. It goes on after it, with a look into the store.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Time between two looks for such.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The most sessions that are kept. Each request of one beyond them costs a look into the store.
const SESSIONS_MAX: usize = 50_000;

/// One session.
pub(super) struct LiveSession {
    /// Counts the changes of the row that it was read from: a later state is never replaced by an earlier one.
    changes: u64,
    pub(super) loaded: Instant,
    is_reloading: AtomicBool,
    pub(super) facts: Arc<Facts>,
    /// The rules that the grants were decided by.
    pub(super) rules: Version,
    pub(super) grants: Vec<Grant>,
    /// The rotation whose tokens have not been seen yet; its first use is noted.
    pub(super) unused_generation: Option<u32>,
    is_noted: Arc<AtomicBool>,
    /// What all states of the session share.
    pub(super) presence: Arc<Presence>,
}

/// The facts of a session that rules decide by.
pub(super) struct Facts {
    pub(super) identity: Arc<Identity>,
    pub(super) provider: String,
    pub(super) client_id: String,
    pub(super) view: View,
    pub(super) client_name: Option<String>,
    /// The part of a browser's session; none of every other client.
    pub(super) browser: Option<BrowserRecord>,
    /// The time, in seconds since 1970, from which on the provider is asked again (`auth.recheck`); none, if never.
    pub(super) recheck_at_s: Option<u64>,
    /// See `Record::all_ended`.
    pub(super) all_ended: u64,
}

/// One access token.
pub(super) struct Grant {
    pub(super) access: AccessRecord,
    /// The principal that calls with it, made at its first use: most tokens of a session were followed by others. None if the
    /// person may not call.
    principal: OnceLock<Option<Arc<Principal>>>,
}

impl Grant {
    pub(super) fn new(access: AccessRecord) -> Self {
        Self { access, principal: OnceLock::new() }
    }

    /// The principal that calls with it.
    pub(super) fn principal(&self, make: impl FnOnce() -> Option<Principal>) -> Option<&Arc<Principal>> {
        self.principal.get_or_init(|| make().map(Arc::new)).as_ref()
    }
}

/// The age of an entry.
pub(super) enum Freshness {
    Fresh,
    /// Usable; the caller should read the session again beside the request.
    Reload,
    Stale,
    /// The store cannot be asked.
    Away,
}

#[derive(Default)]
pub(super) struct SessionCache(RwLock<Entries>);

#[derive(Default)]
struct Entries {
    live: HashMap<Family, Arc<LiveSession>>,
    ended: HashMap<Key, Instant>,
    swept: Option<Instant>,
}

impl Entries {
    /// Forgets the sessions that nobody has used for long, now and then.
    fn sweep(&mut self, kept: Duration, every: Duration) {
        if self.swept.is_none_or(|at| at.elapsed() >= every) {
            self.live.retain(|_, live| live.loaded.elapsed() <= kept);
            self.swept = Some(Instant::now());
        }
    }
}

impl LiveSession {
    pub(super) fn new(
        changes: u64,
        facts: Arc<Facts>,
        rules: Version,
        grants: Vec<Grant>,
        unused_generation: Option<u32>,
        presence: Arc<Presence>,
    ) -> Self {
        Self {
            changes,
            loaded: Instant::now(),
            is_reloading: AtomicBool::new(false),
            facts,
            rules,
            grants,
            unused_generation,
            is_noted: Arc::default(),
            presence,
        }
    }

    /// Exactly one caller is told to reload. What others change must be heard, or nothing counts as fresh.
    pub(super) fn freshness(&self, hearing: Hearing) -> Freshness {
        match hearing {
            Hearing::Alone | Hearing::Clear => {}
            Hearing::Deaf => return Freshness::Stale,
            Hearing::Away(_) | Hearing::Outdated => return Freshness::Away,
        }
        match self.loaded.elapsed() {
            age if age <= FRESH => Freshness::Fresh,
            age if age > USABLE => Freshness::Stale,
            _ if self.is_reloading.swap(true, Ordering::Relaxed) => Freshness::Fresh,
            _ => Freshness::Reload,
        }
    }

    /// True once: for the first use of a token, which has to be noted.
    pub(super) fn is_first_use(&self, grant: &Grant) -> bool {
        self.unused_generation == Some(grant.access.generation) && !self.is_noted.swap(true, Ordering::Relaxed)
    }

    pub(super) fn grant(&self, hash: &TokenHash) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.access.hash == *hash)
    }
}

impl SessionCache {
    /// How many are kept once those are forgotten that were not used for so long.
    #[cfg(test)]
    pub(super) fn kept_for(&self, kept: Duration) -> usize {
        let mut sessions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        sessions.sweep(kept, Duration::ZERO);
        sessions.live.len()
    }

    pub(super) fn get(&self, family: &Family) -> Option<Arc<LiveSession>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).live.get(family).cloned()
    }

    /// Keeps a session, unless a later state of it is known or it has ended. Returns the session.
    pub(super) fn insert(&self, family: Family, live: LiveSession) -> Arc<LiveSession> {
        let new = Arc::new(live);
        let mut sessions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Only what the store gives is kept here: while it is away nothing is forgotten.
        sessions.sweep(KEPT, SWEEP_EVERY);
        let Entries { live, ended, .. } = &mut *sessions;
        let is_outdated = live.get(&family).is_some_and(|known| known.changes > new.changes);
        if ended.contains_key(&family.row()) {
            new.presence.ended.cancel();
            return new;
        }
        if is_outdated {
            return new;
        }
        if live.len() >= SESSIONS_MAX {
            live.retain(|_, live| live.loaded.elapsed() <= USABLE);
        }
        if live.len() >= SESSIONS_MAX {
            live.clear();
        }
        live.insert(family, Arc::clone(&new));
        new
    }

    /// Replaces a session by the same state of it under other rules. Returns the new one.
    pub(super) fn replace(
        &self,
        family: Family,
        old: &Arc<LiveSession>,
        (rules, grants): (Version, Vec<Grant>),
    ) -> Arc<LiveSession> {
        let new = Arc::new(LiveSession {
            changes: old.changes,
            loaded: old.loaded,
            is_reloading: AtomicBool::new(false),
            facts: Arc::clone(&old.facts),
            rules,
            grants,
            unused_generation: old.unused_generation,
            is_noted: Arc::clone(&old.is_noted),
            presence: Arc::clone(&old.presence),
        });
        let mut sessions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = sessions.live.get_mut(&family).filter(|current| Arc::ptr_eq(current, old)) {
            *current = Arc::clone(&new);
        }
        new
    }

    /// Forgets all sessions: any of them may have been changed elsewhere.
    pub(super) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).live.clear();
    }

    /// Forgets a session whose row is gone.
    pub(super) fn forget(&self, family: &Family) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).live.remove(family);
    }

    /// Forgets a session that this process has ended, and takes it no more.
    pub(super) fn end(&self, key: Key, family: Option<Family>) {
        let mut sessions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(family) = family {
            sessions.live.remove(&family);
        }
        sessions.ended.retain(|_, at| at.elapsed() < ENDED);
        sessions.ended.insert(key, Instant::now());
    }
}
