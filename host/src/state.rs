//! The state directory: files and keys that outlive the process, private to the user that it runs as.
//!
//! Every key is derived from a root key: `TINYMCP_SECRET` where it is set, the file `key` otherwise. Earlier root keys
//! form the rest of the ring: values that were made under them can still be read.

pub(crate) mod files;
mod permissions;
pub(crate) mod record;
mod ring;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use self::permissions::{create_private_dir, is_mine};
use self::ring::KeyRing;
pub use self::ring::{ListedKey, Ring, RotationError};
use crate::atomic_file;

/// Bytes of the root key. Every other key is derived from it.
const KEY_BYTES: usize = 32;

const KEY_FILE: &str = "key";

/// The beginning of the names of files with previous root keys: `key.old`, `key.old-2026`, ...
const PREVIOUS_KEY_FILES: &str = "key.old";

/// Fewest characters of a secret that an operator hands in. 32 hexadecimal digits are 128 bits; anything shorter can be
/// guessed, and a guess can be checked at leisure against any token.
const MIN_SECRET_CHARS: usize = 32;

const SECRET_PURPOSE: &str = "tinymcp 2026 root key from TINYMCP_SECRET";

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

/// A secret that is too easy to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at least {MIN_SECRET_CHARS} characters, found {found}: make one with `openssl rand -base64 32`")]
pub struct ShortSecret {
    /// Its characters.
    pub found: usize,
}

/// A secret that an operator handed in, long enough to derive keys from.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Takes any text of at least 32 characters; white space around it does not belong to it.
    ///
    /// # Errors
    /// [`ShortSecret`] if it is shorter.
    pub fn parse(raw: &str) -> Result<Self, ShortSecret> {
        let text = raw.trim();
        match text.chars().count() {
            found if found < MIN_SECRET_CHARS => Err(ShortSecret { found }),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// The root keys of the configuration; by default none, and the key file is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// `TINYMCP_SECRET`: the root key, instead of the key file's.
    pub current: Option<SecretText>,
    /// `TINYMCP_SECRET_PREVIOUS`: earlier ones, for reading.
    pub previous: Vec<SecretText>,
}

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
        if !path.is_dir() {
            return Ok(None);
        }
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

fn stretched(secret: &SecretText) -> [u8; KEY_BYTES] {
    blake3::derive_key(SECRET_PURPOSE, secret.0.as_bytes())
}

/// The names of the files with previous keys, in order.
fn previous_key_files(dir: &Path) -> Result<Vec<String>, StateError> {
    let failed = |source| StateError::Directory { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().filter(|name| name.starts_with(PREVIOUS_KEY_FILES)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The key in a file; `None` when there is no file.
fn read_key(dir: &Path, name: impl AsRef<OsStr>) -> Result<Option<[u8; KEY_BYTES]>, StateError> {
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
fn create_key(dir: &Path) -> Result<(), StateError> {
    write_new_key(dir).map_err(|source| StateError::Directory { path: dir.to_owned(), source })
}

/// Writes a new key, whole or not at all. An existing one stays.
fn write_new_key(dir: &Path) -> io::Result<()> {
    atomic_file::create_private(&dir.join(KEY_FILE), &new_key()?)
}

fn new_key() -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
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
        let looked = StateDir::open_existing(scratch.path(), &secrets).unwrap().unwrap();
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
