//! The files with root keys.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::atomic_file;

/// Bytes of the root key. Every other key is derived from it.
pub(super) const KEY_BYTES: usize = 32;

pub(super) const KEY_FILE: &str = "key";

/// The beginning of the names of files with previous root keys: `key.old`, `key.old-2026`, ...
pub(super) const PREVIOUS_KEY_FILES: &str = "key.old";

/// The reason that the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made, or nothing can be written into it.
    #[error("state directory `{}` cannot be used: {source}: {}, or choose another with `state.dir`", path.display(), cure(source))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The key file has the wrong size.
    #[error("key file `{}` is damaged: expected {KEY_BYTES} bytes, found {found}: restore it from a backup, or delete it, which ends all sessions", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// Its size.
        found: usize,
    },
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
        _ => "make it writable",
    }
}

/// The names of the files with previous keys, in order; none where the directory is still to be made.
pub(super) fn previous_key_files(dir: &Path) -> Result<Vec<String>, StateError> {
    let failed = |source| StateError::Directory { path: dir.to_owned(), source };
    let mut names = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().filter(|name| name.starts_with(PREVIOUS_KEY_FILES)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The key in a file; `None` when there is no file.
pub(super) fn read_key(dir: &Path, name: impl AsRef<OsStr>) -> Result<Option<[u8; KEY_BYTES]>, StateError> {
    let path = dir.join(name.as_ref());
    let mut bytes = Vec::new();
    // One byte more than a key has: enough to see that a file is too long.
    let read = File::open(&path).and_then(|file| {
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            tracing::warn!("others may read the key file `{0}`: `chmod 600 {0}`", path.display());
        }
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)
    });
    match read {
        Ok(found) => bytes.try_into().map(Some).map_err(|_| StateError::Key { path, found }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Directory { path: dir.to_owned(), source }),
    }
}

/// Writes a new key; of two servers that start at once one writes it and both read it.
pub(super) fn create_key(dir: &Path) -> Result<(), StateError> {
    write_new_key(dir).map_err(|source| StateError::Directory { path: dir.to_owned(), source })
}

/// Writes a new key, whole or not at all. An existing one stays.
fn write_new_key(dir: &Path) -> io::Result<()> {
    atomic_file::create_private(&dir.join(KEY_FILE), &new_key()?)
}

pub(super) fn new_key() -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}
