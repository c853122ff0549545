//! One server at a time, and the memory that there was a store.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::store::contract::OpenError;

/// The lock on a store's directory, until it is dropped; the system drops it with the process, however that ends.
///
/// The file says which process had it last, and how far that got. It is written once the store is there, so an empty
/// one means that there was none yet; with it, a store that is missing is known from one that was never made.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

/// What the last server has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// There was no server.
    Nothing,
    /// It was cut off while the store was in use: what it wrote last is in the write-ahead log.
    InUse,
    /// It was closing the store, or had closed it: there may be no log.
    Closed,
}

const IN_USE: &str = "in use";
const CLOSED: &str = "closed";

impl Lock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("lock");
        let unusable = |error: io::Error| OpenError::Unusable { path: path.clone(), cause: error.to_string() };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file, path }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = io::read_to_string(&file).unwrap_or_default();
                let pid = text.split_whitespace().next().and_then(|word| word.parse().ok());
                Err(OpenError::InUse { path: directory.to_owned(), pid })
            }
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// What the last server has left here.
    pub(super) fn left(&self) -> Result<Left, OpenError> {
        let text = io::read_to_string(&self.file).map_err(|error| self.unusable(&error))?;
        Ok(match text.trim_end() {
            "" => Left::Nothing,
            text if text.ends_with(CLOSED) => Left::Closed,
            _ => Left::InUse,
        })
    }

    /// Records that there is a store, and who has it.
    pub(super) fn mark_in_use(&self) -> Result<(), OpenError> {
        self.mark(IN_USE).map_err(|error| self.unusable(&error))
    }

    /// Records that nothing more is written.
    pub(super) fn mark_closed(&self) -> io::Result<()> {
        self.mark(CLOSED)
    }

    /// The text has one length always, so that it is never cut short.
    fn mark(&self, state: &str) -> io::Result<()> {
        let text = format!("{:>10} {state}\n", std::process::id());
        self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.sync_all())
    }

    fn unusable(&self, error: &io::Error) -> OpenError {
        OpenError::Unusable { path: self.path.clone(), cause: error.to_string() }
    }
}
