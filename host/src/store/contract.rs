//! The contract between the store and its backend: rows, writes, errors, and [`Backend`].

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::clock;
use crate::descriptors;
use crate::redis;
pub use crate::redis::Primary;

/// The kinds of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// An authorization under way, from the consent to the provider's answer.
    Transaction,
    /// A person through one client: their tokens, and the provider's.
    Session,
    /// A mark of something that was used and may not be used again.
    Once,
    /// A token of a machine.
    Machine,
    /// The tokens that operators have made, in one row.
    Operator,
    /// A device that waits for a person's login, and the code by which the person finds it.
    Device,
    /// What the servers of one store keep of a person's use of the protocol, in one list ([`Table::Shelf`]).
    Ledger,
    /// One thing of such a list.
    Shelf,
}

impl Table {
    /// The table of a number.
    pub fn of_id(id: u8) -> Option<Self> {
        let logins = [Self::Transaction, Self::Session, Self::Once, Self::Machine, Self::Operator, Self::Device];
        logins.into_iter().chain([Self::Ledger, Self::Shelf]).find(|table| table.id() == id)
    }

    /// The table's number for backends and seals. Never changed: it is in every stored row.
    pub(super) fn id(self) -> u8 {
        match self {
            Self::Transaction => 1,
            Self::Session => 2,
            Self::Once => 3,
            Self::Machine => 10,
            Self::Operator => 11,
            Self::Device => 12,
            Self::Ledger => 20,
            Self::Shelf => 21,
        }
    }
}

/// The key of a row: a hash, so that no secret is in a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// The key that belongs to a secret: its SHA-256. The secret must be random enough not to be guessed.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl Key {
    /// The part of a key by which a store of several servers finds the one that has it. What is written under conditions
    /// together has one place.
    pub fn place(&self) -> u8 {
        self.0[0]
    }

    /// The key as text: 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads that text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Key({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// A row that is there and has not expired.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The value as it was written.
    pub value: Vec<u8>,
    /// What each write changes.
    pub revision: Revision,
    /// The end of its life, in whole milliseconds.
    pub expires: SystemTime,
}

/// One state of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// A number that each write changes, and that a key never has twice.
    pub number: u64,
    /// The server that the row was read on. A row that was read on another one may be older than what it had
    /// acknowledged, and is read again before anything is built on it.
    pub primary: Primary,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value: _, revision, expires } = self;
        f.debug_struct("Row").field("revision", revision).field("expires", expires).finish_non_exhaustive()
    }
}

/// One change within a commit.
pub enum Write {
    /// Writes a new row. Fails the whole commit if there is a live one.
    Insert {
        /// Its table.
        table: Table,
        /// Its key.
        key: Key,
        /// The value.
        value: Vec<u8>,
        /// The end of its life.
        expires: SystemTime,
    },
    /// Writes over a row that has not changed since it was read. Fails the whole commit if it has changed or is gone.
    Replace {
        /// Its table.
        table: Table,
        /// Its key.
        key: Key,
        /// The revision that was read.
        revision: Revision,
        /// The value.
        value: Vec<u8>,
        /// The end of its life.
        expires: SystemTime,
    },
    /// Removes a row, if it is there.
    Remove {
        /// Its table.
        table: Table,
        /// Its key.
        key: Key,
    },
}

/// The end of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Everything is written, and survives a crash.
    Done,
    /// A condition did not hold, and nothing was written.
    Conflict,
}

/// The failure of an operation. Clients are told to try again later; the cause is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be used now, most likely for a full disk. It recovers by itself.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A stored row is not as it was written. The store is not used until somebody repairs it.
    #[error("store damaged: {0}")]
    Damaged(String),
}

impl From<redis::Fault> for StoreError {
    fn from(fault: redis::Fault) -> Self {
        match fault {
            redis::Fault::Lost => Self::Damaged(fault.to_string()),
            redis::Fault::Unreachable(_)
            | redis::Fault::Refused(_)
            | redis::Fault::Newer { .. }
            | redis::Fault::Unexpected(_) => Self::Unavailable(fault.to_string()),
        }
    }
}

/// The reason that the store cannot be opened. A server without its store does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refuses it.
    #[error("store `{}` cannot be used: {source}{}", path.display(), cure(source))]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// The system's error, or the backend's with the kind of one.
        source: io::Error,
    },
    /// Another server has it open.
    #[error("store `{}` is in use by another server{}: stop that one, or give this one a directory of its own with `state.dir`", path.display(), process(*.pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other server, if its id is in the lock file.
        pid: Option<u32>,
    },
    /// It was written under another key.
    #[error("store `{}` was written under another key: put the key back as `TINYMCP_SECRET`, in `TINYMCP_SECRET_PREVIOUS` or as file `key.old` in the state directory; or delete the directory `{}`, which logs everybody out", path.display(), directory(path))]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program has written it.
    #[error("store `{}` has schema {found}, and this version knows {known}: run the version that wrote it or a later one; or delete the directory `{}`, which logs everybody out", path.display(), directory(path))]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest that this version knows.
        known: i64,
    },
    /// The file is not as it was written.
    #[error("store `{}` is damaged: {cause}: restore the directory `{}` from a backup; or delete it, which logs everybody out", path.display(), directory(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        cause: String,
    },
}

/// The cure of an error of the system, as the end of a sentence; empty where none is known.
fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": make room on that disk, or choose a directory on another with `state.dir`"
        }
        io::ErrorKind::PermissionDenied => ": make it readable and writable for the user that the server runs as",
        io::ErrorKind::ReadOnlyFilesystem => ": choose a directory that can be written with `state.dir`",
        _ => descriptors::cure(error),
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

fn directory(file: &std::path::Path) -> std::path::Display<'_> {
    file.parent().unwrap_or(file).display()
}

/// Storage of rows. It sees hashes and sealed values only, and gets the time with each call.
#[async_trait]
pub(super) trait Backend: Send + Sync + 'static {
    /// A live row.
    async fn get(&self, table: Table, key: Key, now: Millis) -> Result<Option<SealedRow>, StoreError>;

    /// Live rows of a table in the order of their keys, after this key or from the first on, at most so many. Of rows that
    /// are made or removed while somebody goes through them page by page, any may be there or not; all others are there,
    /// once each. (For a backend without ordered keys: it keeps the keys of each table in an ordered set of its own,
    /// which it changes in the same step as the row.)
    async fn list(
        &self,
        table: Table,
        after: Option<Key>,
        limit: usize,
        now: Millis,
    ) -> Result<Vec<(Key, SealedRow)>, StoreError>;

    /// Makes all changes if all conditions hold on the rows before it, else none; durable before it returns. With a
    /// condition in it, all of its keys have one place.
    async fn commit(&self, writes: Vec<SealedWrite>, now: Millis) -> Result<Committed, StoreError>;
}

/// Milliseconds since 1970, as backends have the time.
pub(super) type Millis = i64;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct SealedRow {
    pub(super) sealed: Vec<u8>,
    pub(super) revision: Revision,
    pub(super) expires: Millis,
}

/// A [`Write`] with a sealed value.
pub(super) struct SealedWrite {
    pub(super) table: Table,
    pub(super) key: Key,
    pub(super) change: Change,
}

/// A change of one row.
pub(super) enum Change {
    Insert(SealedRow),
    /// Holds the revision that the row must have.
    Replace(Revision, SealedRow),
    Remove,
}

pub(super) fn now() -> Millis {
    millis(clock::now())
}

pub(super) fn millis(time: SystemTime) -> Millis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

pub(super) fn time(millis: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
