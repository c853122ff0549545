//! The pace of a call's reports.

use std::time::{Duration, Instant};

/// Between two reports of one call: a person sees no more, and a client must not be flooded. The last report, which
/// reaches its total, always goes out.
const PAUSE: Duration = Duration::from_millis(20);

/// Remembers the last report that went out.
#[derive(Default)]
pub(in crate::plugins::imports) struct Throttle(Option<(f64, Instant)>);

impl Throttle {
    /// Reports must grow (MCP, utilities/progress); those that do not are dropped, as are those that follow too soon.
    pub(super) fn admits(&mut self, now: Instant, done: f64, total: Option<f64>) -> bool {
        let is_last = total.is_some_and(|total| done >= total);
        let fits = match self.0 {
            None => true,
            Some((before, at)) => done > before && (is_last || now.duration_since(at) >= PAUSE),
        };
        let admits = done.is_finite() && fits;
        if admits {
            self.0 = Some((done, now));
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_grow_and_leave_room_and_the_last_one_always_comes() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let soon = start + PAUSE;
        assert!(!throttle.admits(start, f64::NAN, None));
        assert!(throttle.admits(start, 0.0, Some(10.0)));
        assert!(!throttle.admits(start, 1.0, Some(10.0)), "too soon");
        assert!(!throttle.admits(soon, 0.0, Some(10.0)), "no more than before");
        assert!(throttle.admits(soon, 2.0, Some(10.0)));
        assert!(throttle.admits(soon, 10.0, Some(10.0)), "the last");
        assert!(!throttle.admits(soon, 10.0, Some(10.0)), "not twice");
    }
}
