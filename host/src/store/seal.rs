//! Sealing rows: what a backend keeps can be read here only, and only as what it was written as.

use super::contract::{Change, Key, Millis, Row, SealedRow, SealedWrite, StoreError, Table, Write, millis, time};
use crate::state::StateDir;
use crate::vault::Vault;

const PURPOSE: &str = "tinymcp 2026 store rows";

/// What a store's check value says, and the context that no row has.
const CHECK: &[u8] = b"tinymcp store";

/// Seals and opens rows, each bound to its table, key, revision and expiry.
#[derive(Clone)]
pub(super) struct Sealer(Vault);

/// What can be told of a sealed value without returning it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal {
    /// It opens, and under the current key.
    Current,
    /// It opens under a previous key.
    Previous,
    /// It names a key that is not in the ring.
    UnknownKey,
    /// It has been changed.
    Broken,
}

impl Sealer {
    pub(super) fn of(state: &StateDir) -> Self {
        Self(Vault::of(state, PURPOSE))
    }

    /// A write as backends take it. Every write gets a random revision: the number alone tells what was read from
    /// what has been written since, even when a row was removed and made again in between.
    pub(super) fn seal(&self, write: Write) -> SealedWrite {
        let row = |table: Table, key: &Key, value: Vec<u8>, expires| {
            let (revision, expires) = (rand::random(), millis(expires));
            let sealed = self.0.seal(&context(table.id(), key, revision, expires), &value);
            SealedRow { sealed, revision, expires }
        };
        match write {
            Write::Insert { table, key, value, expires } => {
                SealedWrite { table, key, change: Change::Insert(row(table, &key, value, expires)) }
            }
            Write::Replace { table, key, revision, value, expires } => {
                SealedWrite { table, key, change: Change::Replace(revision, row(table, &key, value, expires)) }
            }
            Write::Remove { table, key } => SealedWrite { table, key, change: Change::Remove },
        }
    }

    /// The row that was sealed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is not what was sealed there.
    pub(super) fn open(&self, table: Table, key: &Key, row: SealedRow) -> Result<Row, StoreError> {
        let SealedRow { sealed, revision, expires } = row;
        match self.0.open(&context(table.id(), key, revision, expires), &sealed) {
            Some(value) => Ok(Row { value, revision, expires: time(expires) }),
            None if self.0.has_key_of(&sealed) => {
                Err(StoreError::Damaged(format!("row {key:?} of {table:?} is not what was written")))
            }
            None => Err(StoreError::Damaged(format!("row {key:?} of {table:?} is sealed under a key that is gone"))),
        }
    }

    /// A value for the backend to keep, by which it is seen whether a store belongs to the key ring.
    pub(super) fn check_value(&self) -> Vec<u8> {
        self.0.seal(CHECK, CHECK)
    }

    /// What a check value says.
    pub(super) fn check(&self, sealed: &[u8]) -> Seal {
        self.judge(CHECK, sealed)
    }

    /// What a sealed row says, by the number of its table.
    pub(super) fn check_row(&self, kind: u8, key: &Key, revision: u64, expires: Millis, sealed: &[u8]) -> Seal {
        self.judge(&context(kind, key, revision, expires), sealed)
    }

    fn judge(&self, context: &[u8], sealed: &[u8]) -> Seal {
        match self.0.open(context, sealed) {
            Some(_) if self.0.is_current(sealed) => Seal::Current,
            Some(_) => Seal::Previous,
            None if self.0.has_key_of(sealed) => Seal::Broken,
            None => Seal::UnknownKey,
        }
    }
}

/// Everything about a row that is not sealed itself, so that nothing of it can be changed.
fn context(kind: u8, key: &Key, revision: u64, expires: Millis) -> Vec<u8> {
    [&[kind], &key.0[..], &revision.to_le_bytes(), &expires.to_le_bytes()].concat()
}
