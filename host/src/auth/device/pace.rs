//! The pace of devices: how often each may ask (RFC 8628 §3.5).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::tokens::Family;

/// Time between two requests of a device.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// What is added, for good, when a device asks sooner.
const SLOWER: Duration = Duration::from_secs(5);

/// Requests that a network delivers together were not sent so.
const TOLERANCE: Duration = Duration::from_millis(500);

/// The life of a device in here.
const KEPT: Duration = Duration::from_secs(20 * 60);

/// Devices in here before those are forgotten that have not asked for long.
const DEVICES_MAX: usize = 4096;

/// The last request of each device, and the time that it has to wait.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<Family, (Instant, Duration)>>);

impl Pace {
    /// Notes a request; false for one that came too soon.
    pub(super) fn ask(&self, device: Family, now: Instant) -> bool {
        let mut devices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if devices.len() >= DEVICES_MAX {
            devices.retain(|_, (last, _)| now.duration_since(*last) < KEPT);
        }
        let Some((last, interval)) = devices.get_mut(&device) else {
            if devices.len() < DEVICES_MAX {
                devices.insert(device, (now, INTERVAL));
            }
            return true;
        };
        let is_slow = now.duration_since(*last) + TOLERANCE >= *interval;
        *last = now;
        if !is_slow {
            *interval += SLOWER;
        }
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_was_told_to_slow_down_stays_slow() {
        let (pace, device, start) = (Pace::default(), Family::new(), Instant::now());
        let at = |seconds: f64| pace.ask(device, start + Duration::from_secs_f64(seconds));
        assert!(at(0.0) && at(4.8));
        assert!(!at(6.0), "ten seconds from now on");
        assert!(!at(12.0), "and fifteen");
        assert!(at(27.0) && !at(40.0) && at(60.0));
        assert!(pace.ask(Family::new(), start));
    }
}
