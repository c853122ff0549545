//! Places for running and waiting calls, of one plugin and of all together, shared by the people who make them.
//!
//! No person has every place: an eighth of those that others leave to them stays free, so that whoever comes next finds
//! one at once, however slow the calls are that run. Places that become free while others wait go round: first to the
//! person with the fewest running calls, then to the one whose last place is longest ago. Nobody fills the queue: when it
//! is full, a call of a person who holds less takes the place of the newest waiting call of the person who holds most.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map;
use std::sync::{Arc, PoisonError};

use crate::config::Limits;
use crate::sync::{Mutex, MutexGuard, oneshot};

/// The part of the places that one person leaves to others: one of so many. Of fewer than [`FEW`] places none is left,
/// since that would be too much of them.
const RESERVE: usize = 8;
const FEW: usize = 4;

/// The person behind a call: `Principal::person`, or nobody, when the host itself asks a plugin.
pub(in crate::plugins) type Person = Option<[u8; 32]>;

/// The places of one plugin, or of the pool for all. A plugin's gate outlives reloads, so that a reload is no way around
/// it.
pub(in crate::plugins) struct Gate {
    concurrency: usize,
    queue: usize,
    state: Mutex<GateState>,
}

/// A place of a call that runs, given back when this is dropped.
pub(in crate::plugins) struct Permit {
    gate: Arc<Gate>,
    person: Person,
}

/// The calls of a gate at a moment.
#[derive(Debug, Clone, Copy)]
pub(in crate::plugins) struct Counts {
    pub(in crate::plugins) places: usize,
    pub(in crate::plugins) running: usize,
    pub(in crate::plugins) waiting: usize,
}

/// The refusal of a call: the queue is full, and nobody else holds more of it than this person.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::plugins) struct Full;

#[derive(Default)]
struct GateState {
    running: usize,
    waiting: usize,
    /// Everybody with a call that runs or waits.
    people: HashMap<Person, Share>,
    /// Numbers places and waiting calls.
    last_number: u64,
}

/// The places of one person.
#[derive(Default)]
struct Share {
    running: usize,
    /// Oldest first.
    waiting: VecDeque<Waiter>,
    /// The number of the last place that this person was given; 0 before the first.
    last_place: u64,
}

impl Share {
    fn held(&self) -> usize {
        self.running + self.waiting.len()
    }

    /// True if the person may have one more of these places, of which so many are taken by anybody.
    fn may_run(&self, places: usize, taken: usize) -> bool {
        let for_person = places - (taken - self.running);
        let reserve = if for_person < FEW { 0 } else { for_person.div_ceil(RESERVE) };
        taken < places && self.running < for_person - reserve
    }
}

struct Waiter {
    number: u64,
    call: oneshot::Sender<Permit>,
}

/// A call in the queue: it leaves even when its caller goes away.
struct Waiting<'a> {
    gate: &'a Gate,
    person: Person,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.state().leave(self.person, self.number);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.release(self.person);
    }
}

impl Gate {
    pub(in crate::plugins) fn new(limits: &Limits) -> Self {
        Self::with(limits.concurrency.get(), limits.queue.get())
    }

    /// The places of the pool. Nobody is turned away there: those who wait have a place in their plugin.
    pub(in crate::plugins) fn of_pool(slots: usize) -> Self {
        Self::with(slots, usize::MAX)
    }

