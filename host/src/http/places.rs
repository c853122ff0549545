//! Who holds the connections: so many in all, and in a full house those who hold most give way to newcomers.
//!
//! A connection belongs to a party: to the person whose request it last carried, before that to the network that it
//! comes from. Those that nobody has logged in on are strangers', and fewer may be open, so that what strangers make the
//! server hold has an end. A trusted proxy speaks for many: it has no share, and no connection of its own is taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections on which nobody has logged in yet. Each may hold two buffers of a head's size, and on HTTP/2
/// what h2 keeps for thirty streams: some 200 KiB at most.
const STRANGERS_MAX: usize = 192;

/// A connection younger than this is left alone: its client may be about to say who it is.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// A stranger whose request takes longer gives way to others from the same address too, and to whoever has no place.
const SLOW_AFTER: Duration = Duration::from_secs(3);

/// How often a newcomer looks for a place that nobody has told it of: what others hold settles without a word.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Party {
    /// Somebody who has logged in; see `Principal::person`.
    Person([u8; 32]),
    /// Strangers from one address, or one IPv6 network of 64 bits.
    Network(IpAddr),
    /// A trusted proxy, for whoever is behind it.
    Proxy,
}

/// All places of a server.
pub(super) struct Places {
    total: usize,
    strangers_max: usize,
    strangers: AtomicUsize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    places: HashMap<u64, Arc<Shared>>,
}

/// One place, free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    shared: Arc<Shared>,
}

/// What is known of a connection while it is open.
struct Shared {
    /// Whose it is while nobody is known on it.
    origin: Party,
    entered: Instant,
    taken_away: CancellationToken,
    usage: Mutex<Usage>,
}

/// What a connection is used for.
#[derive(Debug, Default)]
struct Usage {
    has_served: bool,
    /// The person of the last request of somebody who has logged in.
    person: Option<[u8; 32]>,
    /// Persons' requests under way.
    known: usize,
    /// Requests of several persons are under way, so it is nobody's own.
    is_shared: bool,
    /// Strangers' requests under way, since when there has been one, and for whom a proxy has forwarded the last.
    strangers: usize,
    strangers_since: Option<Instant>,
    forwarded_for: Option<IpAddr>,
    /// When the last request ended.
    idle_since: Option<Instant>,
}

/// How much is lost with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// It has not carried a request.
    Silent,
    /// No request is under way.
    Idle,
    /// Strangers' requests are under way.
    Asking,
    /// A person's are.
    Busy,
}

/// A connection, as far as it matters for who gives way.
#[derive(Debug, Clone, Copy)]
struct Occupant {
    id: u64,
    party: Party,
    used: Use,
    is_strangers: bool,
    /// Since when it is used so little, or strangers ask; for one that a person uses, since it was opened.
    since: Instant,
}

impl Places {
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            strangers_max: total.min(STRANGERS_MAX),
            strangers: AtomicUsize::new(0),
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Waits for a place. In a full house somebody who holds more loses one.
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
        let mut taken = self.taken();
        let is_full = taken.places.len() >= self.total;
        let has_too_many_strangers =
            party != Party::Proxy && self.strangers.load(Ordering::Relaxed) >= self.strangers_max;
        if is_full || has_too_many_strangers {
            let now = Instant::now();
            let occupants: Vec<Occupant> = taken.places.iter().map(|(id, shared)| shared.occupant(*id)).collect();
            let victim = choose(&occupants, party, now, !is_full)?;
            self.remove(&mut taken, victim)?.taken_away.cancel();
        }
        let id = taken.next;
        taken.next += 1;
        let shared = Arc::new(Shared {
            origin: party,
            entered: Instant::now(),
            taken_away: CancellationToken::new(),
            usage: Mutex::default(),
        });
        taken.places.insert(id, Arc::clone(&shared));
        if shared.is_strangers(&shared.usage()) {
            self.strangers.fetch_add(1, Ordering::Relaxed);
        }
        drop(taken);
        Some(Place { places: Arc::clone(self), id, shared })
    }

    fn remove(&self, taken: &mut Taken, id: u64) -> Option<Arc<Shared>> {
        let shared = taken.places.remove(&id)?;
        if shared.is_strangers(&shared.usage()) {
            self.strangers.fetch_sub(1, Ordering::Relaxed);
        }
        Some(shared)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        self.places.remove(&mut taken, self.id);
        drop(taken);
        self.places.freed.notify_one();
    }
}

