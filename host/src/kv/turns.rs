//! Turns of spaces before the one thread: the requests of a space in their order, the spaces one after the other. So whoever
//! reads megabytes in a loop keeps others waiting for one request, and not for all that it has in the queue.

use std::collections::{HashMap, VecDeque};

use super::request::Space;

/// What waits for its turn.
pub(super) struct Turns<T> {
    /// Those that wait, by space. A space that is here is in `order` once.
    lanes: HashMap<Space, VecDeque<T>>,
    order: VecDeque<Space>,
    /// How many wait in all lanes.
    waiting: usize,
    /// What is of no one space comes after all that came before it, and before all that comes later.
    barrier: Option<T>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), order: VecDeque::new(), waiting: 0, barrier: None }
    }
}

impl<T> Turns<T> {
    /// True if nothing more may be added before [`Self::next`] has given what is of no one space, or made room: `most` may
    /// wait here.
    pub(super) fn is_closed(&self, most: usize) -> bool {
        self.barrier.is_some() || self.waiting >= most
    }

    /// Adds a request of a space, or one of none.
    pub(super) fn add(&mut self, space: Option<Space>, request: T) {
        match space {
            None => self.barrier = Some(request),
            Some(space) => {
                if !self.lanes.contains_key(&space) {
                    self.order.push_back(space.clone());
                }
                self.lanes.entry(space).or_default().push_back(request);
                self.waiting += 1;
            }
        }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<T> {
        let Some(space) = self.order.pop_front() else { return self.barrier.take() };
        let lane = self.lanes.get_mut(&space)?;
        let request = lane.pop_front();
        match lane.is_empty() {
            true => drop(self.lanes.remove(&space)),
            false => self.order.push_back(space),
        }
        self.waiting -= usize::from(request.is_some());
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::request::Owner;

    fn space(plugin: &str) -> Option<Space> {
        Some(Space { plugin: plugin.to_owned(), owner: Owner::Plugin })
    }

    fn all(turns: &mut Turns<u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn spaces_take_turns_and_each_keeps_its_order() {
        let mut turns = Turns::default();
        for request in 0..4 {
            turns.add(space("a"), request);
        }
        turns.add(space("b"), 10);
        turns.add(space("b"), 11);
        assert!(!turns.is_closed(7));
        turns.add(space("c"), 20);
        assert!(turns.is_closed(7));
        assert_eq!(all(&mut turns), [0, 10, 20, 1, 11, 2, 3]);
        assert!(turns.lanes.is_empty() && turns.order.is_empty() && !turns.is_closed(1));
    }

    #[test]
    fn what_is_of_no_one_space_comes_after_all_before_it() {
        let mut turns = Turns::default();
        turns.add(space("a"), 0);
        turns.add(space("b"), 1);
        turns.add(None, 9);
        assert!(turns.is_closed(usize::MAX));
        assert_eq!(all(&mut turns), [0, 1, 9]);
        assert!(!turns.is_closed(usize::MAX));
        turns.add(None, 9);
        assert_eq!(all(&mut turns), [9]);
    }
}
