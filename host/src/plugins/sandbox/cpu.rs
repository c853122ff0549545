//! The processor time of a guest, where its plugin has a bound on it (`cpu`).
//!
//! A guest runs within a poll of its call, on whatever thread polls it, so the time is that of the thread over each poll.
//! The host's own work in these polls counts too, such as taking over a result or copying what the guest reads; waiting
//! does not, for whatever it is. A guest that computes is looked at by its epoch callback, any other at the end of a poll.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::engine::TICK;

/// The time of one guest. One thread at a time polls it.
pub(super) struct Meter {
    bound: Duration,
    /// Nanoseconds of the polls that are over.
    spent: AtomicU64,
    /// The clock of the polling thread at the beginning of its poll, in nanoseconds.
    began: AtomicU64,
}

/// The guest has had all of its time.
#[derive(Debug, thiserror::Error)]
#[error("no processor time is left")]
pub(super) struct Spent;

impl Meter {
    pub(super) fn new(bound: Duration) -> Self {
        Self { bound, spent: AtomicU64::new(0), began: AtomicU64::new(0) }
    }

    /// Polls a guest, and ends it if it waits and has had more than its time.
    pub(super) fn poll<T>(&self, poll: impl FnOnce() -> Poll<wasmtime::Result<T>>) -> Poll<wasmtime::Result<T>> {
        self.began.store(thread_time(), Ordering::Relaxed);
        let polled = poll();
        let spent = self.spent();
        self.spent.store(spent, Ordering::Relaxed);
        match polled {
            Poll::Pending if spent > nanoseconds(self.bound) => Poll::Ready(Err(Spent.into())),
            polled => polled,
        }
    }

    /// The ticks that a guest may compute before it is looked at again, at most so many. To be asked within its poll.
    ///
    /// # Errors
    /// [`Spent`]
    pub(super) fn ticks(&self, most: u64) -> Result<u64, Spent> {
        let left = nanoseconds(self.bound).checked_sub(self.spent()).ok_or(Spent)?;
        Ok(left.div_ceil(nanoseconds(TICK)).clamp(1, most))
    }

    /// Gives the guest its whole time again. To be called within its poll.
    pub(super) fn restart(&self) {
        self.spent.store(0, Ordering::Relaxed);
        self.began.store(thread_time(), Ordering::Relaxed);
    }

    fn spent(&self) -> u64 {
        let of_poll = thread_time().saturating_sub(self.began.load(Ordering::Relaxed));
        self.spent.load(Ordering::Relaxed).saturating_add(of_poll)
    }
}

/// The processor time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or_default() * 1_000_000_000 + nanoseconds.unwrap_or_default()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn compute(time: Duration) {
        let began = thread_time();
        while thread_time() - began < nanoseconds(time) {}
    }

    #[test]
    fn computing_counts_and_waiting_does_not() {
        let meter = Meter::new(Duration::from_millis(40));
        let pending = |work: &dyn Fn()| {
            let polled = meter.poll::<()>(|| {
                work();
                Poll::Pending
            });
            polled.is_pending()
        };
        let began = Instant::now();
        assert!(pending(&|| std::thread::sleep(Duration::from_millis(60))));
        assert!(began.elapsed() > Duration::from_millis(60));
        assert!(pending(&|| compute(Duration::from_millis(20))));
        // On another thread, whose own clock stands elsewhere.
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                compute(Duration::from_millis(5));
                pending(&|| compute(Duration::from_millis(10)))
            });
            assert!(other.join().unwrap());
        });
        assert!(!pending(&|| compute(Duration::from_millis(20))));
    }

    #[test]
    fn the_nearer_the_end_the_sooner_a_guest_is_looked_at() {
        // What a busy machine takes from this thread counts as its own, so the near end is not always met.
        let meter = Meter::new(Duration::from_millis(200));
        let is_met = (0..20).any(|_| {
            meter.restart();
            assert_eq!(meter.ticks(5).unwrap(), 5);
            compute(Duration::from_millis(195));
            let near = meter.ticks(5);
            compute(Duration::from_millis(6));
            assert!(meter.ticks(5).is_err());
            near.is_ok_and(|ticks| (1..=3).contains(&ticks))
        });
        assert!(is_met);
        meter.restart();
        assert_eq!(meter.ticks(2).unwrap(), 2);
    }

    #[test]
    fn what_is_done_is_done() {
        let meter = Meter::new(Duration::from_millis(1));
        let polled = meter.poll(|| {
            compute(Duration::from_millis(5));
            Poll::Ready(Ok(7))
        });
        assert!(matches!(polled, Poll::Ready(Ok(7))));
    }
}
