//! What an operation on the entries of one space comes to, wherever they are kept.
//!
//! A backend reads what the operation is about ([`Look`]), hears what to answer and what to change ([`decide`]), and makes
//! all changes in one step with what it has read, or none. Nothing here reads or writes.

use std::collections::HashMap;
use std::time::Duration;

use super::limits::{ENTRY_BYTES, MAX_BATCH_BYTES};
use super::request::{Delta, Expected, KvError, Operation, Outcome, Space, Value};
use super::seal::{Place, SealedSpace, Sealer};

/// Milliseconds since 1970.
pub(super) type Millis = i64;

/// What an operation has to see.
pub(super) enum Look<'o> {
    /// Entries under these names.
    Entries { names: Vec<&'o str>, part: Part },
    /// A page of names in their order.
    Names { prefix: &'o str, cursor: Option<&'o str> },
    /// A page of names in the order in which they were made.
    NamesInTurn { after: u64 },
}

/// What it has to see of each entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything but the value.
    Head,
    Whole,
}

impl<'o> Look<'o> {
    pub(super) fn of(operation: &'o Operation) -> Self {
        let several = |names: &'o [String]| names.iter().map(String::as_str).collect();
        match operation {
            Operation::Get { names } => Self::Entries { names: several(names), part: Part::Whole },
            Operation::Exist { names } | Operation::Delete { names } => {
                Self::Entries { names: several(names), part: Part::Head }
            }
            Operation::Set { entries, .. } => {
                Self::Entries { names: entries.iter().map(|(name, _)| name.as_str()).collect(), part: Part::Head }
            }
            Operation::Swap { name, .. } | Operation::Increment { name, .. } => {
                Self::Entries { names: vec![name], part: Part::Whole }
            }
            Operation::Names { prefix, cursor } => Self::Names { prefix, cursor: cursor.as_deref() },
            Operation::NamesInTurn { cursor } => Self::NamesInTurn { after: cursor.unwrap_or_default() },
        }
    }
}

/// An entry as it is stored, alive or not.
pub(super) struct Entry {
    /// Its place in the order in which entries were made.
    pub(super) turn: u64,
    /// Bytes that count against the quota, as long as it is stored.
    pub(super) bytes: u64,
    pub(super) revision: u64,
    /// The end of its life; none for ever.
    pub(super) expires_ms: Option<Millis>,
    /// The value; empty where only the head was read.
    pub(super) sealed: Vec<u8>,
}

impl Entry {
    fn is_alive(&self, now: Millis) -> bool {
        self.expires_ms.is_none_or(|expires| expires > now)
    }
}

/// A space that is there.
pub(super) struct Held {
    pub(super) sealed: SealedSpace,
    /// Bytes that count against the quota.
    pub(super) bytes: u64,
    /// Entries that it has had.
    pub(super) turn: u64,
}

/// What was read for an operation.
pub(super) struct Seen {
    now: Millis,
    space: Option<Held>,
    /// By name; none for those that are not there.
    entries: HashMap<Vec<u8>, Option<Entry>>,
    value_bytes: usize,
}

impl Seen {
    /// A space at a time.
    pub(super) fn new(now: Millis, space: Option<Held>) -> Self {
        Self { now, space, entries: HashMap::new(), value_bytes: 0 }
    }

    /// Adds what is under a name.
    ///
    /// # Errors
    /// The values are more than one operation may be about.
    pub(super) fn add(&mut self, sealer: &Sealer, name: &str, entry: Option<Entry>) -> Result<(), KvError> {
        if let Some(entry) = entry.as_ref().filter(|entry| entry.is_alive(self.now)) {
            self.value_bytes += sealer.value_bytes(&entry.sealed);
        }
        if self.value_bytes > MAX_BATCH_BYTES {
            return Err(KvError::LargeBatch);
        }
        self.entries.insert(name.as_bytes().to_vec(), entry);
        Ok(())
    }
}

/// What an operation comes to.
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    /// None if all stays as it is.
    pub(super) changes: Option<Changes>,
}

