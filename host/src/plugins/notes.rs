//! Notes about one call, taken where things happen and read when it is over: times, requests, and decisions about grants.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::event::Decision;
use crate::metrics::Times;

/// Grants of one call that are told apart; a guest may ask for any number of places.
const DECISIONS_MAX: usize = 16;

/// Bytes of a place or a name: a guest's own words, some of them.
const PLACE_BYTES: usize = 200;

/// The notes. They outlive the call where an answer is still read.
#[derive(Debug, Default)]
pub struct CallNotes {
    waiting_ns: AtomicU64,
    instantiating_ns: AtomicU64,
    egress: Mutex<EgressClock>,
    answered: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    decisions: Mutex<Decisions>,
}

#[derive(Debug, Default)]
struct EgressClock {
    waits: usize,
    since: Option<Instant>,
    spent: Duration,
}

#[derive(Debug, Default)]
struct Decisions {
    list: Vec<Decision>,
    left_out: u64,
}

/// A wait for the outside; ends when this is dropped.
pub(in crate::plugins) struct EgressWait(Arc<CallNotes>);

/// The end of a request of the plugin.
#[derive(Debug, Clone, Copy)]
pub(in crate::plugins) enum RequestEnd {
    Answered,
    Failed,
    Refused,
}

impl CallNotes {
    /// The call has its places.
    pub(in crate::plugins) fn waited(&self, time: Duration) {
        add(&self.waiting_ns, time);
    }

    /// Its instance is made.
    pub(in crate::plugins) fn instantiated(&self, time: Duration) {
        add(&self.instantiating_ns, time);
    }

    /// It begins to wait for the outside.
    pub(in crate::plugins) fn wait_for_egress(self: &Arc<Self>) -> EgressWait {
        let mut clock = lock(&self.egress);
        clock.waits += 1;
        if clock.waits == 1 {
            clock.since = Some(Instant::now());
        }
        EgressWait(Arc::clone(self))
    }

    /// A request of it has ended.
    pub(in crate::plugins) fn request(&self, end: RequestEnd) {
        let counter = match end {
            RequestEnd::Answered => &self.answered,
            RequestEnd::Failed => &self.failed,
            RequestEnd::Refused => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// It has used a grant, or lacked one.
    pub(in crate::plugins) fn decided(&self, kind: &'static str, to: Option<&str>, is_allowed: bool) {
        let to = to.map(|to| &to[..to.floor_char_boundary(PLACE_BYTES)]);
        let mut decisions = lock(&self.decisions);
        let is_it =
            |known: &&mut Decision| known.kind == kind && known.to.as_deref() == to && known.is_allowed == is_allowed;
        if let Some(known) = decisions.list.iter_mut().find(is_it) {
            known.count += 1;
        } else if decisions.list.len() < DECISIONS_MAX {
            decisions.list.push(Decision { kind, to: to.map(str::to_owned), is_allowed, count: 1 });
        } else {
            decisions.left_out += 1;
        }
    }

    /// The times so far, without the whole.
    pub(super) fn times(&self) -> Times {
        let nanos = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        let clock = lock(&self.egress);
        let egress = clock.spent + clock.since.map(|since| since.elapsed()).unwrap_or_default();
        drop(clock);
        let (waiting, instantiating) = (nanos(&self.waiting_ns), nanos(&self.instantiating_ns));
        Times { total: Duration::ZERO, waiting, instantiating, egress }
    }

    /// Requests that were answered, that failed, and that were refused.
    pub(super) fn requests(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.answered), load(&self.failed), load(&self.refused))
    }

    /// The decisions so far, and the number of those that are not told apart.
    pub(super) fn take_decisions(&self) -> (Vec<Decision>, u64) {
        let Decisions { list, left_out } = std::mem::take(&mut *lock(&self.decisions));
        (list, left_out)
    }
}

impl Drop for EgressWait {
    fn drop(&mut self) {
        let mut clock = lock(&self.0.egress);
        clock.waits -= 1;
        if clock.waits == 0 {
            let spent = clock.since.take().map(|since| since.elapsed()).unwrap_or_default();
            clock.spent += spent;
        }
    }
}

fn add(counter: &AtomicU64, time: Duration) {
    counter.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_rolled_up_and_a_guest_cannot_make_many() {
        let notes = CallNotes::default();
        for _ in 0..3 {
            notes.decided("http", Some("https://a.example"), true);
        }
        (0..100).for_each(|number| notes.decided("http", Some(&format!("https://{number}.example")), false));
        notes.decided("kv", None, true);
        let (decisions, left_out) = notes.take_decisions();
        assert_eq!((decisions.len(), decisions[0].count, left_out), (16, 3, 86));
    }

    #[test]
    fn waits_that_overlap_are_one_time() {
        let notes = Arc::new(CallNotes::default());
        let began = Instant::now();
        let waits: Vec<EgressWait> = (0..10).map(|_| notes.wait_for_egress()).collect();
        std::thread::sleep(Duration::from_millis(5));
        drop(waits);
        let spent = notes.times().egress;
        assert!(spent >= Duration::from_millis(5) && spent <= began.elapsed(), "{spent:?}");
    }
}
