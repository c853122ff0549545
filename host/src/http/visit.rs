//! One request, from its head to the last byte of its answer: whose it is, and what it counts against.
//!
//! Until [`Visit::know`] it is a stranger's, and what it makes the server hold is bounded, in all and for each address:
//! bytes of bodies, and requests at once on HTTP/2, where one connection has many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::places::Place;
use super::transport::Clock;
use crate::overload::Overload;
use crate::peer::{Peer, network};

/// Bytes of strangers' bodies that may be held at once: in all, for one address, on one connection. Their forms have
/// 64 KiB at most, and most of them a tenth of one.
const BODIES: Bounds = Bounds { total: 8 << 20, address: 1 << 20, connection: 256 << 10 };

/// Strangers' requests at once on HTTP/2. Each may hold the head of a request and its answer, some 40 KiB.
const STREAMS: Bounds = Bounds { total: 256, address: 32, connection: 16 };

/// One address gets one of so many parts of what is left.
const PARTS: usize = 8;

/// How many at once, from the outside in.
struct Bounds {
    total: usize,
    address: usize,
    connection: usize,
}

/// What the strangers of a server hold.
#[derive(Default)]
pub(super) struct Strangers {
    bodies: Mutex<Held>,
    streams: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Held {
    /// Takes so much more. No address holds more than a part of what is left, so that there is always some for one that
    /// holds nothing.
    fn take(&mut self, bounds: &Bounds, address: IpAddr, amount: usize) -> Result<(), Overload> {
        let left = bounds.total - self.total;
        let held = self.by_address.entry(address).or_default();
        if *held + amount > (left / PARTS).max(1).min(bounds.address) || amount > left {
            if *held == 0 {
                self.by_address.remove(&address);
            }
            return Err(Overload);
        }
        *held += amount;
        self.total += amount;
        Ok(())
    }

    fn give_back(&mut self, address: IpAddr, amount: usize) {
        self.total -= amount;
        if let Some(held) = self.by_address.get_mut(&address) {
            *held -= amount;
            if *held == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's place and clock, and what strangers hold through it.
pub(super) struct Entrance {
    pub(super) place: Place,
    clock: Arc<Clock>,
    strangers: Arc<Strangers>,
    body_bytes: AtomicUsize,
    streams: AtomicUsize,
}

impl Entrance {
    pub(super) fn new(place: Place, clock: Arc<Clock>, strangers: Arc<Strangers>) -> Self {
        Self { place, clock, strangers, body_bytes: AtomicUsize::new(0), streams: AtomicUsize::new(0) }
    }
}

/// A request under way.
pub(super) struct Visit {
    entrance: Arc<Entrance>,
    /// Where it comes from, past trusted proxies.
    pub(super) address: IpAddr,
    is_known: AtomicBool,
    /// Whether it counts as a stranger's stream, and how many bytes of it as a stranger's.
    is_counted: AtomicBool,
    body_bytes: AtomicUsize,
}

impl Visit {
    /// Begins a request that came on this connection, for this address. Many of them share one connection if
    /// `is_stream`.
    pub(super) fn begin(
        entrance: &Arc<Entrance>,
        peer: &Peer,
        address: IpAddr,
        is_stream: bool,
    ) -> Result<Arc<Self>, Overload> {
        let visit = Self {
            entrance: Arc::clone(entrance),
            address: network(address),
            is_known: AtomicBool::new(false),
            is_counted: AtomicBool::new(false),
            body_bytes: AtomicUsize::new(0),
        };
        entrance.place.begin((address != peer.address.ip().to_canonical()).then_some(visit.address));
        match is_stream {
            true => visit.count()?,
            false => entrance.clock.is_of_http1(),
        }
        Ok(Arc::new(visit))
    }

    fn count(&self) -> Result<(), Overload> {
        let Entrance { place, strangers, streams, .. } = &*self.entrance;
        if !place.is_proxys() && streams.load(Ordering::Relaxed) >= STREAMS.connection {
            return Err(Overload);
        }
        lock(&strangers.streams).take(&STREAMS, self.address, 1)?;
        streams.fetch_add(1, Ordering::Relaxed);
        self.is_counted.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Says who it is from: from now on it counts as theirs.
    pub(super) fn know(&self, person: [u8; 32]) {
        if !self.is_known.swap(true, Ordering::Relaxed) {
            self.give_back();
            self.entrance.place.know(person);
        }
    }

    /// Counts bytes of the request's body, as long as nobody knows whose it is. They count until it ends.
    pub(super) fn receive(&self, bytes: usize) -> Result<(), Overload> {
        if self.is_known.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Entrance { place, strangers, body_bytes, .. } = &*self.entrance;
        if !place.is_proxys() && body_bytes.load(Ordering::Relaxed) + bytes > BODIES.connection {
            return Err(Overload);
        }
        lock(&strangers.bodies).take(&BODIES, self.address, bytes)?;
        body_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back what counts as a stranger's.
    fn give_back(&self) {
        let Entrance { strangers, streams, body_bytes, .. } = &*self.entrance;
        if self.is_counted.swap(false, Ordering::Relaxed) {
            lock(&strangers.streams).give_back(self.address, 1);
            streams.fetch_sub(1, Ordering::Relaxed);
        }
        let bytes = self.body_bytes.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            lock(&strangers.bodies).give_back(self.address, bytes);
            body_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.give_back();
        self.entrance.clock.understood();
        self.entrance.place.end(self.is_known.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_what_is_left_for_others() {
        let bounds = Bounds { total: 1000, address: 100, connection: 10 };
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut held = Held::default();
        for one in 0..20 {
            while held.take(&bounds, address(one), 1).is_ok() {}
        }
        assert_eq!(held.by_address[&address(0)], 100);
        assert!(held.total < 1000, "{}", held.total);
        assert!(held.take(&bounds, address(20), 1).is_ok());
        assert!(held.take(&bounds, address(0), 1).is_err());
        held.give_back(address(0), 100);
        assert!(!held.by_address.contains_key(&address(0)));
        assert!(held.take(&bounds, address(21), 1001).is_err() && !held.by_address.contains_key(&address(21)));
    }
}
