//! The shelf of a person: what the servers of one store keep of somebody's use of the protocol, so that each of them can go
//! on with what another one has begun.
//!
//! A thing on it is a row of the store, sealed as every row. Beside the rows stands one list ([`Ledger`]) of what is there,
//! with sizes and lives. It is changed together with them, so that the bounds of [`Kind`] hold whichever server writes:
//! nobody takes more of the store than their share, however many sessions they begin. All rows of a person are at one
//! place of the store, under keys that follow from a secret of the servers: whoever has a copy of the store cannot look
//! anybody up.
//!
//! Invariant: a row that no list names is nobody's, or was laid there ([`Shelf::lay`]), and ends with its life.

mod fault;
mod kind;
mod ledger;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use sha2::{Digest, Sha256};

pub(super) use self::fault::ShelfError;
use self::kind::Bounds;
pub(super) use self::kind::Kind;
pub(super) use self::ledger::{Ended, Ledger};
use crate::clock;
use crate::replicas::hearing::Hearing;
use crate::replicas::{ClientHint, Hint, Replicas};
use crate::state::StateDir;
use crate::store::{Committed, Key, Row, Store, Table, Write};
use crate::vault::Vault;

/// A person, see [`crate::principal::Principal::person`].
pub(super) type Person = [u8; 32];

/// The purpose of the secret from which the names of people follow.
const PURPOSE: &str = "tinymcp 2026 shelves of people";

/// Tries of a change that other servers come in between of.
const TRIES: u32 = 24;

/// The longest pause before another try.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// The shelves of all people. Clones are handles to the same.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Inner>);

struct Inner {
    store: Store,
    vault: Vault,
    max_body_bytes: usize,
}

/// The secret name of a person, from which the keys of their rows follow.
type Corner = [u8; 32];

/// What becomes of a thing.
pub(super) enum Change {
    /// It stays as it is.
    Keep,
    /// It is this from now on, until then.
    Put(Vec<u8>, SystemTime),
    /// It goes.
    Remove,
}

/// A person and one of their things.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) person: &'a Person,
    pub(super) kind: Kind,
    pub(super) name: &'a str,
}

impl Place<'_> {
    fn key(&self, corner: &Corner) -> Key {
        key(corner, &[self.kind.word(), self.name])
    }
}

impl Shelf {
    /// The shelves in a store that several servers share, each of which takes bodies of so many bytes.
    pub(super) fn new(store: Store, state: &StateDir, max_body_bytes: usize) -> Self {
        Self(Arc::new(Inner { store, vault: Vault::of(state, PURPOSE), max_body_bytes }))
    }

    /// The secret names of a person: that of now, and those of earlier root keys, under which there may be rows yet.
    fn corners(&self, person: &Person) -> (Corner, Vec<Corner>) {
        let mut all = self.0.vault.derive_by_all(person).into_iter();
        let now = all.next().unwrap_or_else(|| self.0.vault.derive(person));
        (now, all.collect())
    }

    /// The other servers.
    pub(super) fn replicas(&self) -> &Replicas {
        self.0.store.replicas()
    }

