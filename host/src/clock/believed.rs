//! The system's time of day, without leaps ahead that do not last.
//!
//! A clock that is wrong for a minute, a hundred days ahead, would end every session: clients throw away tokens that the
//! server calls expired, and some acts cannot be taken back. So a leap ahead counts once it has stood for a while. One
//! back counts at once: lives only get longer by it. The time in which a machine sleeps is no leap.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A step that counts at once: clocks that are set by others' are not further off.
const STEP_MS: i64 = 5 * 60 * 1000;

/// A difference that is no step.
const DRIFT_MS: i64 = 1000;

/// Time for which a leap has to stand.
const STANDING_MS: i64 = 10 * 60 * 1000;

/// No time: nothing has been measured.
const UNKNOWN: i64 = i64::MIN;

/// A clock that runs while the machine sleeps, and that nobody sets.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: ClockId = ClockId::Monotonic;

static BELIEVED: Believed = Believed { offset: AtomicI64::new(UNKNOWN), ahead_since: AtomicI64::new(UNKNOWN) };

/// The difference of the two clocks that is believed, and the leap that is not, in milliseconds.
struct Believed {
    /// The time of day less the steady time.
    offset: AtomicI64,
    /// The steady time at which the time of day was first seen to be ahead.
    ahead_since: AtomicI64,
}

/// The time of day.
pub(super) fn now() -> SystemTime {
    let said = SystemTime::now();
    let steady = clock_gettime(STEADY);
    let steady_ms = steady.tv_sec.saturating_mul(1000).saturating_add(steady.tv_nsec / 1_000_000);
    let said_ms =
        said.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    match BELIEVED.correct(said_ms, steady_ms) {
        0 => said,
        ahead_ms => said - Duration::from_millis(ahead_ms),
    }
}

impl Believed {
    /// The milliseconds by which the time of day is ahead of what is believed.
    fn correct(&self, said_ms: i64, steady_ms: i64) -> u64 {
        let offset = said_ms.saturating_sub(steady_ms);
        let known = self.offset.load(Ordering::Relaxed);
        let since = self.ahead_since.load(Ordering::Relaxed);
        let ahead = offset.saturating_sub(known);
        if known != UNKNOWN && ahead > STEP_MS {
            if since == UNKNOWN {
                self.ahead_since.store(steady_ms, Ordering::Relaxed);
                tracing::warn!(
                    "the clock went ahead by {} s: this counts once it has stood for {} minutes",
                    ahead / 1000,
                    STANDING_MS / 60_000
                );
            }
            if since == UNKNOWN || steady_ms.saturating_sub(since) < STANDING_MS {
                return ahead.unsigned_abs();
            }
        }
        if known == UNKNOWN || ahead.saturating_abs() > DRIFT_MS {
            self.offset.store(offset, Ordering::Relaxed);
        }
        if since != UNKNOWN {
            self.ahead_since.store(UNKNOWN, Ordering::Relaxed);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS_100: i64 = 100 * 24 * 3_600_000;
    const MINUTE: i64 = 60_000;

    /// The believed time after the clock has said these times, `(steady, ahead)` in milliseconds.
    fn after(said: &[(i64, i64)]) -> Vec<i64> {
        let believed = Believed { offset: AtomicI64::new(UNKNOWN), ahead_since: AtomicI64::new(UNKNOWN) };
        let of = |(steady, ahead): &(i64, i64)| {
            steady + ahead - i64::try_from(believed.correct(DAYS_100 + steady + ahead, *steady)).unwrap()
        };
        said.iter().map(of).collect()
    }

    #[test]
    fn a_leap_ahead_that_does_not_last_is_not_believed() {
        let said = [(0, 0), (1000, DAYS_100), (MINUTE, DAYS_100), (MINUTE + 1, 0), (20 * MINUTE, DAYS_100)];
        assert_eq!(after(&said), [0, 1000, MINUTE, MINUTE + 1, 20 * MINUTE]);
    }

    #[test]
    fn one_that_lasts_is_and_so_are_steps_and_ways_back() {
        let said = [(0, 0), (1000, DAYS_100), (11 * MINUTE, DAYS_100), (12 * MINUTE, DAYS_100)];
        assert_eq!(after(&said), [0, 1000, 11 * MINUTE + DAYS_100, 12 * MINUTE + DAYS_100]);
        let said = [(0, 0), (1, MINUTE), (2, 2 * MINUTE), (3, -DAYS_100), (4, -DAYS_100)];
        assert_eq!(after(&said), [0, 1 + MINUTE, 2 + 2 * MINUTE, 3 - DAYS_100, 4 - DAYS_100]);
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        let said: Vec<_> = (0..100_000).map(|at| (at * 1000, at * 10)).collect();
        assert_eq!(after(&said).last(), Some(&(99_999 * 1010)));
    }
}
