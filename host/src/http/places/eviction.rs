//! The choice of the connection that gives way to a newcomer. It knows parties and times, and nothing of sockets.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// A connection younger than this is left alone: its client may be about to say who it is.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Strangers from one address with so many connections are no client that is about to say who it is: their silent ones
/// are taken at once.
const CROWD: u32 = 8;

/// A stranger whose request takes longer gives way to others from the same address too, and to a party without a place.
const SLOW_AFTER: Duration = Duration::from_secs(3);

/// The owner of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::http) enum Party {
    /// Somebody who has logged in; see `Principal::person`.
    Person([u8; 32]),
    /// Strangers from one address, or one IPv6 network of 64 bits.
    Network(IpAddr),
    /// A trusted proxy, for everybody behind it.
    Proxy,
}

/// The use of a connection, from the least loss to the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// It has not carried a request.
    Silent,
    /// No request is in progress.
    Idle,
    /// Strangers' requests are in progress.
    Asking,
    /// A person's are.
    Busy,
}

/// A connection, as far as it matters for the choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occupant {
    pub(super) id: u64,
    pub(super) party: Party,
    pub(super) used: Use,
    pub(super) is_strangers: bool,
    /// The beginning of its present use; of one that a person uses, the time at which it was opened.
    pub(super) since: Instant,
}

/// Chooses the connection that gives way to a newcomer, if any does.
///
/// One that is in use goes only if its party holds at least two more than the newcomer's, so that two parties do not
/// take one place from each other; an idle one already if it holds more, or is the newcomer's own. What has just come
/// stays, unless its party is a crowd of strangers. A stranger's slow
/// request goes for its own too, and for a party that holds nothing: many networks with one slow request each lock
/// nobody out. The largest parties (by powers of two, so that a call is not cut for one place more or less) lose first,
/// and of theirs the least used.
pub(super) fn choose(occupants: &[Occupant], newcomer: Party, now: Instant, of_strangers_only: bool) -> Option<u64> {
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
        let is_of_crowd =
            occupant.is_strangers && occupant.used <= Use::Idle && count >= CROWD && !is_own && count > own + 1;
        is_fair
            && occupant.party != Party::Proxy
            && (occupant.is_strangers || !of_strangers_only)
            && (age >= SETTLED_AFTER || is_of_crowd)
    };
    let rank = |occupant: &&Occupant| (Reverse(held[&occupant.party].ilog2()), occupant.used, occupant.since);
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

    #[test]
    fn a_crowd_of_strangers_gives_way_at_once() {
        let crowd = usize::try_from(CROWD).unwrap();
        for (count, used, newcomer, expected) in [
            (crowd, Use::Silent, network(2), Some(0)),
            (crowd, Use::Idle, person(1), Some(0)),
            (crowd, Use::Asking, network(2), None),
            (crowd, Use::Silent, network(1), None),
            (crowd - 1, Use::Silent, network(2), None),
        ] {
            let (mut house, now) = house(&vec![(network(1), used); count]);
            house.iter_mut().for_each(|occupant| occupant.since = now);
            assert_eq!(choose(&house, newcomer, now, true), expected, "{count} {used:?} {newcomer:?}");
        }
        // Nor is a person's connection one of it.
        let (mut house, now) = house(&vec![(person(1), Use::Idle); crowd]);
        house.iter_mut().for_each(|occupant| occupant.since = now);
        assert_eq!(choose(&house, network(2), now, false), None);
    }
}