    /// True while there is no use in asking the store.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.replicas().hearing(), Hearing::Away(_) | Hearing::Outdated)
    }

    /// Tells the other servers.
    ///
    /// # Errors
    /// [`ShelfError::Store`].
    pub(super) async fn tell(&self, hint: ClientHint) -> Result<(), ShelfError> {
        // In a box of any future: what waits for it would be a type that is too deep for the compiler.
        let told = self.replicas().tell(Hint::Client(hint)).boxed().await;
        told.map_err(|fault| ShelfError::Store(fault.into()))
    }

    /// A thing, if it is there.
    ///
    /// # Errors
    /// [`ShelfError::Store`].
    pub(super) async fn get(&self, place: Place<'_>) -> Result<Option<Vec<u8>>, ShelfError> {
        let (now, before) = self.corners(place.person);
        for corner in std::iter::once(now).chain(before) {
            if let Some(row) = self.0.store.get(Table::Shelf, &place.key(&corner)).await? {
                return Ok(Some(row.value));
            }
        }
        Ok(None)
    }

    /// Puts a thing there for so long, in place of whatever is there.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub(super) async fn put(&self, place: Place<'_>, value: &[u8], life: Duration) -> Result<(), ShelfError> {
        self.change(place, |_| Ok(Change::Put(value.to_vec(), in_time(life)))).await
    }

    /// Takes a thing away, if it is there.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub(super) async fn take(&self, place: Place<'_>) -> Result<Option<Vec<u8>>, ShelfError> {
        let mut taken = None;
        self.change(place, |found| {
            taken = found.map(<[u8]>::to_vec);
            Ok::<_, ShelfError>(if taken.is_some() { Change::Remove } else { Change::Keep })
        })
        .await?;
        Ok(taken)
    }

    /// Lays a thing there for so long that is on no list, in place of whatever is there: one whose number is bounded by
    /// whoever lays it, and which one server alone writes. So no other thing of the person delays it or makes room for it.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub(super) async fn lay(&self, place: Place<'_>, value: &[u8], life: Duration) -> Result<(), ShelfError> {
        let key = place.key(&self.corners(place.person).0);
        for _ in 0..TRIES {
            let before = self.0.store.get(Table::Shelf, &key).await?;
            let write = written(Table::Shelf, key, before.as_ref(), value.to_vec(), in_time(life));
            if self.0.store.commit(vec![write]).await? == Committed::Done {
                return Ok(());
            }
        }
        Err(ShelfError::Busy)
    }

    /// Takes away what was laid there, if it is there.
    ///
    /// # Errors
    /// [`ShelfError::Store`].
    pub(super) async fn lift(&self, place: Place<'_>) -> Result<(), ShelfError> {
        let key = place.key(&self.corners(place.person).0);
        self.0.store.commit(vec![Write::Remove { table: Table::Shelf, key }]).await?;
        Ok(())
    }

    /// Changes a thing by what it is. `change` may be asked several times, if other servers change it meanwhile.
    ///
    /// # Errors
    /// [`ShelfError`], or that of `change`; then nothing has changed.
    pub(super) async fn change<E: From<ShelfError>>(
        &self,
        place: Place<'_>,
        mut change: impl FnMut(Option<&[u8]>) -> Result<Change, E>,
    ) -> Result<(), E> {
        let bounds = Bounds { max_body_bytes: self.0.max_body_bytes };
        self.with_ledger(place.person, Some(place), |corner, ledger, before| {
            let key = place.key(corner);
            match change(before.map(|row| &*row.value))? {
                Change::Keep => Ok(None),
                Change::Put(value, until) => {
                    let out = ledger.put(place.kind, place.name, value.len(), until, bounds)?;
                    let mut writes = removals(corner, &out);
                    writes.push(written(Table::Shelf, key, before, value, until));
                    Ok(Some(writes))
                }
                Change::Remove => {
                    ledger.remove(place.kind, place.name);
                    Ok(Some(vec![Write::Remove { table: Table::Shelf, key }]))
                }
            }
        })
        .await
    }

    /// The list of what is there of a person.
    ///
    /// # Errors
    /// [`ShelfError::Store`].
    pub(super) async fn ledger(&self, person: &Person) -> Result<Ledger, ShelfError> {
        let (_, row, _) = self.found(person, None).await?;
        Ok(Ledger::read(row.as_ref().map(|row| &*row.value)))
    }

    /// Notes that sessions have ended of which no server may know.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub(super) async fn end_sessions(&self, person: &Person, ended: Ended) -> Result<(), ShelfError> {
        self.with_ledger(person, None, |_, ledger, _| {
            ledger.end(ended.clone());
            Ok(Some(Vec::new()))
        })
        .await
    }

    /// Removes everything of a person, but that sessions have ended. Returns the names of the tasks that were there.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub(super) async fn forget(&self, person: &Person) -> Result<Vec<String>, ShelfError> {
        let mut tasks = Vec::new();
        self.with_ledger(person, None, |corner, ledger, _| {
            tasks = ledger.names(Kind::Task).map(str::to_owned).collect();
            let all = ledger.clear();
            Ok::<_, ShelfError>(if all.is_empty() { None } else { Some(removals(corner, &all)) })
        })
        .await?;
        Ok(tasks)
    }

    /// Changes a person's list, and rows with it: those that `change` gives, or nothing. It gets the row of a thing, if one is
    /// named.
    async fn with_ledger<E: From<ShelfError>>(
        &self,
        person: &Person,
        thing: Option<Place<'_>>,
        mut change: impl FnMut(&Corner, &mut Ledger, Option<&Row>) -> Result<Option<Vec<Write>>, E>,
    ) -> Result<(), E> {
        for number in 0..TRIES {
            let (corner, before, row) = self.found(person, thing).await?;
            let mut ledger = Ledger::read(before.as_ref().map(|row| &*row.value));
            let Some(mut writes) = change(&corner, &mut ledger, row.as_ref())? else { return Ok(()) };
            let until = ledger.until();
            writes.push(written(Table::Ledger, list_key(&corner), before.as_ref(), ledger.write(), until));
            if self.0.store.commit(writes).await.map_err(ShelfError::from)? == Committed::Done {
                return Ok(());
            }
            let longest = PAUSE_MAX.min(Duration::from_millis(1 << number.min(6)));
            tokio::time::sleep(longest.mul_f64(rand::random())).await;
        }
        Err(ShelfError::Busy.into())
    }

    /// Where a person's things are, with the list of them if there is one, and the row of one of them.
    async fn found(
        &self,
        person: &Person,
        thing: Option<Place<'_>>,
    ) -> Result<(Corner, Option<Row>, Option<Row>), ShelfError> {
        let (now, before) = self.corners(person);
        let (list, row) = self.read(&now, thing).await?;
        if list.is_none() {
            for corner in before {
                let (list, row) = self.read(&corner, thing).await?;
                if list.is_some() {
                    return Ok((corner, list, row));
                }
            }
        }
        Ok((now, list, row))
    }

    async fn read(&self, corner: &Corner, thing: Option<Place<'_>>) -> Result<(Option<Row>, Option<Row>), ShelfError> {
        let list = list_key(corner);
        let row = async {
            match thing.map(|thing| thing.key(corner)) {
                Some(key) => self.0.store.get(Table::Shelf, &key).await,
                None => Ok(None),
            }
        };
        let (list, row) = tokio::join!(self.0.store.get(Table::Ledger, &list), row);
        Ok((list?, row?))
    }
}

