//! The root keys: the current one, which everything new is made under, and those before it. They never leave `state`.
//!
//! Invariant: a key that was current while this process ran stays in the ring, whatever becomes of its file.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::key_files::{KEY_BYTES, KEY_FILE, PREVIOUS_KEY_FILES, StateError, new_key, previous_key_files, read_key};
use super::secrets::{Secrets, stretched};
use crate::atomic_file;
use crate::clock::now_s;

/// The purpose of the names by which people tell root keys apart.
const NAME_PURPOSE: &str = "tinymcp 2026 name of a root key";

type Key = [u8; KEY_BYTES];

/// Where a root key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeySource {
    /// `TINYMCP_SECRET`.
    Secret,
    /// `TINYMCP_SECRET_PREVIOUS`.
    PreviousSecret,
    /// A file of the state directory.
    File(String),
    /// It was current while this process ran, and nothing lists it any more.
    Memory,
}

/// The root keys of one moment.
#[derive(Clone)]
pub(super) struct KeyRing {
    current: (Key, KeySource),
    previous: Vec<(Key, KeySource)>,
    /// The key that was current until this time, in seconds since 1970, if that was while this process ran.
    before: Option<(u64, Key)>,
}

/// The root keys, as they change. Clones are handles to the same.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    keys: RwLock<KeyRing>,
    /// Changes with the keys.
    version: AtomicU64,
}

/// The keys for one purpose.
pub(crate) struct KeysForPurpose {
    pub(crate) version: u64,
    pub(crate) current: Key,
    pub(crate) previous: Vec<Key>,
    pub(crate) before: Option<(u64, Key)>,
}

/// A root key, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ListedKey {
    /// A name by which it is told from others, and from which nothing can be derived.
    pub name: String,
    /// Where it comes from: a variable, or a file of the state directory.
    pub source: String,
    /// What is new is made under it.
    pub is_current: bool,
}

/// The reason that the root key is not changed.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// It is not this server's to change.
    #[error(
        "the root key is `TINYMCP_SECRET`, which only its owner can change: move its value to `TINYMCP_SECRET_PREVIOUS` \
         and set another one; in `.env`, or in the file that `TINYMCP_SECRET_FILE` names, a running server takes it over"
    )]
    IsSecret,
    /// The system refuses it.
    #[error("the new key cannot be written: {0}")]
    Unwritable(#[from] std::io::Error),
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRing(..)")
    }
}

impl KeyRing {
    /// Reads the keys: those handed in, and those in files. None if there is no key yet.
    pub(super) fn read(dir: &Path, secrets: &Secrets) -> Result<Option<Self>, StateError> {
        let in_file = read_key(dir, KEY_FILE)?.map(|key| (key, KeySource::File(KEY_FILE.to_owned())));
        let current = match &secrets.current {
            Some(secret) => Some((stretched(secret), KeySource::Secret)),
            None => in_file.clone(),
        };
        let Some(current) = current else { return Ok(None) };
        let of_secrets = secrets.previous.iter().map(|secret| (stretched(secret), KeySource::PreviousSecret));
        let mut previous: Vec<_> = of_secrets.collect();
        // With a secret that was handed in, the file's key is one that was in use before.
        previous.extend(in_file.filter(|(key, _)| *key != current.0));
        for name in previous_key_files(dir)? {
            previous.extend(read_key(dir, &name)?.map(|key| (key, KeySource::File(name))));
        }
        Ok(Some(Self { current, previous, before: None }))
    }
}

impl Ring {
    pub(super) fn new(keys: KeyRing) -> Self {
        Self(Arc::new(Inner { keys: RwLock::new(keys), version: AtomicU64::new(0) }))
    }

    /// A number that changes with the keys.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// The keys that are derived for one purpose.
    pub(crate) fn keys_for(&self, purpose: &str) -> KeysForPurpose {
        let derive = |root: &Key| blake3::derive_key(purpose, root);
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        KeysForPurpose {
            // It is changed under the lock.
            version: self.version(),
            current: derive(&keys.current.0),
            previous: keys.previous.iter().map(|(key, _)| derive(key)).collect(),
            before: keys.before.as_ref().map(|(until_s, key)| (*until_s, derive(key))),
        }
    }

