//! The state directory: what the server keeps between two runs, private to the user that it runs as.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes of the root key. Every other key is derived from it.
const KEY_BYTES: usize = 32;

const KEY_FILE: &str = "key";

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made, or nothing can be written into it.
    #[error("state directory `{}` cannot be used: {source}: make it writable, or choose another with `state.dir`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file is not what this program writes.
    #[error("key file `{}` is damaged: expected {KEY_BYTES} bytes, found {found}: restore it from a backup, or delete it, which ends all sessions", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// Its size.
        found: usize,
    },
}

/// An open state directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    root: RootKey,
    access: Access,
}

/// What may be done with the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is this server's own.
    Own,
    /// A server may be using it: nothing in it may be changed or deleted.
    Look,
}

/// The key that all others are derived from. It never leaves this module.
#[derive(Clone)]
struct RootKey([u8; KEY_BYTES]);

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKey(..)")
    }
}

impl StateDir {
    /// Opens the directory; makes it (mode 0700) and its key (mode 0600) when they are missing.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be made, read or written, or its key is damaged.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Directory { path: path.to_owned(), source };
        create_private_dir(path).map_err(failed)?;
        let key_file = path.join(KEY_FILE);
        let key = match read_key(&key_file).map_err(failed)? {
            Some(key) => key,
            None => create_key(path, &key_file).map_err(failed)?,
        };
        Self::with_key(path, &key_file, &key, Access::Own)
    }

    /// Opens the directory only if it is there already, and writes nothing: for commands that work beside a server.
    ///
    /// # Errors
    /// [`StateError`] when it is there and cannot be read, or its key is damaged.
    pub fn open_existing(path: &Path) -> Result<Option<Self>, StateError> {
        let key_file = path.join(KEY_FILE);
        let key = read_key(&key_file).map_err(|source| StateError::Directory { path: path.to_owned(), source })?;
        key.map(|key| Self::with_key(path, &key_file, &key, Access::Look)).transpose()
    }

    fn with_key(path: &Path, key_file: &Path, key: &[u8], access: Access) -> Result<Self, StateError> {
        let root = key.try_into().map_err(|_| StateError::Key { path: key_file.to_owned(), found: key.len() })?;
        Ok(Self { path: path.to_owned(), root: RootKey(root), access })
    }

    /// What may be done with it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A key for one purpose. Two purposes never share a key; the same purpose always gets the same one.
    pub fn key(&self, purpose: &str) -> [u8; KEY_BYTES] {
        blake3::derive_key(purpose, &self.root.0)
    }

    /// A private directory within this one, made when missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn subdirectory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        create_private_dir(&path)?;
        Ok(path)
    }
}

/// Makes a directory and its parents, for its owner only. One that is there already is narrowed to 0700.
fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The key file's bytes, at most one more than a key has; `None` when there is no file.
fn read_key(key_file: &Path) -> io::Result<Option<Vec<u8>>> {
    match File::open(key_file) {
        Ok(file) => {
            let mut key = Vec::new();
            file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
            Ok(Some(key))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a new key so that it is either there whole, and stays, or not at all; of two servers that start at once
/// one writes it and both use it.
fn create_key(dir: &Path, key_file: &Path) -> io::Result<Vec<u8>> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let draft = dir.join(format!("{KEY_FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, key_file);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => File::open(dir)?.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    read_key(key_file)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_private_and_keeps_its_key() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("deep/state");
        let first = StateDir::open(&path).unwrap();
        let second = StateDir::open(&path).unwrap();
        assert_eq!(first.key("a"), second.key("a"));
        assert_ne!(first.key("a"), first.key("b"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(KEY_FILE))), (0o700, 0o600));
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(KEY_FILE), "short").unwrap();
        let error = StateDir::open(scratch.path()).unwrap_err();
        assert!(error.to_string().contains("expected 32 bytes, found 5"), "{error}");
        assert_eq!(fs::read(scratch.path().join(KEY_FILE)).unwrap(), b"short");
    }

    #[test]
    fn looking_writes_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(StateDir::open_existing(scratch.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
