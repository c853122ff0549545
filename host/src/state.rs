//! The state directory: files and keys that outlive the process, private to the user that it runs as.
//!
//! Every key is derived from a root key: `TINYMCP_SECRET` where it is set, the file `key` otherwise. Earlier root keys
//! form the rest of the ring: values that were made under them can still be read.

pub(crate) mod files;
mod key_files;
mod permissions;
pub(crate) mod record;
mod ring;
mod secrets;

use std::io;
use std::path::{Path, PathBuf};

pub use self::key_files::StateError;
use self::key_files::{KEY_BYTES, create_key};
use self::permissions::{create_private_dir, is_mine};
use self::ring::KeyRing;
pub use self::ring::{ListedKey, Ring, RotationError};
pub use self::secrets::{SecretText, Secrets, ShortSecret};

/// An open state directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    ring: Ring,
    access: StateUse,
}

/// The things that may be done with a state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateUse {
    /// It is this server's own.
    Own,
    /// A server may be using it: nothing in it may be changed or deleted. Compiled code may be added.
    Look,
    /// Everything in it may be deleted: it can be made again.
    Scratch,
}

impl StateDir {
    /// Opens the directory; makes it (mode 0700) when it is missing, and its key (mode 0600) when that is missing and
    /// needed. Files in it that others may read are restricted to their owner.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be made, read or written, or a key is damaged.
    pub fn open(path: &Path, secrets: &Secrets) -> Result<Self, StateError> {
        create_private_dir(path).map_err(|source| StateError::Directory { path: path.to_owned(), source })?;
        permissions::restrict(path);
        let keys = match KeyRing::read(path, secrets)? {
            Some(keys) => keys,
            None => {
                create_key(path)?;
                KeyRing::read(path, secrets)?.ok_or_else(|| StateError::Directory {
                    path: path.to_owned(),
                    source: io::ErrorKind::NotFound.into(),
                })?
            }
        };
        Ok(Self { path: path.to_owned(), ring: Ring::new(keys), access: StateUse::Own })
    }

    /// Opens the directory only if it is there already, and writes nothing: for commands that work beside a server.
    ///
    /// # Errors
    /// [`StateError`] when it is there and cannot be read, or a key is damaged.
    pub fn open_existing(path: &Path, secrets: &Secrets) -> Result<Option<Self>, StateError> {
        if path.is_dir() { Self::foreseen(path, secrets) } else { Ok(None) }
    }

    /// The same, also where the directory is still to be made and its key was handed in: what a server would have.
    ///
    /// # Errors
    /// As for [`Self::open_existing`].
    pub fn foreseen(path: &Path, secrets: &Secrets) -> Result<Option<Self>, StateError> {
        let Some(keys) = KeyRing::read(path, secrets)? else { return Ok(None) };
        Ok(Some(Self { path: path.to_owned(), ring: Ring::new(keys), access: StateUse::Look }))
    }

    /// Opens a directory for things that can be made again, with a key of its own: a user's cache. Makes it if it is
    /// missing.
    ///
    /// `None` where it cannot be used, or belongs to another user, whose files must not be run.
    pub fn open_scratch(path: &Path) -> Option<Self> {
        let there = path.ancestors().find(|path| path.exists())?;
        let opened = is_mine(there).then(|| Self::open(path, &Secrets::default()).ok()).flatten()?;
        Some(Self { access: StateUse::Scratch, ..opened }).filter(Self::is_mine)
    }

    /// True if it belongs to the user that this process runs as.
    pub fn is_mine(&self) -> bool {
        is_mine(&self.path)
    }

