//! The lock on a store: one server at a time.

use std::io;
use std::path::{Path, PathBuf};

use crate::file_lock::{self, FileLock, Taken};
use crate::store::contract::OpenError;

/// The lock on a store's directory, until it is dropped; the system drops it with the process, however that ends.
///
/// Its file holds the id of the process that had it last. That is written once the store is there: a store that is
/// missing beside a file with an id has been lost, and one beside an empty file was never made.
pub(super) struct Lock {
    lock: FileLock,
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
        match file_lock::take_unsigned(&path).map_err(unusable)? {
            Taken::Now(lock) => {
                let was_signed = lock.is_signed().map_err(unusable)?;
                Ok(Self { lock, path, was_signed })
            }
            Taken::Before(pid) => Err(OpenError::InUse { path: directory.to_owned(), pid }),
        }
    }

    /// True if a server has had a store here.
    pub(super) fn was_signed(&self) -> bool {
        self.was_signed
    }

    /// Writes the id of this process, once there is a store.
    pub(super) fn sign(&self) -> Result<(), OpenError> {
        self.lock.sign_lastingly().map_err(|error| OpenError::Unusable { path: self.path.clone(), source: error })
    }
}
