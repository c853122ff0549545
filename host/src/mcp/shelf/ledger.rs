//! The list of what is on a person's shelf, as it is stored.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::fault::ShelfError;
use super::kind::{Bounds, Kind};
use crate::clock;

/// The most ends of sessions that are noted one by one. Then all sessions of the person have ended: clients begin new ones.
const ENDED_MAX: usize = 64;

/// Time for which a list without anything in it is kept.
const EMPTY_KEPT: Duration = Duration::from_secs(60);

/// The list.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::mcp) struct Ledger {
    /// Oldest change first.
    #[serde(default)]
    things: Vec<Thing>,
    #[serde(default)]
    ended: Vec<Ended>,
}

#[derive(Serialize, Deserialize)]
struct Thing {
    kind: Kind,
    name: String,
    bytes: usize,
    until_ms: u64,
}

/// Sessions of a person that were ended together.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::mcp) struct Ended {
    /// The sessions of this owner ([`crate::principal::Principal::session`], in hexadecimal digits); or all.
    pub(in crate::mcp) owner: Option<String>,
    /// Those that began by then, in seconds since 1970.
    pub(in crate::mcp) by_s: u64,
    /// The time at which none of them is left, in milliseconds since 1970.
    pub(in crate::mcp) until_ms: u64,
}

