//! The logins that were approved and have not ended with a session, by address. Each is a row in the store, and whoever
//! opens the consent page can make them, so that they have a bound.
//!
//! Beyond it the oldest one of the address that holds most gives way, and its browser is told to begin again. Nobody is
//! turned away: then strangers with some hundred addresses would keep everybody from logging in.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::peer::network;
use crate::store::Key;

/// The most of all addresses, some 50 MiB in the store.
const IN_ALL: usize = 8192;

/// The most of one address: a company may be behind it.
const PER_ADDRESS: usize = 1024;

/// Time for which a row may be in the store: ten minutes until the provider answers, ten after it, and until it is
/// swept.
const KEPT: Duration = Duration::from_secs(40 * 60);

/// The logins of all addresses.
#[derive(Default)]
pub(in crate::auth) struct Unfinished(Mutex<Register>);

/// How many there may be, and for how long they count.
struct Bounds {
    in_all: usize,
    per_address: usize,
    kept: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { in_all: IN_ALL, per_address: PER_ADDRESS, kept: KEPT }
    }
}

#[derive(Default)]
struct Register {
    bounds: Bounds,
    /// From the oldest to the youngest.
    logins: VecDeque<Login>,
    held: HashMap<IpAddr, usize>,
}

struct Login {
    key: Key,
    address: IpAddr,
    began: Instant,
}

impl Unfinished {
    /// So many of all addresses and of one, each of which counts for this time.
    pub(in crate::auth) fn at_most(in_all: usize, per_address: usize, kept: Duration) -> Self {
        Self(Mutex::new(Register { bounds: Bounds { in_all, per_address, kept }, ..Register::default() }))
    }

    /// Counts a login of an address. Returns those that give way to it.
    #[must_use]
    pub(in crate::auth) fn begin(&self, key: Key, address: IpAddr) -> Vec<Key> {
        self.register().begin(Login { key, address: network(address), began: Instant::now() })
    }

    /// Takes a login out that has ended with a session: its person counts from now on.
    pub(in crate::auth) fn end(&self, key: Key) {
        let mut register = self.register();
        if let Some(at) = register.logins.iter().position(|login| login.key == key) {
            register.remove(at);
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register {
    fn begin(&mut self, login: Login) -> Vec<Key> {
        let (now, address) = (login.began, login.address);
        while self.logins.front().is_some_and(|oldest| now.duration_since(oldest.began) >= self.bounds.kept) {
            self.remove(0);
        }
        *self.held.entry(address).or_default() += 1;
        self.logins.push_back(login);
        let mut gone = Vec::new();
        if self.held[&address] > self.bounds.per_address {
            gone.extend(self.remove_oldest_of(address));
        }
        while self.logins.len() > self.bounds.in_all {
            let Some(largest) = self.held.iter().max_by_key(|(_, held)| **held).map(|(address, _)| *address) else {
                break;
            };
            gone.extend(self.remove_oldest_of(largest));
        }
        gone
    }

    fn remove_oldest_of(&mut self, address: IpAddr) -> Option<Key> {
        let at = self.logins.iter().position(|login| login.address == address)?;
        self.remove(at)
    }

    fn remove(&mut self, at: usize) -> Option<Key> {
        let Login { key, address, .. } = self.logins.remove(at)?;
        if let Some(held) = self.held.get_mut(&address) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&address);
            }
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        Key::of(&number.to_be_bytes())
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_to_its_next() {
        let unfinished = Unfinished::default();
        let most = u32::try_from(PER_ADDRESS).unwrap();
        for number in 0..most {
            assert_eq!(unfinished.begin(key(number), address(1)), []);
        }
        assert_eq!(unfinished.begin(key(most), address(2)), []);
        assert_eq!(unfinished.begin(key(most + 1), address(1)), [key(0)]);
        // One that has ended with a session gives room.
        unfinished.end(key(1));
        assert_eq!(unfinished.begin(key(most + 2), address(1)), []);
        assert_eq!(unfinished.begin(key(most + 3), address(1)), [key(2)]);
    }

    #[test]
    fn of_all_addresses_those_that_hold_most_lose_first() {
        let unfinished = Unfinished::default();
        let person = key(u32::MAX);
        assert_eq!(unfinished.begin(person, address(u32::from(u16::MAX))), []);
        let mut gone = Vec::new();
        for number in 0..u32::try_from(4 * IN_ALL).unwrap() {
            gone.extend(unfinished.begin(key(number), address(number % 1000)));
        }
        let register = unfinished.register();
        assert_eq!((register.logins.len(), register.held.values().sum::<usize>()), (IN_ALL, IN_ALL));
        assert_eq!(gone.len(), 3 * IN_ALL + 1);
        assert!(!gone.contains(&person) && register.logins.iter().any(|login| login.key == person));
    }

    #[test]
    fn what_has_left_the_store_does_not_count() {
        let mut register = Register::default();
        let start = Instant::now();
        let mut begin = |number, began| register.begin(Login { key: key(number), address: address(number), began });
        assert_eq!(begin(1, start), []);
        assert_eq!(begin(2, start + KEPT / 2), []);
        assert_eq!(begin(3, start + KEPT), []);
        assert_eq!(register.logins.iter().map(|login| login.key).collect::<Vec<_>>(), [key(2), key(3)]);
        assert!(!register.held.contains_key(&address(1)));
    }
}
