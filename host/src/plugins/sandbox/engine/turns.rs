//! Turns on the processors for work that takes long, shared by plugin and by person.
//!
//! There are as many turns as processors. A piece of work has one for a slice of time, and then waits for its next one.
//! A turn that becomes free goes to work whose plugin and person have the fewest turns now, then to whose last one is
//! longest ago: neither a plugin with many callers nor a person with many calls delays others by more than a slice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The plugin and the person for whom work is done: by `Principal::person`, or nobody, when the host itself asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plugins) struct Share {
    pub(in crate::plugins) plugin: Arc<str>,
    pub(in crate::plugins) person: Option<[u8; 32]>,
}

/// The turns of all work.
pub(super) struct Turns(Mutex<TurnsState>);

/// A turn, given back when this is dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    share: Share,
}

struct TurnsState {
    free: usize,
    waiting: Vec<Waiter>,
    plugins: HashMap<Arc<str>, Record>,
    people: HashMap<Option<[u8; 32]>, Record>,
    /// Numbers turns and waiting work.
    last_number: u64,
}

struct Waiter {
    number: u64,
    share: Share,
    turn: oneshot::Sender<Turn>,
}

/// The turns of one plugin, or of one person.
#[derive(Default)]
struct Record {
    running: usize,
    waiting: usize,
    /// The number of the last turn; 0 before the first.
    last_turn: u64,
}

/// Work that waits for a turn: it leaves the queue even when nobody wants it any more.
struct Waiting<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.state().leave(self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.turns.state().hand_on(&self.share);
        if let Some(Waiter { share, turn, .. }) = next {
            // Work that nobody wants any more gives it back at once, when the turn is dropped.
            drop(turn.send(Self { turns: Arc::clone(&self.turns), share }));
        }
    }
}

impl Turns {
    pub(super) fn new(count: usize) -> Self {
        Self(Mutex::new(TurnsState {
            free: count,
            waiting: Vec::new(),
            plugins: HashMap::new(),
            people: HashMap::new(),
            last_number: 0,
        }))
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Arc<Self>, share: &Share) -> Turn {
        loop {
            let (waiting, turn) = match self.ask(share) {
                Ok(turn) => return turn,
                Err(asked) => asked,
            };
            let taken = turn.await;
            drop(waiting);
            // No sender is dropped while its work waits.
            if let Ok(turn) = taken {
                return turn;
            }
        }
    }

    /// A turn if one is free; else a place in the queue for one.
    fn ask(self: &Arc<Self>, share: &Share) -> Result<Turn, (Waiting<'_>, oneshot::Receiver<Turn>)> {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            state.begin(share);
            return Ok(Turn { turns: Arc::clone(self), share: share.clone() });
        }
        let (sender, turn) = oneshot::channel();
        let number = state.wait(share, sender);
        drop(state);
        Err((Waiting { turns: self, number }, turn))
    }

    fn state(&self) -> MutexGuard<'_, TurnsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Lets others go first, if there are any, and waits for the next turn of the same work. Blocks the thread.
    pub(super) fn pass_on(self) -> Self {
        let turns = Arc::clone(&self.turns);
        let (sender, turn) = oneshot::channel();
        {
            let mut state = turns.state();
            if state.waiting.is_empty() {
                return self;
            }
            state.wait(&self.share, sender);
        }
        let share = self.share.clone();
        drop(self);
        match turn.blocking_recv() {
            Ok(turn) => turn,
            // No sender is dropped while its work waits.
            Err(_) => {
                turns.state().begin(&share);
                Self { turns, share }
            }
        }
    }
}

impl TurnsState {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn records(&mut self, share: &Share) -> [&mut Record; 2] {
        [self.plugins.entry(Arc::clone(&share.plugin)).or_default(), self.people.entry(share.person).or_default()]
    }

    fn begin(&mut self, share: &Share) {
        let number = self.number();
        for record in self.records(share) {
            record.running += 1;
            record.last_turn = number;
        }
    }

    fn wait(&mut self, share: &Share, turn: oneshot::Sender<Turn>) -> u64 {
        let number = self.number();
        self.records(share).into_iter().for_each(|record| record.waiting += 1);
        self.waiting.push(Waiter { number, share: share.clone(), turn });
        number
    }

    /// Takes work out of the queue, if it is still there.
    fn leave(&mut self, number: u64) {
        if let Some(index) = self.waiting.iter().position(|waiter| waiter.number == number) {
            self.take_waiter(index);
        }
    }

    fn take_waiter(&mut self, index: usize) -> Waiter {
        let waiter = self.waiting.swap_remove(index);
        self.records(&waiter.share).into_iter().for_each(|record| record.waiting -= 1);
        self.forget(&waiter.share);
        waiter
    }

