//! The lock on a store: one server at a time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::store::contract::OpenError;

/// The lock on a store's directory, until it is dropped; the system drops it with the process, however that ends.
///
/// Its file holds the id of the process that had it last. That is written once the store is there: a store that is
/// missing beside a file with an id has been lost, and one beside an empty file was never made.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    was_signed: bool,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`OpenError::InUse`] with the process that has it.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("lock");
        let unusable = |error: io::Error| OpenError::Unusable { path: path.clone(), source: error };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let was_signed = file.metadata().map_err(unusable)?.len() > 0;
                Ok(Self { file, path, was_signed })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = io::read_to_string(&file).unwrap_or_default();
                let pid = text.split_whitespace().next().and_then(|word| word.parse().ok());
                Err(OpenError::InUse { path: directory.to_owned(), pid })
            }
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// True if a server has had a store here.
    pub(super) fn was_signed(&self) -> bool {
        self.was_signed
    }

    /// Writes the id of this process, once there is a store.
    pub(super) fn sign(&self) -> Result<(), OpenError> {
        // One length always, and in place: no crash and no full disk leaves the file empty again.
        let text = format!("{:>10}\n", std::process::id());
        let written = self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64));
        written
            .and_then(|()| self.file.sync_all())
            .map_err(|error| OpenError::Unusable { path: self.path.clone(), source: error })
    }
}