impl Ledger {
    /// Reads a list, without what is over.
    pub(super) fn read(value: Option<&[u8]>) -> Self {
        let mut ledger: Self = value.and_then(|value| serde_json::from_slice(value).ok()).unwrap_or_default();
        let now_ms = clock::now_ms();
        ledger.things.retain(|thing| thing.until_ms > now_ms);
        ledger.ended.retain(|ended| ended.until_ms > now_ms);
        ledger
    }

    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a list is JSON")
    }

    /// The time at which the last of it is over.
    pub(super) fn until(&self) -> SystemTime {
        let things = self.things.iter().map(|thing| thing.until_ms);
        let last = things.chain(self.ended.iter().map(|ended| ended.until_ms)).max();
        let empty = clock::now() + EMPTY_KEPT;
        last.map_or(empty, |last_ms| (UNIX_EPOCH + Duration::from_millis(last_ms)).max(empty))
    }

    /// Puts a thing on the list. Returns those that make room for it.
    ///
    /// # Errors
    /// [`ShelfError::Full`].
    pub(super) fn put(
        &mut self,
        kind: Kind,
        name: &str,
        bytes: usize,
        until: SystemTime,
        bounds: Bounds,
    ) -> Result<Vec<(Kind, String)>, ShelfError> {
        self.remove(kind, name);
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        let most = kind.most(bounds);
        let mut out = Vec::new();
        loop {
            let own = || self.things.iter().filter(|thing| thing.kind == kind);
            if own().count() < most.count && own().map(|thing| thing.bytes).sum::<usize>() + bytes <= most.bytes {
                break;
            }
            let oldest = self.things.iter().position(|thing| thing.kind == kind).filter(|_| most.makes_room);
            let Some(oldest) = oldest else { return Err(ShelfError::Full) };
            let Thing { kind, name, .. } = self.things.remove(oldest);
            out.push((kind, name));
        }
        self.things.push(Thing { kind, name: name.to_owned(), bytes, until_ms });
        Ok(out)
    }

    pub(super) fn remove(&mut self, kind: Kind, name: &str) {
        self.things.retain(|thing| thing.kind != kind || thing.name != name);
    }

    /// Takes everything off. Returns it.
    pub(super) fn clear(&mut self) -> Vec<(Kind, String)> {
        std::mem::take(&mut self.things).into_iter().map(|thing| (thing.kind, thing.name)).collect()
    }

    pub(super) fn end(&mut self, ended: Ended) {
        match &ended.owner {
            Some(owner) => self.ended.retain(|other| other.owner.as_ref() != Some(owner)),
            None => self.ended.clear(),
        }
        self.ended.push(ended);
        if self.ended.len() > ENDED_MAX {
            let by_s = self.ended.iter().map(|ended| ended.by_s).max().unwrap_or_default();
            let until_ms = self.ended.iter().map(|ended| ended.until_ms).max().unwrap_or_default();
            self.ended = vec![Ended { owner: None, by_s, until_ms }];
        }
    }

    /// The names of the things of a kind.
    pub(in crate::mcp) fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.things.iter().filter(move |thing| thing.kind == kind).map(|thing| &*thing.name)
    }

    /// True if a session of this owner was ended with others, which began at this time.
    pub(in crate::mcp) fn has_ended(&self, owner: &str, began_s: u64) -> bool {
        let is_of = |ended: &&Ended| ended.owner.as_ref().is_none_or(|of| of == owner);
        self.ended.iter().filter(is_of).any(|ended| began_s <= ended.by_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { max_body_bytes: 1 << 20 };

    fn soon() -> SystemTime {
        clock::now() + Duration::from_secs(60)
    }

    fn put(ledger: &mut Ledger, kind: Kind, name: usize, bytes: usize) -> Result<Vec<(Kind, String)>, ShelfError> {
        ledger.put(kind, &name.to_string(), bytes, soon(), BOUNDS)
    }

    #[test]
    fn the_oldest_make_room_or_further_ones_are_refused() {
        let mut ledger = Ledger::default();
        for name in 0..64 {
            assert!(put(&mut ledger, Kind::Task, name, 1).unwrap().is_empty());
            assert!(put(&mut ledger, Kind::Letter, name, 1).unwrap().is_empty());
        }
        assert_eq!(put(&mut ledger, Kind::Task, 64, 1), Err(ShelfError::Full));
        assert_eq!(put(&mut ledger, Kind::Task, 63, 2), Ok(Vec::new()));
        assert_eq!(put(&mut ledger, Kind::Letter, 64, 1).unwrap(), [(Kind::Letter, "0".to_owned())]);
        // Bytes count as well, and one thing alone may be too large.
        assert_eq!(put(&mut ledger, Kind::Task, 63, 40 << 20), Err(ShelfError::Full));
        assert_eq!(put(&mut ledger, Kind::Letter, 65, 4 << 20).unwrap().len(), 64);
        assert_eq!(put(&mut ledger, Kind::Letter, 66, (4 << 20) + 1), Err(ShelfError::Full));
    }

    #[test]
    fn what_is_over_is_not_on_the_list() {
        let mut ledger = Ledger::default();
        ledger.put(Kind::Task, "old", 1, clock::now() - Duration::from_secs(1), BOUNDS).unwrap();
        put(&mut ledger, Kind::Task, 1, 1).unwrap();
        let read = Ledger::read(Some(&ledger.write()));
        assert_eq!(read.names(Kind::Task).collect::<Vec<_>>(), ["1"]);
        assert!(Ledger::read(Some(b"nonsense")).names(Kind::Task).next().is_none());
    }

    #[test]
    fn sessions_end_by_owner_and_all() {
        let until_ms = clock::now_ms() + 60_000;
        let ended = |owner: Option<usize>, by_s| Ended { owner: owner.map(|owner| owner.to_string()), by_s, until_ms };
        let mut ledger = Ledger::default();
        ledger.end(ended(Some(1), 10));
        assert!(ledger.has_ended("1", 10) && !ledger.has_ended("1", 11) && !ledger.has_ended("2", 10));
        ledger.end(ended(Some(1), 20));
        assert!(ledger.has_ended("1", 11) && ledger.ended.len() == 1);
        for owner in 0..200 {
            ledger.end(ended(Some(owner), 30));
        }
        assert!(ledger.ended.len() <= ENDED_MAX && ledger.has_ended("0", 30) && ledger.has_ended("199", 30));
        ledger.end(ended(None, 40));
        assert!(ledger.has_ended("any", 40) && ledger.ended.len() == 1);
    }
}
