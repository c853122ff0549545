//! Queues of files that wait for something of which there is little: the smallest first, and one place for each plugin.
//!
//! However many files somebody puts into the directory, and however often one is replaced, a small tool waits for none
//! that is larger. A file that is replaced while it waits keeps its place among those of its size; one that has just
//! had its turn comes after the others of its size.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Files of a size within the same power of four are alike: else a few bytes would decide.
const SIZE_STEP: u32 = 2;

/// Time for which the place of a file is kept that has left the queue: its replacement is loaded by then.
const KEPT: Duration = Duration::from_secs(60);

/// A number of turns, and the files that wait for one.
pub(super) struct Queue(Mutex<QueueState>);

struct QueueState {
    free: usize,
    waiting: Vec<Waiter>,
    /// The places of files that wait, and of those that have left the queue without a turn.
    places: HashMap<Arc<str>, Place>,
    last_number: u64,
}

struct Waiter {
    id: u64,
    name: Arc<str>,
    bytes: usize,
    place: u64,
    turn: oneshot::Sender<FileTurn>,
}

struct Place {
    number: u64,
    waiting: usize,
    left_at: Instant,
}

/// The turn of a file, given back when this is dropped.
pub(in crate::plugins) struct FileTurn(Arc<Queue>);

/// A file in the queue: it leaves even when it is replaced or taken away.
struct Waiting<'a> {
    queue: &'a Queue,
    id: u64,
}

impl Drop for FileTurn {
    fn drop(&mut self) {
        let next = self.0.state().hand_on();
        if let Some(turn) = next {
            // A file that has just gone gives it back at once, when the turn is dropped.
            drop(turn.send(Self(Arc::clone(&self.0))));
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if let Some(index) = state.waiting.iter().position(|waiter| waiter.id == self.id) {
            let name = state.waiting.swap_remove(index).name;
            if let Some(place) = state.places.get_mut(&name) {
                place.waiting = place.waiting.saturating_sub(1);
                place.left_at = Instant::now();
            }
        }
    }
}

impl Queue {
    pub(super) fn new(turns: usize) -> Self {
        let places = HashMap::new();
        Self(Mutex::new(QueueState { free: turns, waiting: Vec::new(), places, last_number: 0 }))
    }

    /// Waits for the turn of a plugin's file.
    pub(super) async fn enter(self: &Arc<Self>, name: &str, bytes: usize) -> FileTurn {
        loop {
            let Some((waiting, turn)) = self.ask(name, bytes) else { return FileTurn(Arc::clone(self)) };
            let given = turn.await;
            drop(waiting);
            // No sender is dropped while its file waits.
            if let Ok(turn) = given {
                return turn;
            }
        }
    }

    /// A turn, if one is free.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<FileTurn> {
        let mut state = self.state();
        state.free = state.free.checked_sub(1)?;
        Some(FileTurn(Arc::clone(self)))
    }

    /// A place in the queue; none if a turn is free, which is taken.
    fn ask(&self, name: &str, bytes: usize) -> Option<(Waiting<'_>, oneshot::Receiver<FileTurn>)> {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            return None;
        }
        let (sender, turn) = oneshot::channel();
        let id = state.wait(name, bytes, sender);
        Some((Waiting { queue: self, id }, turn))
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn wait(&mut self, name: &str, bytes: usize, turn: oneshot::Sender<FileTurn>) -> u64 {
        self.places.retain(|_, place| place.waiting > 0 || place.left_at.elapsed() < KEPT);
        self.last_number += 1;
        let (id, name) = (self.last_number, Arc::<str>::from(name));
        let new = Place { number: id, waiting: 0, left_at: Instant::now() };
        let place = self.places.entry(Arc::clone(&name)).or_insert(new);
        place.waiting += 1;
        let place = place.number;
        self.waiting.push(Waiter { id, name, bytes, place, turn });
        id
    }

    /// Takes a turn back, and chooses the next file for it.
    fn hand_on(&mut self) -> Option<oneshot::Sender<FileTurn>> {
        let size = |bytes: usize| bytes.checked_ilog2().unwrap_or_default() / SIZE_STEP;
        let rank = |waiter: &Waiter| (size(waiter.bytes), waiter.place);
        let Some(next) = (0..self.waiting.len()).min_by_key(|index| rank(&self.waiting[*index])) else {
            self.free += 1;
            return None;
        };
        let waiter = self.waiting.swap_remove(next);
        self.places.remove(&waiter.name);
        Some(waiter.turn)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    type Entering = Pin<Box<dyn Future<Output = FileTurn>>>;

    /// A file that has asked for a turn.
    fn enters(queue: &Arc<Queue>, name: &'static str, bytes: usize) -> Entering {
        let queue = Arc::clone(queue);
        let mut entering: Entering = Box::pin(async move { queue.enter(name, bytes).await });
        match entering.as_mut().now_or_never() {
            Some(turn) => Box::pin(std::future::ready(turn)),
            None => entering,
        }
    }

    /// The names in the order in which they get the only turn, which somebody has now.
    fn order(mut running: Option<FileTurn>, mut waiting: Vec<(&'static str, Entering)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(running.take());
            let next = waiting.iter_mut().position(|(_, entering)| {
                running = entering.as_mut().now_or_never();
                running.is_some()
            });
            order.push(waiting.remove(next.expect("a turn goes to some file at once")).0);
        }
        order
    }

    #[test]
    fn small_files_overtake_and_others_keep_their_order() {
        let queue = Arc::new(Queue::new(1));
        let running = enters(&queue, "first", 1).now_or_never();
        let files = [("a", 900_000), ("b", 800_000), ("c", 20_000), ("d", 1_000_000), ("e", 17_000)];
        let waiting = files.map(|(name, bytes)| (name, enters(&queue, name, bytes))).into();
        assert_eq!(order(running, waiting), ["c", "e", "a", "b", "d"]);
        assert!(queue.try_enter().is_some());
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_place_and_gets_no_second_one() {
        let queue = Arc::new(Queue::new(1));
        let running = enters(&queue, "first", 1).now_or_never();
        let replaced = enters(&queue, "a", 5000);
        let mut waiting: Vec<_> = ["b", "c"].map(|name| (name, enters(&queue, name, 5000))).into();
        drop(replaced);
        waiting.push(("a", enters(&queue, "a", 5100)));
        assert_eq!(queue.state().waiting.len(), 3);
        assert_eq!(order(running, waiting), ["a", "b", "c"]);
        // With a turn behind it, it comes after those who wait already.
        let running = enters(&queue, "first", 1).now_or_never();
        let waiting = ["b", "a", "c"].map(|name| (name, enters(&queue, name, 5000))).into();
        assert_eq!(order(running, waiting), ["b", "a", "c"]);
        assert!(queue.state().places.is_empty());
    }

    #[test]
    fn a_file_that_is_gone_takes_no_turn() {
        let queue = Arc::new(Queue::new(1));
        let running = enters(&queue, "first", 1).now_or_never();
        let gone = enters(&queue, "a", 5000);
        let gone_when_given = enters(&queue, "b", 5000);
        drop(gone);
        drop(running);
        drop(gone_when_given);
        assert!(queue.try_enter().is_some());
    }
}
