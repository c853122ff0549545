//! The places for listeners, in streams that are open for as long as a client likes: fewer than the connections, so that
//! some of these are always left for requests. When all are taken, the person who holds most loses the oldest to a
//! newcomer who holds fewer; who holds most is told so.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The part of all connections that listeners leave to requests.
const LEFT: usize = 16;

/// All places of a server.
pub(super) struct ListenerPlaces {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    count: usize,
    next: u64,
    /// Each person's, oldest first.
    people: HashMap<[u8; 32], VecDeque<Occupant>>,
}

struct Occupant {
    id: u64,
    evicted: CancellationToken,
}

/// One place, free again when this is dropped.
pub(super) struct ListenerPlace {
    places: Arc<ListenerPlaces>,
    person: [u8; 32],
    id: u64,
    evicted: CancellationToken,
}

/// The refusal of a place to a person who holds no fewer than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all places for event streams are taken, and you hold {0} of them: close one that you no longer read")]
pub(super) struct NoPlace(usize);

impl ListenerPlaces {
    /// The places of a server with so many connections.
    pub(super) fn new(connections: usize) -> Arc<Self> {
        let max = (connections - connections / LEFT).max(1);
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// All are taken, and no other person holds so many more that one of them can make room.
    pub(super) fn enter(self: &Arc<Self>, person: [u8; 32]) -> Result<ListenerPlace, NoPlace> {
        let mut taken = self.taken();
        let own = taken.people.get(&person).map_or(0, VecDeque::len);
        if taken.count >= self.max && !taken.evict_one_of_more_than(own + 1) {
            return Err(NoPlace(own));
        }
        let (id, evicted) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.count += 1;
        taken.people.entry(person).or_default().push_back(Occupant { id, evicted: evicted.clone() });
        drop(taken);
        Ok(ListenerPlace { places: Arc::clone(self), person, id, evicted })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Frees the oldest place of the person who holds most, if these are more than so many.
    fn evict_one_of_more_than(&mut self, least: usize) -> bool {
        let largest = self.people.values_mut().max_by_key(|own| own.len()).filter(|own| own.len() > least);
        let Some(oldest) = largest.and_then(VecDeque::pop_front) else { return false };
        self.count -= 1;
        oldest.evicted.cancel();
        true
    }
}

impl ListenerPlace {
    /// Resolves when the place is given to somebody else.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for ListenerPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let Some(own) = taken.people.get_mut(&self.person) else { return };
        let before = own.len();
        own.retain(|occupant| occupant.id != self.id);
        let gone = before - own.len();
        let is_last = own.is_empty();
        taken.count -= gone;
        if is_last {
            taken.people.remove(&self.person);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn who_holds_most_makes_room_and_is_told_so() {
        let places = ListenerPlaces::new(16);
        let many: Vec<ListenerPlace> = (0..15).map(|_| places.enter([1; 32]).unwrap()).collect();
        assert_eq!(places.enter([1; 32]).err(), Some(NoPlace(15)));
        let other = places.enter([2; 32]).unwrap();
        assert!(many[0].evicted().now_or_never().is_some() && many[1].evicted().now_or_never().is_none());
        assert_eq!(places.enter([1; 32]).err(), Some(NoPlace(14)));
        drop(many);
        assert_eq!(places.taken().count, 1);
        let rest: Vec<ListenerPlace> = (0..14).map(|_| places.enter([3; 32]).unwrap()).collect();
        assert_eq!(places.enter([3; 32]).err(), Some(NoPlace(14)));
        assert!(other.evicted().now_or_never().is_none());
        drop((rest, other));
        assert!(places.taken().people.is_empty());
    }

    #[test]
    fn two_people_do_not_take_one_place_from_each_other() {
        let places = ListenerPlaces::new(1);
        let first = places.enter([1; 32]).unwrap();
        assert_eq!(places.enter([2; 32]).err(), Some(NoPlace(0)));
        drop(first);
        assert!(places.enter([2; 32]).is_ok());
    }
}
