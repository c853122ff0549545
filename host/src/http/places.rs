//! The places for connections: so many in all, and in a full house those who hold most give way to newcomers.
//!
//! A connection belongs to a party: to the person whose request it last carried, before that to the network that it
//! comes from. Connections without a login are strangers', and fewer of these may be open, so that strangers cannot
//! fill the server's memory. A trusted proxy speaks for many: it has no share, and none of its connections is
//! taken.

mod eviction;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) use self::eviction::Party;
use self::eviction::{Occupant, Use};

/// Connections on which nobody has logged in yet. Each may hold two buffers of a head's size, and on HTTP/2 the state
/// of thirty streams: some 200 KiB at most.
const STRANGERS_MAX: usize = 192;

/// Time between two attempts of a newcomer: a connection may have become old enough to be evicted.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// All places of a server.
pub(super) struct Places {
    total: usize,
    strangers_max: usize,
    strangers: AtomicUsize,
    register: Mutex<Register>,
    freed: Notify,
}

/// The places that are taken, by number.
#[derive(Default)]
struct Register {
    next: u64,
    places: HashMap<u64, Arc<Shared>>,
}

/// One place, free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    shared: Arc<Shared>,
}

/// A connection, as its place and the register both see it.
struct Shared {
    /// Its party until a person is known on it.
    origin: Party,
    entered: Instant,
    evicted: CancellationToken,
    usage: Mutex<Usage>,
}

/// The requests of a connection.
#[derive(Debug, Default)]
struct Usage {
    has_served: bool,
    /// The person of the last request of somebody who has logged in.
    person: Option<[u8; 32]>,
    /// Persons' requests in progress.
    known: usize,
    /// Requests of several persons are in progress, so it is nobody's own.
    is_shared: bool,
    /// Strangers' requests in progress.
    strangers: usize,
    /// The time since which at least one has been in progress.
    strangers_since: Option<Instant>,
    /// The address for which a proxy has forwarded the last.
    forwarded_for: Option<IpAddr>,
    /// The end of the last request.
    idle_since: Option<Instant>,
}

impl Places {
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            strangers_max: total.min(STRANGERS_MAX),
            strangers: AtomicUsize::new(0),
            register: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// The number of places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.register().places.len()
    }

    /// Waits for a place. In a full house somebody who holds more loses one: see [`eviction::choose`].
    pub(super) async fn enter(self: &Arc<Self>, party: Party) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_enter(party) {
                return place;
            }
            let _ = tokio::time::timeout(LOOK_EVERY, freed).await;
        }
    }

    fn try_enter(self: &Arc<Self>, party: Party) -> Option<Place> {
        let mut register = self.register();
        let is_full = register.places.len() >= self.total;
        let has_too_many_strangers =
            party != Party::Proxy && self.strangers.load(Ordering::Relaxed) >= self.strangers_max;
        if is_full || has_too_many_strangers {
            let now = Instant::now();
            let occupants: Vec<Occupant> = register.places.iter().map(|(id, shared)| shared.occupant(*id)).collect();
            let victim = eviction::choose(&occupants, party, now, !is_full)?;
            self.remove(&mut register, victim)?.evicted.cancel();
        }
        let id = register.next;
        register.next += 1;
        let shared = Arc::new(Shared {
            origin: party,
            entered: Instant::now(),
            evicted: CancellationToken::new(),
            usage: Mutex::default(),
        });
        register.places.insert(id, Arc::clone(&shared));
        if shared.is_strangers(&shared.usage()) {
            self.strangers.fetch_add(1, Ordering::Relaxed);
        }
        drop(register);
        Some(Place { places: Arc::clone(self), id, shared })
    }

    fn remove(&self, register: &mut Register, id: u64) -> Option<Arc<Shared>> {
        let shared = register.places.remove(&id)?;
        if shared.is_strangers(&shared.usage()) {
            self.strangers.fetch_sub(1, Ordering::Relaxed);
        }
        Some(shared)
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut register = self.places.register();
        self.places.remove(&mut register, self.id);
        drop(register);
        self.places.freed.notify_one();
    }
}

impl Place {
    /// Resolves when the place is given to somebody else.
    pub(super) async fn evicted(&self) {
        self.shared.evicted.cancelled().await;
    }

    /// True if a trusted proxy is on the other end.
    pub(super) fn is_proxys(&self) -> bool {
        self.shared.origin == Party::Proxy
    }

    /// The time at which the connection was opened.
    pub(super) fn entered(&self) -> Instant {
        self.shared.entered
    }

