//! One request, from its head to the last byte of its answer, and the limits that it counts against.
//!
//! Until [`ActiveRequest::identify`] it is a stranger's. Two things of strangers are limited, in all, for each address
//! and on each connection: bytes of bodies, and requests at once on HTTP/2, where one connection has many.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::places::Place;
use super::tally::Tally;
use super::transport::Activity;
use crate::auth::LastToken;
use crate::overload::Overload;
use crate::peer::{Peer, network};

/// Bytes of strangers' bodies that may be held at once: in all, for one address, on one connection. Their forms have
/// 64 KiB at most, and most of them a tenth of one.
const BODIES: Bounds = Bounds { total: 8 << 20, address: 1 << 20, connection: 256 << 10 };

/// Strangers' requests at once on HTTP/2. Each may hold the head of a request and its answer, some 40 KiB.
const STREAMS: Bounds = Bounds { total: 256, address: 32, connection: 16 };

/// One address gets one of so many parts of the rest.
const PARTS: usize = 8;

/// The most at once: in all, of one address, on one connection.
struct Bounds {
    total: usize,
    address: usize,
    connection: usize,
}

/// Bodies and streams that strangers hold, for the whole server.
#[derive(Default)]
pub(super) struct StrangerLimits {
    bodies: Mutex<Tally>,
    streams: Mutex<Tally>,
}

/// Takes an amount, if there is room. No address holds more than a part of the rest, so that there is always some for
/// one that holds nothing.
fn take(tally: &mut Tally, bounds: &Bounds, address: IpAddr, amount: usize) -> Result<(), Overload> {
    let left = bounds.total - tally.total();
    if tally.of(address) + amount > (left / PARTS).max(1).min(bounds.address) || amount > left {
        return Err(Overload);
    }
    tally.add(address, amount);
    Ok(())
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's place and activity, and the amounts that strangers hold through it.
pub(super) struct OpenConnection {
    pub(super) place: Place,
    activity: Arc<Activity>,
    strangers: Arc<StrangerLimits>,
    body_bytes: AtomicUsize,
    streams: AtomicUsize,
    working: AtomicUsize,
    sending: AtomicUsize,
    last_token: LastToken,
}

/// The progress of a request, by the side that it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client has not sent all of its body.
    Receiving,
    /// The server makes the answer, or its next piece.
    Working,
    /// The client has not taken all that is there of the answer.
    Sending,
}

impl OpenConnection {
    pub(super) fn new(place: Place, activity: Arc<Activity>, strangers: Arc<StrangerLimits>) -> Self {
        let [body_bytes, streams, working, sending] = [0; 4].map(AtomicUsize::new);
        Self { place, activity, strangers, body_bytes, streams, working, sending, last_token: LastToken::default() }
    }

    /// True while a request waits for the server.
    pub(super) fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }

    /// True while an answer waits for its client.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed) > 0
    }

    fn counter(&self, stage: Stage) -> Option<&AtomicUsize> {
        match stage {
            Stage::Receiving => None,
            Stage::Working => Some(&self.working),
            Stage::Sending => Some(&self.sending),
        }
    }
}

/// A request in progress.
pub(super) struct ActiveRequest {
    connection: Arc<OpenConnection>,
    /// The address that it comes from, past trusted proxies.
    pub(super) address: IpAddr,
    is_known: AtomicBool,
    /// True while it counts as a stranger's stream.
    is_counted: AtomicBool,
    /// Bytes of it that count as a stranger's.
    body_bytes: AtomicUsize,
    stage: AtomicU8,
}

impl ActiveRequest {
    /// Begins a request of this address on a connection, which has many of them if `is_stream` (HTTP/2).
    pub(super) fn begin(
        connection: &Arc<OpenConnection>,
        peer: &Peer,
        address: IpAddr,
        is_stream: bool,
    ) -> Result<Arc<Self>, Overload> {
        let active = Self {
            connection: Arc::clone(connection),
            address: network(address),
            is_known: AtomicBool::new(false),
            is_counted: AtomicBool::new(false),
            body_bytes: AtomicUsize::new(0),
            stage: AtomicU8::new(Stage::Working as u8),
        };
        connection.working.fetch_add(1, Ordering::Relaxed);
        connection.place.begin((address != peer.address.ip().to_canonical()).then_some(active.address));
        match is_stream {
            true => active.count()?,
            false => connection.activity.note_http1(),
        }
        Ok(Arc::new(active))
    }

    fn count(&self) -> Result<(), Overload> {
        let OpenConnection { place, strangers, streams, .. } = &*self.connection;
        if !place.is_proxys() && streams.load(Ordering::Relaxed) >= STREAMS.connection {
            return Err(Overload);
        }
        take(&mut lock(&strangers.streams), &STREAMS, self.address, 1)?;
        streams.fetch_add(1, Ordering::Relaxed);
        self.is_counted.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Notes the person who sent it: from now on it counts as theirs.
    pub(super) fn identify(&self, person: [u8; 32]) {
        if !self.is_known.swap(true, Ordering::Relaxed) {
            self.give_back();
            self.connection.place.identify(person);
        }
    }

    /// The last token of the connection.
    pub(super) fn last_token(&self) -> &LastToken {
        &self.connection.last_token
    }

    /// Counts bytes of a stranger's body, until the request ends or its person is known.
    pub(super) fn receive(&self, bytes: usize) -> Result<(), Overload> {
        if self.is_known.load(Ordering::Relaxed) {
            return Ok(());
        }
        let OpenConnection { place, strangers, body_bytes, .. } = &*self.connection;
        if !place.is_proxys() && body_bytes.load(Ordering::Relaxed) + bytes > BODIES.connection {
            return Err(Overload);
        }
        take(&mut lock(&strangers.bodies), &BODIES, self.address, bytes)?;
        body_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Notes its progress.
    pub(super) fn enter(&self, stage: Stage) {
        if self.stage() != stage {
            if let Some(counter) = self.connection.counter(stage) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            self.leave_stage();
            self.stage.store(stage as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn stage(&self) -> Stage {
        let stages = [Stage::Receiving, Stage::Working, Stage::Sending];
        stages[usize::from(self.stage.load(Ordering::Relaxed))]
    }

    fn leave_stage(&self) {
        if let Some(counter) = self.connection.counter(self.stage()) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes it off the strangers' limits.
    fn give_back(&self) {
        let OpenConnection { strangers, streams, body_bytes, .. } = &*self.connection;
        if self.is_counted.swap(false, Ordering::Relaxed) {
            lock(&strangers.streams).subtract(self.address, 1);
            streams.fetch_sub(1, Ordering::Relaxed);
        }
        let bytes = self.body_bytes.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            lock(&strangers.bodies).subtract(self.address, bytes);
            body_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.give_back();
        self.leave_stage();
        self.connection.activity.request_ended();
        self.connection.place.end(self.is_known.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_what_is_left_for_others() {
        let bounds = Bounds { total: 1000, address: 100, connection: 10 };
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut tally = Tally::default();
        for one in 0..20 {
            while take(&mut tally, &bounds, address(one), 1).is_ok() {}
        }
        assert_eq!(tally.of(address(0)), 100);
        assert!(tally.total() < 1000, "{}", tally.total());
        assert!(take(&mut tally, &bounds, address(20), 1).is_ok());
        assert!(take(&mut tally, &bounds, address(0), 1).is_err());
        tally.subtract(address(0), 100);
        assert_eq!(tally.addresses(), 20);
        assert!(take(&mut tally, &bounds, address(21), 1001).is_err());
        assert_eq!((tally.of(address(21)), tally.addresses()), (0, 20));
    }
}