    fn with(concurrency: usize, queue: usize) -> Self {
        Self { concurrency, queue, state: Mutex::default() }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Full`]: at once, or later when others need the place in the queue more.
    pub(in crate::plugins) async fn enter(self: &Arc<Self>, person: Person) -> Result<Permit, Full> {
        let (waiting, granted) = {
            let mut state = self.state();
            if state.take(person, self.concurrency) {
                return Ok(self.permit(person));
            }
            if state.waiting >= self.queue && !state.make_room(person) {
                return Err(Full);
            }
            let (call, granted) = oneshot::channel();
            let number = state.wait(person, call);
            (Waiting { gate: self, person, number }, granted)
        };
        let permit = granted.await;
        drop(waiting);
        permit.map_err(|_| Full)
    }

    /// The places, and the calls that run and that wait.
    pub(in crate::plugins) fn counts(&self) -> Counts {
        let state = self.state();
        Counts { places: self.concurrency, running: state.running, waiting: state.waiting }
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permit(self: &Arc<Self>, person: Person) -> Permit {
        Permit { gate: Arc::clone(self), person }
    }

    /// Takes a place back, and hands it on.
    fn release(self: &Arc<Self>, person: Person) {
        self.state().give_back(person);
        // Perhaps several: the fewer places others have, the more are left to those who wait.
        while let Some((next, waiter)) = self.next() {
            // A caller who has just gone gives it back at once, when the permit is dropped.
            drop(waiter.call.send(self.permit(next)));
        }
    }

    fn next(&self) -> Option<(Person, Waiter)> {
        self.state().next(self.concurrency)
    }
}

impl GateState {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn wait(&mut self, person: Person, call: oneshot::Sender<Permit>) -> u64 {
        let number = self.number();
        self.waiting += 1;
        let share = self.people.entry(person).or_default();
        share.waiting.push_back(Waiter { number, call });
        number
    }

    /// Turns away the newest waiting call of the person who holds most, if that is more than `person` would hold then.
    fn make_room(&mut self, person: Person) -> bool {
        let own = self.people.get(&person).map_or(0, Share::held);
        let waiting = self.people.iter_mut().filter(|(_, share)| !share.waiting.is_empty());
        let Some((_, most)) = waiting.max_by_key(|(_, share)| (share.held(), share.last_place)) else { return false };
        if most.held() < own + 2 {
            return false;
        }
        // Dropping its sender tells the call.
        most.waiting.pop_back();
        self.waiting -= 1;
        true
    }

    /// Takes a call out of the queue, if it is still there.
    fn leave(&mut self, person: Person, number: u64) {
        let hash_map::Entry::Occupied(mut share) = self.people.entry(person) else { return };
        let before = share.get().waiting.len();
        share.get_mut().waiting.retain(|waiter| waiter.number != number);
        self.waiting -= before - share.get().waiting.len();
        if share.get().held() == 0 {
            share.remove();
        }
    }

    /// Takes a place for a person, if there is one that nobody waits for.
    fn take(&mut self, person: Person, places: usize) -> bool {
        let number = self.number();
        let share = self.people.entry(person).or_default();
        // Those who wait already come first, and get what becomes free.
        let takes = share.waiting.is_empty() && share.may_run(places, self.running);
        if takes {
            (share.running, share.last_place) = (share.running + 1, number);
            self.running += 1;
        } else if share.held() == 0 {
            self.people.remove(&person);
        }
        takes
    }

    fn give_back(&mut self, person: Person) {
        self.running -= 1;
        if let hash_map::Entry::Occupied(mut share) = self.people.entry(person) {
            share.get_mut().running -= 1;
            if share.get().held() == 0 {
                share.remove();
            }
        }
    }

    /// Gives a free place to the next waiting call, which it returns.
    fn next(&mut self, places: usize) -> Option<(Person, Waiter)> {
        if self.waiting == 0 {
            return None;
        }
        let (number, taken) = (self.number(), self.running);
        let waiting = self.people.iter_mut().filter(|(_, share)| !share.waiting.is_empty());
        let waiting = waiting.filter(|(_, share)| share.may_run(places, taken));
        let first = |share: &Share| share.waiting.front().map(|waiter| waiter.number);
        let (person, share) = waiting.min_by_key(|(_, share)| (share.running, share.last_place, first(share)))?;
        let waiter = share.waiting.pop_front()?;
        (share.running, share.last_place) = (share.running + 1, number);
        self.waiting -= 1;
        self.running += 1;
        Some((*person, waiter))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    type Entering = Pin<Box<dyn Future<Output = Result<Permit, Full>>>>;

    fn person(number: u8) -> Person {
        Some([number; 32])
    }

    /// A call that has asked for a place.
    fn enters(gate: &Arc<Gate>, number: u8) -> Entering {
        let gate = Arc::clone(gate);
        let mut entering: Entering = Box::pin(async move { gate.enter(person(number)).await });
        match entering.as_mut().now_or_never() {
            Some(outcome) => Box::pin(std::future::ready(outcome)),
            None => entering,
        }
    }

    fn is_turned_away(entering: &mut Entering) -> bool {
        matches!(entering.as_mut().now_or_never(), Some(Err(Full)))
    }

    fn permit(entering: &mut Entering) -> Option<Permit> {
        entering.as_mut().now_or_never()?.ok()
    }

    fn is_empty(gate: &Gate) -> bool {
        let state = gate.state();
        (state.running, state.waiting, state.people.len()) == (0, 0, 0)
    }

    #[test]
    fn a_person_alone_has_every_place() {
        let gate = Arc::new(Gate::with(2, 4));
        let mut calls: Vec<Entering> = (0..7).map(|_| enters(&gate, 1)).collect();
        assert!(is_turned_away(&mut calls[6]));
        let running: Vec<Permit> = calls[..2].iter_mut().filter_map(permit).collect();
        assert_eq!(running.len(), 2);
        assert!(calls[2..6].iter_mut().all(|call| call.as_mut().now_or_never().is_none()));
        drop(running);
        let running: Vec<Permit> = calls[2..4].iter_mut().filter_map(permit).collect();
        assert_eq!(running.len(), 2);
        drop((running, calls.split_off(4)));
        drop(calls);
        assert!(is_empty(&gate));
    }

    #[test]
    fn a_newcomer_takes_the_newest_waiting_call_of_who_has_most_and_runs_next() {
        let gate = Arc::new(Gate::with(2, 4));
        let mut greedy: Vec<Entering> = (0..6).map(|_| enters(&gate, 1)).collect();
        let mut running: Vec<Permit> = greedy[..2].iter_mut().filter_map(permit).collect();
        let mut others: Vec<Entering> = (2..=4).map(|number| enters(&gate, number)).collect();
        assert!(greedy[3..].iter_mut().all(is_turned_away));
        assert!(greedy[2].as_mut().now_or_never().is_none());
        // The queue is full again, and now nobody has more than a share of it.
        assert!(is_turned_away(&mut enters(&gate, 1)));
        for other in &mut others {
            running.remove(0);
            running.push(permit(other).expect("others come first, in their order"));
        }
        running.remove(0);
        assert!(permit(&mut greedy[2]).is_some());
    }

    #[test]
    fn a_person_alone_leaves_some_places_to_whoever_comes_next() {
        let gate = Arc::new(Gate::of_pool(256));
        let takes_all = |number| -> Vec<Permit> { std::iter::from_fn(|| permit(&mut enters(&gate, number))).collect() };
        let first = takes_all(1);
        let second = takes_all(2);
        let third = takes_all(3);
        let fourth = takes_all(4);
        assert_eq!([first.len(), second.len(), third.len(), fourth.len()], [224, 28, 3, 1]);
        // Of few places, one alone has all.
        let few = Arc::new(Gate::of_pool(3));
        let taken: Vec<Permit> = std::iter::from_fn(|| permit(&mut enters(&few, 1))).collect();
        assert_eq!(taken.len(), 3);
    }

    #[test]
    fn the_fewer_places_others_have_the_more_are_left_to_those_who_wait() {
        let gate = Arc::new(Gate::of_pool(8));
        let mut others: Vec<Permit> = (2..=5).filter_map(|number| permit(&mut enters(&gate, number))).collect();
        let mut calls: Vec<Entering> = (0..10).map(|_| enters(&gate, 1)).collect();
        let mut running: Vec<Permit> = calls.iter_mut().filter_map(permit).collect();
        assert_eq!(running.len(), 3);
        others.clear();
        calls.drain(..3);
        running.extend(calls.iter_mut().filter_map(permit));
        assert_eq!(running.len(), 7);
        drop((running, calls));
        assert!(is_empty(&gate));
    }

    #[test]
    fn places_go_round_while_everybody_asks_for_more() {
        let gate = Arc::new(Gate::with(1, 100));
        let mut running = permit(&mut enters(&gate, 0));
        let mut waiting: Vec<(u8, Entering)> = (0..20).map(|_| (1, enters(&gate, 1))).collect();
        waiting.extend((2..=4).flat_map(|number| [number; 5]).map(|number| (number, enters(&gate, number))));
        let mut order = Vec::new();
        for _ in 0..20 {
            running.take();
            let next = waiting.iter_mut().find_map(|(number, call)| Some((*number, permit(call)?)));
            let (number, permit) = next.expect("a place goes to somebody at once");
            // Whoever has it already does not ask again.
            let index = waiting.iter().position(|(other, _)| *other == number).expect("it waited");
            drop(waiting.remove(index));
            order.push(number);
            running = Some(permit);
        }
        assert_eq!(order[..8], [1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(order.iter().filter(|number| **number == 1).count(), 5);
    }

    #[test]
    fn a_full_pool_lets_everybody_wait_and_serves_them_in_turn() {
        let pool = Arc::new(Gate::of_pool(2));
        let mut greedy: Vec<Entering> = (0..8).map(|_| enters(&pool, 1)).collect();
        let mut running: Vec<Permit> = greedy[..2].iter_mut().filter_map(permit).collect();
        let mut other = enters(&pool, 2);
        running.pop();
        assert!(permit(&mut other).is_some(), "one with nothing comes before who has all");
        assert!(!greedy[2..].iter_mut().any(is_turned_away));
    }

    #[test]
    fn who_goes_away_leaves_nothing_behind() {
        let gate = Arc::new(Gate::with(1, 2));
        let first = permit(&mut enters(&gate, 1));
        let gone = enters(&gate, 2);
        let mut second = enters(&gate, 3);
        drop(gone);
        let gone_when_granted = enters(&gate, 2);
        drop(first);
        let second = permit(&mut second).expect("the one before it is gone");
        drop(second);
        // It was given the place, and never took it.
        drop(gone_when_granted);
        assert!(is_empty(&gate));
    }

    #[test]
    fn the_host_itself_is_nobody_and_waits_like_anybody() {
        let gate = Arc::new(Gate::with(1, 1));
        let running = permit(&mut enters(&gate, 1));
        let mut waiting = enters(&gate, 1);
        let mut own = Box::pin(gate.enter(None));
        assert!(own.as_mut().now_or_never().is_none());
        assert!(is_turned_away(&mut waiting));
        drop(running);
        assert!(own.now_or_never().is_some_and(|outcome| outcome.is_ok()));
    }
}