    pub(super) fn has_served(&self) -> bool {
        self.shared.usage().has_served
    }

    /// The end of the last request; `None` while one is in progress, and before the first.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let usage = self.shared.usage();
        usage.idle_since.filter(|_| usage.active() == 0)
    }

    /// True while a request is in progress.
    pub(super) fn is_in_use(&self) -> bool {
        self.shared.usage().active() > 0
    }

    /// True if no request of somebody who has logged in is in progress: only strangers' are, or none is and nobody was
    /// ever known.
    pub(super) fn is_left_to_strangers(&self) -> bool {
        let usage = self.shared.usage();
        usage.known == 0 && (usage.strangers > 0 || usage.person.is_none())
    }

    /// The time since which a stranger's request has been in progress; `None` once a person was known on the
    /// connection.
    pub(super) fn strangers_since(&self) -> Option<Instant> {
        let usage = self.shared.usage();
        usage.strangers_since.filter(|_| self.shared.is_strangers(&usage))
    }

    /// Notes that a request of somebody unknown has begun; behind a trusted proxy, with the address that it is for.
    pub(super) fn begin(&self, forwarded_for: Option<IpAddr>) {
        let mut usage = self.shared.usage();
        usage.has_served = true;
        usage.forwarded_for = forwarded_for;
        usage.strangers += 1;
        usage.strangers_since.get_or_insert_with(Instant::now);
    }

    /// Notes the person who has sent a request.
    pub(super) fn identify(&self, person: [u8; 32]) {
        // Only the first person on a connection changes what counts for all; the order of the locks is that of
        // `try_enter`.
        let is_first = self.shared.is_strangers(&self.shared.usage());
        let register = is_first.then(|| self.places.register());
        let mut usage = self.shared.usage();
        if let Some(register) = register
            && self.shared.is_strangers(&usage)
            && register.places.contains_key(&self.id)
        {
            self.places.strangers.fetch_sub(1, Ordering::Relaxed);
        }
        usage.leave_strangers();
        usage.is_shared |= usage.known > 0 && usage.person != Some(person);
        usage.known += 1;
        usage.person = Some(person);
    }

    /// Notes that a request has ended.
    pub(super) fn end(&self, was_known: bool) {
        let mut usage = self.shared.usage();
        if was_known {
            usage.known -= 1;
            usage.is_shared &= usage.known > 0;
        } else {
            usage.leave_strangers();
        }
        usage.idle_since = Some(Instant::now());
    }
}

impl Usage {
    fn active(&self) -> usize {
        self.known + self.strangers
    }

    fn leave_strangers(&mut self) {
        self.strangers -= 1;
        self.strangers_since = self.strangers_since.filter(|_| self.strangers > 0);
    }
}

impl Shared {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_strangers(&self, usage: &Usage) -> bool {
        self.origin != Party::Proxy && usage.person.is_none()
    }

    fn occupant(&self, id: u64) -> Occupant {
        let usage = self.usage();
        let used = match (usage.known, usage.strangers) {
            (0, 0) if usage.has_served => Use::Idle,
            (0, 0) => Use::Silent,
            (0, _) => Use::Asking,
            _ => Use::Busy,
        };
        let party = match (self.origin, usage.person, usage.forwarded_for) {
            _ if usage.is_shared => Party::Proxy,
            // Between two requests a proxy's connection is everybody's.
            (Party::Proxy, _, _) if used <= Use::Idle => Party::Proxy,
            (Party::Proxy, _, Some(address)) if used == Use::Asking => Party::Network(address),
            (_, Some(person), _) => Party::Person(person),
            (origin, None, _) => origin,
        };
        let since = match used {
            Use::Idle => usage.idle_since,
            Use::Asking => usage.strangers_since,
            Use::Silent | Use::Busy => None,
        };
        let since = since.unwrap_or(self.entered);
        Occupant { id, party, used, is_strangers: self.is_strangers(&usage), since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Party {
        Party::Network(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn a_full_house_makes_room_and_counts_its_strangers() {
        let places = Places::new(2);
        let silent = places.enter(network(1)).await;
        let served = places.enter(network(1)).await;
        served.begin(None);
        served.identify([1; 32]);
        assert_eq!(places.strangers.load(Ordering::Relaxed), 1);
        let newcomer = places.enter(network(2)).await;
        silent.evicted().await;
        assert!(places.try_enter(network(2)).is_none(), "nobody has settled");
        served.end(true);
        drop((silent, served, newcomer));
        assert_eq!(places.strangers.load(Ordering::Relaxed), 0);
        assert_eq!(places.register().places.len(), 0);
    }
}