    /// The things that may be done with it.
    pub fn access(&self) -> StateUse {
        self.access
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The current key for one purpose. Two purposes never share a key; a purpose keeps its key until the root key
    /// changes.
    pub fn key(&self, purpose: &str) -> [u8; KEY_BYTES] {
        self.ring.keys_for(purpose).current
    }

    /// The earlier keys for a purpose, from before the root key was changed, as far as they are kept.
    pub fn previous_keys(&self, purpose: &str) -> impl Iterator<Item = [u8; KEY_BYTES]> {
        self.ring.keys_for(purpose).previous.into_iter()
    }

    /// The root keys, as they change.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Makes a new root key the current one. Those before it stay listed, so that what was made under them is still
    /// read.
    ///
    /// # Errors
    /// [`RotationError`]: then the keys are as they were.
    pub fn rotate(&self) -> Result<(), RotationError> {
        self.ring.rotate(&self.path)
    }

    /// Takes over the secrets of a configuration that was read again. Returns whether the current key is another one.
    ///
    /// # Errors
    /// A key file is damaged.
    pub fn reload_secrets(&self, secrets: &Secrets) -> Result<bool, StateError> {
        self.ring.reload(&self.path, secrets)
    }

    /// A private directory within this one, made when missing.
    ///
    /// # Errors
    /// The system's.
    pub fn subdirectory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        create_private_dir(&path)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::key_files::KEY_FILE;
    use super::secrets::{MIN_SECRET_CHARS, stretched};
    use super::*;

    const PURPOSE: &str = "a";

    fn secret(text: &str) -> SecretText {
        SecretText::parse(&text.repeat(MIN_SECRET_CHARS)).unwrap()
    }

    fn open(path: &Path) -> StateDir {
        StateDir::open(path, &Secrets::default()).unwrap()
    }

    #[test]
    fn a_missing_directory_is_made_private_and_keeps_its_key() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("deep/state");
        let (first, second) = (open(&path), open(&path));
        assert_eq!(first.key("a"), second.key("a"));
        assert_ne!(first.key("a"), first.key("b"));
        assert_eq!(second.previous_keys(PURPOSE).count(), 0);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(KEY_FILE))), (0o700, 0o600));
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        for name in [KEY_FILE, "key.old-2025"] {
            let scratch = tempfile::tempdir().unwrap();
            fs::write(scratch.path().join(name), "short").unwrap();
            let error = StateDir::open(scratch.path(), &Secrets::default()).unwrap_err().to_string();
            assert!(error.contains("expected 32 bytes, found 5") && error.contains(name), "{error}");
            assert_eq!(fs::read(scratch.path().join(name)).unwrap(), b"short");
        }
    }

    #[test]
    fn looking_writes_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(StateDir::open_existing(scratch.path(), &Secrets::default()).unwrap().is_none());
        let missing = scratch.path().join("missing");
        let secrets = Secrets { current: Some(secret("s")), previous: Vec::new() };
        assert!(StateDir::open_existing(&missing, &secrets).unwrap().is_none());
        let foreseen = StateDir::foreseen(&missing, &secrets).unwrap().unwrap();
        assert!(!missing.exists() && StateDir::foreseen(&missing, &Secrets::default()).unwrap().is_none());
        let looked = StateDir::open_existing(scratch.path(), &secrets).unwrap().unwrap();
        assert_eq!(foreseen.key(PURPOSE), looked.key(PURPOSE));
        assert_eq!(looked.access(), StateUse::Look);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_scratch_directory_is_made_and_private() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("deep/cache");
        let opened = StateDir::open_scratch(&path).unwrap();
        assert_eq!((opened.access(), opened.is_mine()), (StateUse::Scratch, true));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(StateDir::open_scratch(&path).unwrap().key(PURPOSE), opened.key(PURPOSE));
        fs::write(scratch.path().join("file"), "").unwrap();
        assert!(StateDir::open_scratch(&scratch.path().join("file/cache")).is_none());
    }

    #[test]
    fn a_key_that_was_renamed_is_a_previous_one() {
        let scratch = tempfile::tempdir().unwrap();
        let before = open(scratch.path()).key(PURPOSE);
        fs::rename(scratch.path().join(KEY_FILE), scratch.path().join("key.old")).unwrap();
        let after = open(scratch.path());
        assert_ne!(after.key(PURPOSE), before);
        assert_eq!(after.previous_keys(PURPOSE).collect::<Vec<_>>(), [before]);
    }

    #[test]
    fn a_secret_takes_the_place_of_the_key_file_which_becomes_a_previous_key() {
        let scratch = tempfile::tempdir().unwrap();
        let secrets = Secrets { current: Some(secret("s")), previous: vec![secret("p")] };
        let without_file = StateDir::open(scratch.path(), &secrets).unwrap();
        assert!(!scratch.path().join(KEY_FILE).exists());
        let of_file = open(scratch.path()).key(PURPOSE);
        let with_file = StateDir::open(scratch.path(), &secrets).unwrap();
        assert_eq!(with_file.key(PURPOSE), without_file.key(PURPOSE));
        let of_previous = blake3::derive_key(PURPOSE, &stretched(&secret("p")));
        assert_eq!(with_file.previous_keys(PURPOSE).collect::<Vec<_>>(), [of_previous, of_file]);
    }

    #[test]
    fn a_secret_is_long_and_never_shown() {
        assert_eq!(SecretText::parse(&format!("  {}\n", "x".repeat(31))), Err(ShortSecret { found: 31 }));
        let secrets = Secrets { current: Some(secret("hush")), previous: vec![secret("hush")] };
        assert!(!format!("{secrets:?}").contains("hush"));
        let scratch = tempfile::tempdir().unwrap();
        let state = StateDir::open(scratch.path(), &secrets).unwrap();
        assert!(format!("{state:?}").contains("KeyRing(..)"));
    }
}
