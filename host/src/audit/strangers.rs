//! The lines that strangers can cause: so many a minute, and the number of the others in the next one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines a minute. Whoever sends nonsense must not fill the disk with lines about it.
const LINES: u64 = 120;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts them.
#[derive(Default)]
pub(super) struct Strangers(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    began: Option<Instant>,
    lines: u64,
    left_out: u64,
}

impl Strangers {
    /// The number of events that had no line before this one; none if this one has none either.
    pub(super) fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.began.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE) {
            minute.began = Some(now);
            minute.lines = 0;
        }
        if minute.lines >= LINES {
            minute.left_out += 1;
            return None;
        }
        minute.lines += 1;
        Some(std::mem::take(&mut minute.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_lines_and_the_next_one_says_how_many_it_had_not() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let admitted = (0..1000).filter(|_| strangers.admit_at(now).is_some()).count();
        assert_eq!(admitted, 120);
        assert_eq!(strangers.admit_at(now + MINUTE), Some(880));
        assert_eq!(strangers.admit_at(now + MINUTE), Some(0));
    }
}
