//! The places of streams that tell open pages of changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Open streams: of all, and of one person. Somebody with more pages than that loads them by hand.
const IN_ALL: usize = 512;
const OF_A_PERSON: usize = 16;

/// The open streams.
#[derive(Default)]
pub(in crate::http) struct Watchers(Arc<Mutex<HashMap<[u8; 32], usize>>>);

/// One open stream, until it is dropped.
pub(super) struct Place {
    watchers: Arc<Mutex<HashMap<[u8; 32], usize>>>,
    person: [u8; 32],
}

impl Watchers {
    /// A place for a stream of this person; strangers together are one.
    pub(super) fn enter(&self, person: [u8; 32]) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (open.values().sum::<usize>(), open.get(&person).copied().unwrap_or_default());
        if all >= IN_ALL || own >= OF_A_PERSON {
            return None;
        }
        open.insert(person, own + 1);
        Some(Place { watchers: Arc::clone(&self.0), person })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.person) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_person_takes_the_places_of_others() {
        let watchers = Watchers::default();
        let mut places: Vec<Place> = (0..OF_A_PERSON).map(|_| watchers.enter([1; 32]).unwrap()).collect();
        assert!(watchers.enter([1; 32]).is_none());
        assert!(watchers.enter([2; 32]).is_some());
        places.pop();
        assert!(watchers.enter([1; 32]).is_some());
        drop(places);
        assert!(watchers.0.lock().unwrap().is_empty());
    }
}