/// A write over a row that was read, or of a new one.
fn written(table: Table, key: Key, before: Option<&Row>, value: Vec<u8>, expires: SystemTime) -> Write {
    match before {
        Some(row) => Write::Replace { table, key, revision: row.revision, value, expires },
        None => Write::Insert { table, key, value, expires },
    }
}

fn removals(corner: &Corner, things: &[(Kind, String)]) -> Vec<Write> {
    let key = |(kind, name): &(Kind, String)| key(corner, &[kind.word(), name]);
    things.iter().map(|thing| Write::Remove { table: Table::Shelf, key: key(thing) }).collect()
}

fn list_key(corner: &Corner) -> Key {
    key(corner, &["list"])
}

/// The key of something of a person: all of theirs are at one place of the store.
fn key(corner: &Corner, parts: &[&str]) -> Key {
    let mut hasher = Sha256::new_with_prefix(corner);
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut key: [u8; 32] = hasher.finalize().into();
    // Not the beginning of the secret itself.
    key[0] = blake3::hash(corner).as_bytes()[0];
    Key(key)
}

/// A name for a text that may be long.
pub(super) fn name_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// A person, or an owner of sessions, as servers name them to each other.
pub(super) fn person_hex(person: &Person) -> String {
    Key(*person).to_hex()
}

/// Reads that.
pub(super) fn person_of(hex: &str) -> Option<Person> {
    Key::from_hex(hex).map(|key| key.0)
}

/// A time that far from now.
pub(super) fn in_time(life: Duration) -> SystemTime {
    clock::now() + life
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
