//! Sealing rows: only this server can read a stored value, and only in the place where it was written.

use super::contract::{
    Change, Key, Millis, Primary, Revision, Row, SealedRow, SealedWrite, StoreError, Table, Write, millis, time,
};
use crate::records::{RecordVault, Unread};
use crate::redis::Redis;
use crate::state::StateDir;
use crate::vault::Vault;

const PURPOSE: &str = "tinymcp 2026 store rows";

/// The text of a store's check value, and its context, which no row has.
const CHECK: &[u8] = b"tinymcp store";

/// Seals and opens rows, each bound to its table, key, revision and expiry.
#[derive(Clone)]
pub(super) struct Sealer(RecordVault);

/// The state of a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal {
    /// It opens under a key of the ring.
    Sound,
    /// It names a key that is not in the ring.
    UnknownKey,
    /// It has been changed.
    Broken,
}

impl Sealer {
    /// That of a server alone, and of check values.
    pub(super) fn of(state: &StateDir) -> Self {
        Self(RecordVault::of_one(Vault::of(state, PURPOSE)))
    }

    /// That of a store that several servers share.
    pub(super) fn shared(state: &StateDir, redis: &Redis) -> Self {
        Self(RecordVault::shared(Vault::of(state, PURPOSE), redis))
    }

    /// Seals a write for the backend. Every write gets a random revision: the number alone tells a row that was read
    /// from one that was written since, even if it was removed and made again in between.
    pub(super) fn seal(&self, write: Write) -> SealedWrite {
        let row = |table: Table, key: &Key, value: Vec<u8>, expires| {
            let (number, expires) = (rand::random(), millis(expires));
            let sealed = self.0.seal(&context(table.id(), key, number, expires), &value);
            SealedRow { sealed, revision: Revision { number, primary: Primary::LASTING }, expires }
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

    /// Opens a row.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a row that was not sealed there, or was changed; [`StoreError::Unavailable`] for one of a
    /// later version.
    pub(super) fn open(&self, table: Table, key: &Key, row: SealedRow) -> Result<Row, StoreError> {
        let SealedRow { sealed, revision, expires } = row;
        let row = || format!("row {key:?} of {table:?}");
        match self.0.open(&context(table.id(), key, revision.number, expires), &sealed) {
            Ok(value) => Ok(Row { value, revision, expires: time(expires) }),
            Err(later @ Unread::Later) => Err(StoreError::Unavailable(format!("{} {}", row(), later.words()))),
            Err(Unread::Damaged) => Err(StoreError::Damaged(format!("{} is not what was written", row()))),
            Err(Unread::UnknownKey) => {
                Err(StoreError::Damaged(format!("{} is sealed under a key that is gone", row())))
            }
        }
    }

    /// A value for the backend to keep: it opens only with the key ring that the store belongs to.
    pub(super) fn check_value(&self) -> Vec<u8> {
        self.0.seal(CHECK, CHECK)
    }

    /// Judges a check value.
    pub(super) fn check(&self, sealed: &[u8]) -> Seal {
        self.judge(CHECK, sealed)
    }

    /// Judges a sealed row, by the number of its table.
    pub(super) fn check_row(&self, kind: u8, key: &Key, revision: u64, expires: Millis, sealed: &[u8]) -> Seal {
        self.judge(&context(kind, key, revision, expires), sealed)
    }

    fn judge(&self, context: &[u8], sealed: &[u8]) -> Seal {
        match self.0.open(context, sealed) {
            Ok(_) => Seal::Sound,
            Err(Unread::Damaged) => Seal::Broken,
            // Neither files nor check values have a later format.
            Err(Unread::UnknownKey | Unread::Later) => Seal::UnknownKey,
        }
    }
}

/// The context of a seal: everything about a row beside its value, so that none of it can be changed.
fn context(kind: u8, key: &Key, revision: u64, expires: Millis) -> Vec<u8> {
    [&[kind], &key.0[..], &revision.to_le_bytes(), &expires.to_le_bytes()].concat()
}