    /// Takes a turn back, and gives it to the next work, which it returns.
    fn hand_on(&mut self, share: &Share) -> Option<Waiter> {
        self.records(share).into_iter().for_each(|record| record.running -= 1);
        let next = (0..self.waiting.len()).min_by_key(|index| self.rank(&self.waiting[*index]));
        let next = next.map(|index| self.take_waiter(index));
        match &next {
            Some(waiter) => self.begin(&waiter.share),
            None => self.free += 1,
        }
        self.forget(share);
        next
    }

    /// The least is next.
    fn rank(&self, waiter: &Waiter) -> (usize, u64, u64, u64) {
        let of = |record: Option<&Record>| record.map_or((0, 0), |record| (record.running, record.last_turn));
        let plugin = of(self.plugins.get(&waiter.share.plugin));
        let person = of(self.people.get(&waiter.share.person));
        (plugin.0 + person.0, plugin.1.max(person.1), plugin.1.min(person.1), waiter.number)
    }

    fn forget(&mut self, share: &Share) {
        forget(&mut self.plugins, &share.plugin);
        forget(&mut self.people, &share.person);
    }
}

/// Drops the record of who has nothing and waits for nothing.
fn forget<K: Hash + Eq>(records: &mut HashMap<K, Record>, key: &K) {
    if records.get(key).is_some_and(|record| record.running + record.waiting == 0) {
        records.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    type Asking = Pin<Box<dyn Future<Output = Turn>>>;

    fn share(plugin: &str, person: u8) -> Share {
        Share { plugin: plugin.into(), person: Some([person; 32]) }
    }

    /// Work that has asked for a turn.
    fn asks(turns: &Arc<Turns>, share: Share) -> Asking {
        let turns = Arc::clone(turns);
        let mut asking: Asking = Box::pin(async move { turns.take(&share).await });
        match asking.as_mut().now_or_never() {
            Some(turn) => Box::pin(std::future::ready(turn)),
            None => asking,
        }
    }

    fn is_empty(turns: &Turns) -> bool {
        let state = turns.state();
        (state.free, state.waiting.len(), state.plugins.len(), state.people.len()) == (1, 0, 0, 0)
    }

    /// The order in which all get a turn.
    fn order(turns: &Arc<Turns>, first: Share, others: &[Share]) -> Vec<usize> {
        let mut running = asks(turns, first).now_or_never();
        let mut waiting: Vec<(usize, Asking)> =
            others.iter().enumerate().map(|(index, share)| (index, asks(turns, share.clone()))).collect();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(running.take());
            let next = waiting.iter_mut().position(|(_, asking)| {
                running = asking.as_mut().now_or_never();
                running.is_some()
            });
            order.push(waiting.remove(next.expect("a turn goes to somebody at once")).0);
        }
        order
    }

    #[test]
    fn neither_a_plugin_of_many_nor_a_person_with_many_delays_others() {
        let turns = Arc::new(Turns::new(1));
        // A plugin with many callers, and a caller of another one.
        let mut others: Vec<Share> = (1..=6).map(|person| share("greedy", person)).collect();
        others.push(share("other", 9));
        assert_eq!(order(&turns, share("greedy", 0), &others)[0], 6);
        // A person with calls of many plugins, and another person.
        let mut others: Vec<Share> = (1..=6).map(|plugin| share(&format!("p{plugin}"), 0)).collect();
        others.push(share("p7", 9));
        assert_eq!(order(&turns, share("p0", 0), &others)[0], 6);
        // Within one plugin, by person.
        let others = [share("greedy", 0), share("greedy", 0), share("greedy", 9)];
        assert_eq!(order(&turns, share("greedy", 0), &others), [2, 0, 1]);
        assert!(is_empty(&turns));
    }

    #[test]
    fn work_that_nobody_wants_leaves_nothing_behind() {
        let turns = Arc::new(Turns::new(1));
        let running = asks(&turns, share("a", 1)).now_or_never();
        let gone = asks(&turns, share("b", 2));
        let gone_when_given = asks(&turns, share("c", 3));
        drop(gone);
        drop(running);
        drop(gone_when_given);
        assert!(is_empty(&turns));
    }

    #[test]
    fn work_goes_on_after_those_who_waited() {
        let turns = Arc::new(Turns::new(1));
        let turn = asks(&turns, share("a", 1)).now_or_never().unwrap().pass_on();
        let other = asks(&turns, share("b", 2));
        let passed = std::thread::spawn(move || turn.pass_on());
        let other = futures::executor::block_on(other);
        assert!(!passed.is_finished());
        drop(other);
        drop(passed.join().unwrap());
        assert!(is_empty(&turns));
    }
}