/// What is different afterwards.
pub(super) struct Changes {
    /// The space; one that was not there is made.
    pub(super) space: Held,
    /// In this order.
    pub(super) entries: Vec<Change>,
}

/// A change of one entry.
pub(super) enum Change {
    Put { name: Vec<u8>, entry: Entry },
    Remove { name: Vec<u8> },
}

/// Names and bytes of the entries of a space that have expired and are still stored.
pub(super) type Expired = Vec<(Vec<u8>, u64)>;

/// Decides on an operation about entries. `expired` is only asked for where there is no room.
///
/// # Errors
/// [`KvError`], or that of `expired`. Nothing is to be changed then.
pub(super) fn decide<E: From<KvError>>(
    sealer: &Sealer,
    space: &Space,
    quota_bytes: u64,
    operation: &Operation,
    seen: Seen,
    expired: impl FnMut() -> Result<Expired, E>,
) -> Result<Decided, E> {
    let Seen { now, space: held, entries, .. } = seen;
    let new = || Held { sealed: SealedSpace::new(space.owner.clone()), bytes: 0, turn: 0 };
    let held = held.unwrap_or_else(new);
    let mut work = Work { sealer, quota_bytes, now, held, entries, expired, changes: Vec::new() };
    let outcome = match operation {
        Operation::Get { names } => {
            Outcome::Values(names.iter().map(|name| work.value(name.as_bytes())).collect::<Result<_, _>>()?)
        }
        Operation::Exist { names } => {
            Outcome::Exist(names.iter().map(|name| work.alive(name.as_bytes()).is_some()).collect())
        }
        Operation::Set { entries, ttl } => {
            for (name, value) in entries {
                work.put(name.as_bytes(), &value.0, work.end_of(*ttl))?;
            }
            Outcome::Done
        }
        Operation::Delete { names } => {
            Outcome::Deleted(names.iter().map(|name| u64::from(work.delete(name.as_bytes()))).sum())
        }
        Operation::Swap { name, expected, value, ttl } => {
            let current = work.value(name.as_bytes())?;
            let is_expected = match expected {
                Expected::Value(expected) => current.as_ref().map(|(value, _)| value) == expected.as_ref(),
                Expected::Revision(expected) => current.as_ref().map(|(_, revision)| *revision) == *expected,
            };
            match value {
                _ if !is_expected => Outcome::Other(current),
                Some(value) => {
                    work.put(name.as_bytes(), &value.0, work.end_of(*ttl))?;
                    Outcome::Done
                }
                None => {
                    work.delete(name.as_bytes());
                    Outcome::Done
                }
            }
        }
        Operation::Increment { name, delta } => work.increment(name.as_bytes(), *delta)?,
        Operation::Names { .. } | Operation::NamesInTurn { .. } => return Err(KvError::unfit().into()),
    };
    let Work { held, changes, .. } = work;
    let changes = (!changes.is_empty()).then_some(Changes { space: held, entries: changes });
    Ok(Decided { outcome, changes })
}

/// One operation under way: what is there after the changes so far.
struct Work<'a, F> {
    sealer: &'a Sealer,
    quota_bytes: u64,
    now: Millis,
    held: Held,
    entries: HashMap<Vec<u8>, Option<Entry>>,
    expired: F,
    changes: Vec<Change>,
}