    /// The keys, as operators see them, the current one first.
    pub fn listed(&self) -> Vec<ListedKey> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let listed = |(key, source): &(Key, KeySource), is_current| ListedKey {
            name: blake3::Hash::from_bytes(blake3::derive_key(NAME_PURPOSE, key)).to_hex()[..8].to_owned(),
            source: match source {
                KeySource::Secret => "TINYMCP_SECRET".to_owned(),
                KeySource::PreviousSecret => "TINYMCP_SECRET_PREVIOUS".to_owned(),
                KeySource::File(name) => name.clone(),
                KeySource::Memory => "nowhere any more, until the server stops".to_owned(),
            },
            is_current,
        };
        let previous = keys.previous.iter().map(|key| listed(key, false));
        std::iter::once(listed(&keys.current, true)).chain(previous).collect()
    }

    /// Writes a new key beside the current one, and makes it the current one.
    pub(super) fn rotate(&self, dir: &Path) -> Result<(), RotationError> {
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let (old, KeySource::File(_)) = &keys.current else { return Err(RotationError::IsSecret) };
        let (old, new) = (*old, new_key()?);
        // The old one first: a crash in between leaves it under both names. A name is never used twice.
        let name = (0..)
            .map(|number| match number {
                0 => format!("{PREVIOUS_KEY_FILES}-{}", now_s()),
                number => format!("{PREVIOUS_KEY_FILES}-{}-{number}", now_s()),
            })
            .find(|name| !dir.join(name).exists())
            .unwrap_or_else(|| PREVIOUS_KEY_FILES.to_owned());
        atomic_file::create_private(&dir.join(&name), &old)?;
        atomic_file::replace_durable(&dir.join(KEY_FILE), &new)?;
        keys.replace_current((new, KeySource::File(KEY_FILE.to_owned())), KeySource::File(name));
        self.0.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Takes over what is listed now. A key that was current stays in the ring, listed or not.
    pub(super) fn reload(&self, dir: &Path, secrets: &Secrets) -> Result<bool, StateError> {
        let Some(read) = KeyRing::read(dir, secrets)? else { return Ok(false) };
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let is_another = read.current.0 != keys.current.0;
        let is_listed = |ring: &KeyRing, key: &Key| ring.previous.iter().any(|(other, _)| other == key);
        let new_previous: Vec<_> =
            read.previous.iter().filter(|(key, _)| *key != keys.current.0 && !is_listed(&keys, key)).cloned().collect();
        if !is_another && new_previous.is_empty() {
            return Ok(false);
        }
        keys.previous.extend(new_previous);
        if is_another {
            let old = keys.current.0;
            let found = read.previous.iter().find(|(key, _)| *key == old).map(|(_, source)| source.clone());
            if found.is_none() {
                tracing::warn!(
                    "the root key has changed, and nothing lists the one before it: it is good until the server stops; \
                     put it into `TINYMCP_SECRET_PREVIOUS`, or everybody has to log in again then"
                );
            }
            keys.previous.retain(|(key, _)| *key != read.current.0);
            keys.replace_current(read.current, found.unwrap_or(KeySource::Memory));
        }
        self.0.version.fetch_add(1, Ordering::Release);
        Ok(is_another)
    }
}

impl KeyRing {
    fn replace_current(&mut self, new: (Key, KeySource), old_source: KeySource) {
        let (old, _) = std::mem::replace(&mut self.current, new);
        // What began in this very second began under the old one, or is taken to have.
        self.before = Some((now_s() + 1, old));
        self.previous.retain(|(key, _)| *key != old);
        self.previous.insert(0, (old, old_source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{SecretText, StateDir};
    use crate::vault::Vault;

    fn open(dir: &Path, secrets: &Secrets) -> StateDir {
        StateDir::open(dir, secrets).unwrap()
    }

    #[test]
    fn a_new_key_is_current_at_once_and_the_old_one_still_reads_also_after_a_restart() {
        let scratch = tempfile::tempdir().unwrap();
        let state = open(scratch.path(), &Secrets::default());
        let vault = Vault::of(&state, "a");
        let (sealed, signature) = (vault.seal(b"row", b"secret"), vault.sign(b"message"));
        let (derived, began_s) = (vault.derive(b"login"), now_s());
        for _ in 0..2 {
            state.rotate().unwrap();
        }
        for vault in [&vault, &Vault::of(&open(scratch.path(), &Secrets::default()), "a")] {
            assert_eq!(vault.open(b"row", &sealed).as_deref(), Some(&b"secret"[..]));
            assert!(vault.verify(b"message", &signature) && !vault.has_current_key_of(&sealed));
            assert!(vault.has_current_key_of(&vault.seal(b"row", b"other")));
        }
        assert_ne!(vault.derive(b"login"), derived);
        assert_eq!(state.ring().listed().len(), 3);
        assert_ne!(vault.derive_at(began_s, b"login"), vault.derive(b"login"));
        assert_eq!(vault.derive_at(began_s + 100, b"login"), vault.derive(b"login"));
    }

    #[test]
    fn what_began_before_is_derived_as_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let state = open(scratch.path(), &Secrets::default());
        let vault = Vault::of(&state, "a");
        let began_s = now_s();
        let derived = vault.derive_at(began_s, b"login");
        state.rotate().unwrap();
        assert_eq!(vault.derive_at(began_s, b"login"), derived);
    }

    #[test]
    fn a_changed_secret_is_taken_over_and_the_old_one_is_not_lost() {
        let secret = |text: &str| SecretText::parse(&text.repeat(32)).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let state = open(scratch.path(), &Secrets { current: Some(secret("a")), previous: Vec::new() });
        assert!(matches!(state.rotate(), Err(RotationError::IsSecret)));
        let vault = Vault::of(&state, "a");
        let sealed = vault.seal(b"row", b"secret");
        let listed = Secrets { current: Some(secret("b")), previous: vec![secret("a")] };
        assert!(state.reload_secrets(&listed).unwrap() && !state.reload_secrets(&listed).unwrap());
        let unlisted = Secrets { current: Some(secret("c")), previous: Vec::new() };
        assert!(state.reload_secrets(&unlisted).unwrap());
        assert_eq!(vault.open(b"row", &sealed).as_deref(), Some(&b"secret"[..]));
        let sources: Vec<String> = state.ring().listed().into_iter().map(|key| key.source).collect();
        assert_eq!(sources, ["TINYMCP_SECRET", "nowhere any more, until the server stops", "TINYMCP_SECRET_PREVIOUS"]);
    }
}
