//! What all states of one session in memory share: its end, and its last use.
//!
//! A use costs no write: it is noted here, and goes into the session's row with the next change that is written anyway.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::record::Use;
use crate::auth::tokens::Family;
use crate::store::Key;

/// The most sessions that are remembered. Those beyond lose their last use since the last change of their row.
const PRESENT_MAX: usize = 50_000;

/// One session.
pub(super) struct Presence {
    pub(super) family: Family,
    /// Cancelled when the session ends.
    pub(super) ended: CancellationToken,
    used_s: AtomicU64,
    from: Mutex<Option<IpAddr>>,
}

/// The sessions that were used lately.
#[derive(Default)]
pub(super) struct Presences(Mutex<HashMap<Key, Arc<Presence>>>);

impl Presence {
    /// Notes a use; of several in a second, the first.
    pub(super) fn note(&self, now_s: u64, from: impl FnOnce() -> Option<IpAddr>) {
        if self.used_s.load(Ordering::Relaxed) >= now_s {
            return;
        }
        if let Some(from) = from() {
            *self.from.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            self.used_s.store(now_s, Ordering::Relaxed);
        }
    }

    /// The last use.
    pub(super) fn last_use(&self) -> Option<Use> {
        let from = *self.from.lock().unwrap_or_else(PoisonError::into_inner);
        from.map(|from| Use { at_s: self.used_s.load(Ordering::Relaxed), from })
    }
}

impl Presences {
    /// The presence of a session.
    pub(super) fn of(&self, family: Family) -> Arc<Presence> {
        let mut present = self.lock();
        if present.len() >= PRESENT_MAX {
            // A session in the cache, or in a call, holds its own.
            present.retain(|_, presence| Arc::strong_count(presence) > 1);
        }
        let new =
            || Presence { family, ended: CancellationToken::new(), used_s: AtomicU64::new(0), from: Mutex::default() };
        Arc::clone(present.entry(family.row()).or_insert_with(|| Arc::new(new())))
    }

    /// That of a session which was used lately.
    pub(super) fn find(&self, key: &Key) -> Option<Arc<Presence>> {
        self.lock().get(key).cloned()
    }

    /// Sessions in which something goes on, or that are remembered otherwise.
    pub(super) fn in_use(&self) -> Vec<Family> {
        let present = self.lock();
        let used = present.values().filter(|presence| Arc::strong_count(presence) > 1);
        used.map(|presence| presence.family).collect()
    }

    /// Ends a session: whatever goes on in it ends. Returns its family, if it was used lately.
    pub(super) fn end(&self, key: &Key) -> Option<Family> {
        let presence = self.lock().remove(key)?;
        presence.ended.cancel();
        Some(presence.family)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Presence>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_is_noted_once_a_second_and_an_end_is_told() {
        let presences = Presences::default();
        let family = Family::new();
        let presence = presences.of(family);
        assert_eq!(presence.last_use(), None);
        let from = |last: u8| move || Some(IpAddr::from([192, 0, 2, last]));
        presence.note(10, from(1));
        presence.note(10, from(2));
        assert_eq!(presence.last_use(), Some(Use { at_s: 10, from: [192, 0, 2, 1].into() }));
        presences.of(family).note(11, from(2));
        assert_eq!(presence.last_use(), Some(Use { at_s: 11, from: [192, 0, 2, 2].into() }));
        let key = family.row();
        assert!(presences.end(&key) == Some(family) && presence.ended.is_cancelled());
        assert!(presences.find(&key).is_none() && presences.end(&key).is_none());
        assert!(!presences.of(family).ended.is_cancelled());
    }
}