impl<E: From<KvError>, F: FnMut() -> Result<Expired, E>> Work<'_, F> {
    fn end_of(&self, ttl: Option<Duration>) -> Option<Millis> {
        let ttl = Millis::try_from(ttl?.as_millis()).unwrap_or(Millis::MAX);
        // The latest stands for one without an end where entries are stored.
        Some(self.now.saturating_add(ttl).min(Millis::MAX - 1))
    }

    /// What is stored under a name, alive or not.
    fn stored(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.get(name)?.as_ref()
    }

    fn alive(&self, name: &[u8]) -> Option<&Entry> {
        self.stored(name).filter(|entry| entry.is_alive(self.now))
    }

    fn value(&self, name: &[u8]) -> Result<Option<(Value, u64)>, KvError> {
        let Some(Entry { revision, expires_ms, sealed, .. }) = self.alive(name) else { return Ok(None) };
        let place = Place { name, revision: *revision, expires_ms: *expires_ms };
        let value = self.sealer.open_value(&self.held.sealed, &place, sealed)?;
        Ok(Some((Value(value), *revision)))
    }

    /// Writes an entry, if there is room.
    fn put(&mut self, name: &[u8], value: &[u8], expires_ms: Option<Millis>) -> Result<(), E> {
        let bytes = (name.len() + value.len()) as u64 + ENTRY_BYTES;
        if self.after(name, bytes) > self.quota_bytes {
            self.remove_expired()?;
        }
        let is_growth = self.stored(name).is_none_or(|before| bytes > before.bytes);
        let after = self.after(name, bytes);
        if is_growth && after > self.quota_bytes {
            return Err(KvError::Quota { used_bytes: self.held.bytes, quota_bytes: self.quota_bytes }.into());
        }
        self.held.bytes = after;
        self.held.turn += 1;
        // What is written over keeps its turn.
        let turn = self.stored(name).map_or(self.held.turn, |before| before.turn);
        // Random: it tells an entry from any other that was ever under this name.
        let revision = rand::random();
        let sealed = self.sealer.seal_value(&self.held.sealed, &Place { name, revision, expires_ms }, value);
        let kept = Entry { turn, bytes, revision, expires_ms, sealed: Vec::new() };
        self.entries.insert(name.to_vec(), Some(kept));
        let entry = Entry { turn, bytes, revision, expires_ms, sealed };
        self.changes.push(Change::Put { name: name.to_vec(), entry });
        Ok(())
    }

    /// The bytes of the space once this many are under a name.
    fn after(&self, name: &[u8], bytes: u64) -> u64 {
        let before = self.stored(name).map_or(0, |before| before.bytes);
        self.held.bytes.saturating_sub(before).saturating_add(bytes)
    }

    fn remove_expired(&mut self) -> Result<(), E> {
        let seen =
            self.entries.iter().filter(|(_, entry)| entry.as_ref().is_some_and(|entry| !entry.is_alive(self.now)));
        let seen: Vec<Vec<u8>> = seen.map(|(name, _)| name.clone()).collect();
        for name in seen {
            self.delete(&name);
        }
        for (name, bytes) in (self.expired)()? {
            // Of the others the state so far is known.
            if !self.entries.contains_key(&name) {
                self.entries.insert(name.clone(), None);
                self.held.bytes = self.held.bytes.saturating_sub(bytes);
                self.changes.push(Change::Remove { name });
            }
        }
        Ok(())
    }

    /// Removes an entry. Returns whether it was there, and alive.
    fn delete(&mut self, name: &[u8]) -> bool {
        let was_alive = self.alive(name).is_some();
        if let Some(before) = self.entries.get_mut(name).and_then(Option::take) {
            self.held.bytes = self.held.bytes.saturating_sub(before.bytes);
            self.changes.push(Change::Remove { name: name.to_vec() });
        }
        was_alive
    }

    fn increment(&mut self, name: &[u8], delta: Delta) -> Result<Outcome, E> {
        let current = self.value(name)?;
        let expires_ms = self.alive(name).and_then(|entry| entry.expires_ms);
        let digits = match &current {
            Some((value, _)) => std::str::from_utf8(&value.0).map_err(|_| KvError::NoNumber)?,
            None => "0",
        };
        let (sum, outcome) = match delta {
            Delta::Unsigned(delta) => {
                let sum = digits.parse::<u64>().ok().and_then(|number| number.checked_add(delta));
                let sum = sum.ok_or(KvError::NoNumber)?;
                (sum.to_string(), Outcome::Unsigned(sum))
            }
            Delta::Signed(delta) => {
                let sum = digits.parse::<i64>().ok().and_then(|number| number.checked_add(delta));
                let sum = sum.ok_or(KvError::NoNumber)?;
                (sum.to_string(), Outcome::Signed(sum))
            }
        };
        self.put(name, sum.as_bytes(), expires_ms)?;
        Ok(outcome)
    }
}
