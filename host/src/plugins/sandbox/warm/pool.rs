//! Things that are kept for their owners' next time.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::{Mutex, MutexGuard};

/// Time that a thing waits for its owner to come again.
pub(super) const IDLE: Duration = Duration::from_secs(300);

/// A thing that is kept, its owner, and since when.
struct Kept<O, T> {
    owner: O,
    thing: T,
    since: Instant,
}

/// All things that are kept. The longest unused makes room for the next.
pub(super) struct Pool<O, T> {
    kept: Mutex<VecDeque<Kept<O, T>>>,
    capacity: usize,
}

impl<O, T> Pool<O, T> {
    /// Room for so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self { kept: Mutex::default(), capacity }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept<O, T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thing of the owner for whom this is true, the one that was put back last.
    pub(super) fn take(&self, is: impl Fn(&O) -> bool) -> Option<T> {
        let mut kept = self.kept();
        let index = kept.iter().rposition(|kept| is(&kept.owner))?;
        let found = kept.remove(index);
        drop(kept);
        found.filter(|kept| kept.since.elapsed() < IDLE).map(|kept| kept.thing)
    }

    /// Keeps a thing for its owner's next time.
    pub(super) fn put(&self, owner: O, thing: T) {
        // Freeing a thing takes a while, and others wait for the lock.
        let mut freed = Vec::new();
        let mut kept = self.kept();
        kept.push_back(Kept { owner, thing, since: Instant::now() });
        while kept.len() > self.capacity {
            freed.extend(kept.pop_front());
        }
        drop(kept);
        drop(freed);
    }

    /// Frees things of owners for whom this is not true, and what nobody has used for long.
    pub(super) fn sweep(&self, is_in_force: impl Fn(&O) -> bool) {
        let mut kept = self.kept();
        let (stay, freed): (VecDeque<_>, Vec<_>) =
            kept.drain(..).fold(Default::default(), |(mut stay, mut freed), kept| {
                if is_in_force(&kept.owner) && kept.since.elapsed() < IDLE {
                    stay.push_back(kept);
                } else {
                    freed.push(kept);
                }
                (stay, freed)
            });
        *kept = stay;
        drop(kept);
        drop(freed);
    }

    /// The number of things that are kept.
    pub(super) fn len(&self) -> usize {
        self.kept().len()
    }

    /// Lets all that is kept look unused for long.
    #[cfg(test)]
    pub(super) fn age(&self) {
        self.kept().iter_mut().for_each(|kept| kept.since = Instant::now() - IDLE);
    }
}
