//! The time up to which expired rows are removed: the least that the clock has shown lately.
//!
//! Reading takes an expired row for none, and believes the clock; a row that is removed does not come back. So what
//! expires by a clock that is wrong for a few minutes, even at the start of the server, is still there after them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::store::contract::Millis;

/// Time for which a row stays after its life.
const LATELY: Duration = Duration::from_secs(15 * 60);

/// The times that the clock has shown, less the time since the start.
pub(super) struct Horizon {
    start: Instant,
    shown: VecDeque<(Instant, Millis)>,
}

impl Horizon {
    pub(super) fn new(at: Instant, now: Millis) -> Self {
        Self { start: at, shown: VecDeque::from([(at, now)]) }
    }

    /// Notes the time of day. Returns the time by which rows may be removed, once it has been watched for long enough.
    pub(super) fn at(&mut self, at: Instant, now: Millis) -> Option<Millis> {
        let since_start = |at: Instant| Millis::try_from((at - self.start).as_millis()).unwrap_or(Millis::MAX);
        self.shown.push_back((at, now - since_start(at)));
        // One that is older than that stays, so that all of it is covered.
        while self.shown.get(1).is_some_and(|(shown, _)| at - *shown >= LATELY) {
            self.shown.pop_front();
        }
        let is_covered = self.shown.front().is_some_and(|(first, _)| at - *first >= LATELY);
        let least = self.shown.iter().map(|(_, offset)| *offset).min().filter(|_| is_covered)?;
        Some(least + since_start(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS_100: Millis = 100 * 24 * 3_600_000;
    const MINUTE: Millis = 60_000;

    /// The horizon at each of so many minutes, with a clock that is this far ahead in the minutes of a range.
    fn at_each_minute(minutes: Millis, wrong: std::ops::Range<Millis>) -> Vec<Option<Millis>> {
        let start = Instant::now();
        let shows = |minute: Millis| minute * MINUTE + if wrong.contains(&minute) { DAYS_100 } else { 0 };
        let mut horizon = Horizon::new(start, shows(0));
        let at = |minute: Millis| start + Duration::from_secs(60) * u32::try_from(minute).unwrap();
        (1..=minutes).map(|minute| horizon.at(at(minute), shows(minute))).collect()
    }

    #[test]
    fn a_clock_that_was_ahead_for_minutes_removes_nothing() {
        for wrong in [0..0, 0..3, 30..40] {
            for (minute, horizon) in (1..).zip(at_each_minute(100, wrong.clone())) {
                match minute {
                    ..15 => assert_eq!(horizon, None, "{minute}"),
                    _ => assert_eq!(horizon, Some(minute * MINUTE), "{wrong:?} {minute}"),
                }
            }
        }
    }

    #[test]
    fn one_that_stays_ahead_is_believed_in_the_end() {
        assert_eq!(at_each_minute(60, 30..100).last(), Some(&Some(60 * MINUTE + DAYS_100)));
    }
}
