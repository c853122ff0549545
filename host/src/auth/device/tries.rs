//! Wrong codes: five in one visit of the page, and some more from one network, whatever its cookies.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::peer::network;

/// Wrong codes in one visit of the page.
pub(super) const PER_VISIT: u32 = 5;

/// Wrong codes of one network, behind which there may be a company.
const PER_NETWORK: u32 = 50;

/// Time for which a wrong code counts: as long as a device's code lives.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// Visits and networks in here. Beyond them the oldest are forgotten.
const COUNTED_MAX: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Tries(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    visits: HashMap<String, (u32, Instant)>,
    networks: HashMap<IpAddr, (u32, Instant)>,
}

impl Tries {
    /// True if another code may be tried.
    pub(super) fn may_try(&self, visit: &str, address: IpAddr, now: Instant) -> bool {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |count: Option<&(u32, Instant)>| {
            count.filter(|(_, first)| now.duration_since(*first) < KEPT).map_or(0, |(count, _)| *count)
        };
        of(counts.visits.get(visit)) < PER_VISIT && of(counts.networks.get(&network(address))) < PER_NETWORK
    }

    /// Counts a wrong code. Returns how many more the visit has.
    pub(super) fn wrong(&self, visit: &str, address: IpAddr, now: Instant) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut counts.networks, network(address), now);
        PER_VISIT.saturating_sub(count(&mut counts.visits, visit.to_owned(), now))
    }
}

fn count<K: Hash + Eq + Clone>(counts: &mut HashMap<K, (u32, Instant)>, key: K, now: Instant) -> u32 {
    if counts.len() >= COUNTED_MAX && !counts.contains_key(&key) {
        counts.retain(|_, (_, first)| now.duration_since(*first) < KEPT);
        let oldest = counts.iter().min_by_key(|(_, (_, first))| *first).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest.filter(|_| counts.len() >= COUNTED_MAX) {
            counts.remove(&oldest);
        }
    }
    let (count, first) = counts.entry(key).or_insert((0, now));
    if now.duration_since(*first) >= KEPT {
        (*count, *first) = (0, now);
    }
    *count += 1;
    *count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[test]
    fn five_wrong_codes_end_a_visit() {
        let (tries, start) = (Tries::default(), Instant::now());
        for left in (0..PER_VISIT).rev() {
            assert!(tries.may_try("a", address(1), start));
            assert_eq!(tries.wrong("a", address(1), start), left);
        }
        assert!(!tries.may_try("a", address(1), start) && !tries.may_try("a", address(2), start));
        assert!(tries.may_try("b", address(1), start), "another visit");
        assert!(tries.may_try("a", address(1), start + KEPT));
    }

    #[test]
    fn a_network_that_forgets_its_cookies_is_still_the_same() {
        let (tries, start) = (Tries::default(), Instant::now());
        for number in 0..PER_NETWORK {
            let visit = number.to_string();
            assert!(tries.may_try(&visit, address(1), start));
            tries.wrong(&visit, address(1), start);
        }
        assert!(!tries.may_try("fresh", address(1), start) && tries.may_try("fresh", address(2), start));
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let (tries, start) = (Tries::default(), Instant::now());
        for number in 0..u32::try_from(COUNTED_MAX + 10).unwrap() {
            tries.wrong(&number.to_string(), IpAddr::from(number.to_be_bytes()), start);
        }
        let counts = tries.0.lock().unwrap();
        assert!(counts.visits.len() <= COUNTED_MAX && counts.networks.len() <= COUNTED_MAX);
    }
}