impl Place {
    /// Resolves when the place is given to somebody else.
    pub(super) async fn taken_away(&self) {
        self.shared.taken_away.cancelled().await;
    }

    /// Whether a trusted proxy is on the other end.
    pub(super) fn is_proxys(&self) -> bool {
        self.shared.origin == Party::Proxy
    }

    /// When the connection was opened.
    pub(super) fn entered(&self) -> Instant {
        self.shared.entered
    }

    pub(super) fn has_served(&self) -> bool {
        self.shared.usage().has_served
    }

    /// When the last request ended; `None` while one is under way, and before the first.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let usage = self.shared.usage();
        usage.idle_since.filter(|_| usage.under_way() == 0)
    }

    /// Whether a request is under way.
    pub(super) fn is_in_use(&self) -> bool {
        self.shared.usage().under_way() > 0
    }

    /// Since when there has been a stranger's request under way all the time, where no person was ever known.
    pub(super) fn strangers_since(&self) -> Option<Instant> {
        let usage = self.shared.usage();
        usage.strangers_since.filter(|_| self.shared.is_strangers(&usage))
    }

    /// Notes that a request has begun, of somebody who is not known yet; behind a trusted proxy, from where.
    pub(super) fn begin(&self, forwarded_for: Option<IpAddr>) {
        let mut usage = self.shared.usage();
        usage.has_served = true;
        usage.forwarded_for = forwarded_for;
        usage.strangers += 1;
        usage.strangers_since.get_or_insert_with(Instant::now);
    }

    /// Notes who has sent a request.
    pub(super) fn know(&self, person: [u8; 32]) {
        // Only the first person on a connection changes what counts for all; the order of the locks is that of `try_enter`.
        let is_first = self.shared.is_strangers(&self.shared.usage());
        let taken = is_first.then(|| self.places.taken());
        let mut usage = self.shared.usage();
        if let Some(taken) = taken
            && self.shared.is_strangers(&usage)
            && taken.places.contains_key(&self.id)
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
    fn under_way(&self) -> usize {
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

/// Which connection gives way to a newcomer, if any does.
///
/// One that is in use goes only if its party holds at least two more than the newcomer's, so that two parties do not
/// take one place from each other; an idle one already if it holds more, or is the newcomer's own. A stranger's slow
/// request goes for its own too, and for whoever holds nothing, so that many networks with one slow request each lock
/// nobody out. The largest parties (by powers of two, so that a call is not cut for one place more or less) lose first,
/// and what is used least.
fn choose(occupants: &[Occupant], newcomer: Party, now: Instant, of_strangers_only: bool) -> Option<u64> {
    let mut held: HashMap<Party, u32> = HashMap::new();
    for occupant in occupants {
        *held.entry(occupant.party).or_default() += 1;
    }
    // A proxy brings somebody who is not known yet.
    let own = if newcomer == Party::Proxy { 0 } else { held.get(&newcomer).copied().unwrap_or_default() };
    let may_go = |occupant: &&Occupant| {
        let (count, is_own) = (held[&occupant.party], occupant.party == newcomer);
        let age = now.duration_since(occupant.since);
        let is_fair = match occupant.used {
            Use::Silent | Use::Idle => is_own || count > own,
            Use::Asking => (age >= SLOW_AFTER && (is_own || own == 0)) || (!is_own && count > own + 1),
            Use::Busy => !is_own && count > own + 1,
        };
        is_fair
            && occupant.party != Party::Proxy
            && (occupant.is_strangers || !of_strangers_only)
            && age >= SETTLED_AFTER
    };
    let rank = |occupant: &&Occupant| (std::cmp::Reverse(held[&occupant.party].ilog2()), occupant.used, occupant.since);
    occupants.iter().filter(may_go).min_by_key(rank).map(|occupant| occupant.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Party {
        Party::Network(IpAddr::from([192, 0, 2, last]))
    }

    fn person(name: u8) -> Party {
        Party::Person([name; 32])
    }

    /// Connections with these parties and uses, each a second older than the one after it, the youngest two seconds.
    fn house(occupants: &[(Party, Use)]) -> (Vec<Occupant>, Instant) {
        let now = Instant::now() + Duration::from_secs(100);
        let of = |(at, (party, used)): (usize, &(Party, Use))| {
            let since = now - Duration::from_secs((occupants.len() - at + 1) as u64);
            let is_strangers = matches!(party, Party::Network(_));
            Occupant { id: at as u64, party: *party, used: *used, is_strangers, since }
        };
        (occupants.iter().enumerate().map(of).collect(), now)
    }

    #[test]
    fn those_who_hold_most_give_way_with_what_they_use_least() {
        use Use::{Asking, Busy, Idle, Silent};
        let (one, two, proxy) = (network(1), network(2), Party::Proxy);
        let (alice, bob) = (person(1), person(2));
        for (occupants, newcomer, expected) in [
            // A newcomer from elsewhere takes the longest silent one.
            (&[(one, Silent), (one, Silent), (one, Idle)][..], two, Some(0)),
            // From the same address too, for its own are silent.
            (&[(one, Silent), (one, Silent)], one, Some(0)),
            // What is in use is not taken by its own, nor if that only turns the shares around.
            (&[(one, Asking)], one, None),
            // Unless it is slow.
            (&[(one, Asking), (one, Asking), (one, Asking)], one, Some(0)),
            (&[(one, Busy), (two, Busy)], two, None),
            // Many networks with one slow request each give way to who has none, and not to each other.
            (&[(one, Asking), (two, Asking)], network(3), Some(0)),
            (&[(one, Asking), (two, Idle)], two, Some(1)),
            (&[(one, Asking), (two, Busy)], two, None),
            (&[(alice, Busy), (alice, Busy)], one, Some(0)),
            (&[(alice, Busy), (bob, Busy)], one, None),
            // One who holds most with streams loses one, and those with an idle one keep it.
            (&[(bob, Idle), (alice, Busy), (alice, Busy), (alice, Busy), (alice, Busy)], one, Some(1)),
            (&[(alice, Busy), (alice, Idle), (alice, Busy)], one, Some(1)),
            // A flood does not take what others hold idle.
            (&[(alice, Idle), (one, Busy), (one, Busy), (one, Busy)], one, None),
            // With one place each, the one that was silent longest goes.
            (&[(alice, Busy), (one, Silent), (two, Silent)], network(3), Some(1)),
            // A proxy's own are not taken; for whom it asks counts.
            (&[(proxy, Idle), (proxy, Busy)], one, None),
            (&[(one, Asking), (one, Asking), (proxy, Idle)], proxy, Some(0)),
        ] {
            let (house, now) = house(occupants);
            assert_eq!(choose(&house, newcomer, now, false), expected, "{occupants:?} {newcomer:?}");
        }
    }

    #[test]
    fn persons_do_not_give_way_to_strangers_while_there_is_room() {
        let (house, now) = house(&[(person(1), Use::Idle), (person(1), Use::Idle), (network(1), Use::Silent)]);
        assert_eq!(choose(&house, network(2), now, true), Some(2));
        assert_eq!(choose(&house, network(2), now, false), Some(0));
    }

    #[test]
    fn what_has_just_come_is_left_alone() {
        let (house, now) = house(&[(network(1), Use::Silent)]);
        assert_eq!(choose(&house, network(1), now - Duration::from_millis(1500), false), None);
    }

    #[tokio::test]
    async fn a_full_house_makes_room_and_counts_its_strangers() {
        let places = Places::new(2);
        let silent = places.enter(network(1)).await;
        let served = places.enter(network(1)).await;
        served.begin(None);
        served.know([1; 32]);
        assert_eq!(places.strangers.load(Ordering::Relaxed), 1);
        let newcomer = places.enter(network(2)).await;
        silent.taken_away().await;
        assert!(places.try_enter(network(2)).is_none(), "nobody has settled");
        served.end(true);
        drop((silent, served, newcomer));
        assert_eq!(places.strangers.load(Ordering::Relaxed), 0);
        assert_eq!(places.taken().places.len(), 0);
    }
}
