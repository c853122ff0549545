//! Sealing and signing, with keys of one purpose.
//!
//! A sealed value can be read and changed only with the key, and opens only in the context that it was sealed in. A
//! signature shows that this server has seen a message. Both name their key, so that those made before a change of the
//! root key are still good as long as the old one is in the key ring (see [`crate::state`]).

use std::sync::{Arc, PoisonError, RwLock};

use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::state::{Ring, StateDir};

/// First byte of everything sealed, so that the layout can be changed.
const FORMAT: u8 = 1;

const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;

/// Bytes by which a sealed value is longer than the value: the format, the key's id, the nonce and the cipher's tag.
pub const SEALED_OVERHEAD: usize = 1 + KEY_ID_BYTES + NONCE_BYTES + 16;

/// Bytes of a MAC in a signature. 128 bits cannot be guessed, and signatures go into URLs, where space is short.
const MAC_BYTES: usize = 16;

const KEY_ID_PURPOSE: &str = "tinymcp 2026 vault key id";
const SEAL_PURPOSE: &str = "tinymcp 2026 vault sealing";
const SIGN_PURPOSE: &str = "tinymcp 2026 vault signatures";
const DERIVE_PURPOSE: &str = "tinymcp 2026 vault derived values";

/// Bytes of a signature: the key's id and the MAC.
pub const SIGNATURE_BYTES: usize = KEY_ID_BYTES + MAC_BYTES;

/// The keys of one purpose: the current one, and those before it, which only read. When the root key changes while the
/// process runs, its next use has the new ones.
#[derive(Clone)]
pub struct Vault {
    purpose: &'static str,
    derived: Arc<Derived>,
}

/// The keys as they were last derived, and what they are derived from.
struct Derived {
    /// None for keys of one root key that does not change.
    ring: Option<Ring>,
    keys: RwLock<Arc<PurposeKeys>>,
}

struct PurposeKeys {
    /// The version of the ring.
    version: u64,
    current: Keys,
    previous: Vec<Keys>,
    /// The key that was current until this time, in seconds since 1970: what was derived before it is derived with that.
    before: Option<(u64, Keys)>,
}

/// The keys derived from one root key for one purpose.
struct Keys {
    id: [u8; KEY_ID_BYTES],
    cipher: XChaCha20Poly1305,
    signing: [u8; 32],
    deriving: [u8; 32],
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Vault").field(&self.purpose).finish()
    }
}

impl Vault {
    /// The keys of a state directory for one purpose. Vaults of different purposes cannot read each other's values.
    pub fn of(state: &StateDir, purpose: &'static str) -> Self {
        let ring = state.ring().clone();
        let keys = RwLock::new(Arc::new(PurposeKeys::of(&ring, purpose)));
        Self { purpose, derived: Arc::new(Derived { ring: Some(ring), keys }) }
    }

    /// A vault under a key that is kept elsewhere, sealed by another.
    pub fn of_key(purpose: &'static str, key: &[u8; 32]) -> Self {
        Self::of_one(purpose, Keys::derive(&blake3::derive_key(purpose, key)))
    }

    /// A vault without a state directory; different bytes give different keys.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn for_tests(byte: u8) -> Self {
        Self::of_one("tests", Keys::derive(&[byte; 32]))
    }

    fn of_one(purpose: &'static str, current: Keys) -> Self {
        let keys = PurposeKeys { version: 0, current, previous: Vec::new(), before: None };
        Self { purpose, derived: Arc::new(Derived { ring: None, keys: RwLock::new(Arc::new(keys)) }) }
    }

    /// The keys of now.
    fn keys(&self) -> Arc<PurposeKeys> {
        let keys = Arc::clone(&self.derived.keys.read().unwrap_or_else(PoisonError::into_inner));
        match &self.derived.ring {
            Some(ring) if ring.version() != keys.version => {
                let keys = Arc::new(PurposeKeys::of(ring, self.purpose));
                *self.derived.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keys);
                keys
            }
            _ => keys,
        }
    }

    /// Seals a value under the current key, bound to its context: it opens nowhere else.
    ///
    /// The result is the format's version, the key's id, a random nonce and the ciphertext with its tag
    /// (XChaCha20-Poly1305).
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let (nonce, keys) = (XNonce::generate(), self.keys());
        let current = &keys.current;
        let aad = self.associated_data(current.id, context);
        let payload = Payload { msg: plain, aad: &aad };
        let ciphertext = current.cipher.encrypt(&nonce, payload).expect("a value is shorter than 256 GiB");
        let mut sealed = Vec::with_capacity(1 + KEY_ID_BYTES + NONCE_BYTES + ciphertext.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&current.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens a value that [`Self::seal`] sealed in the same context, under any key of the ring.
    ///
    /// `None` if it was sealed elsewhere, under a key that is not kept any more, or has been changed since.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = split_key_id(sealed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let aad = self.associated_data(id, context);
        let payload = || Payload { msg: ciphertext, aad: &aad };
        self.keys().with(id).find_map(|keys| keys.cipher.decrypt(&XNonce::from(*nonce), payload()).ok())
    }

    /// True if a sealed value names a key of the ring. If that does not open it, it has been changed.
    pub fn has_key_of(&self, sealed: &[u8]) -> bool {
        split_key_id(sealed).is_some_and(|(id, _)| self.keys().with(id).next().is_some())
    }

    /// True if a sealed value names the current key.
    pub fn has_current_key_of(&self, sealed: &[u8]) -> bool {
        split_key_id(sealed).is_some_and(|(id, _)| id == self.keys().current.id)
    }

    /// Signs a message: the current key's id and a keyed MAC.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        let (id, mac) = signature.split_at_mut(KEY_ID_BYTES);
        let keys = self.keys();
        id.copy_from_slice(&keys.current.id);
        mac.copy_from_slice(&keys.current.mac(message));
        signature
    }

    /// Verifies a signature of [`Self::sign`] for this message, under any key of the ring.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((id, raw_mac)) = signature.split_first_chunk::<KEY_ID_BYTES>() else { return false };
        let Ok(raw_mac) = <[u8; MAC_BYTES]>::try_from(raw_mac) else { return false };
        self.keys().with(*id).any(|keys| is_equal(&keys.mac(message), &raw_mac))
    }

    /// Derives 32 bytes from a message that only this server can compute, for values that are derived again instead of
    /// stored. They change with the root key.
    pub fn derive(&self, message: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.keys().current.deriving, message).as_bytes()
    }

    /// The same by every key of the ring, the current one first.
    pub fn derive_by_all(&self, message: &[u8]) -> Vec<[u8; 32]> {
        let keys = self.keys();
        let ring = std::iter::once(&keys.current).chain(keys.previous.iter());
        ring.map(|keys| *blake3::keyed_hash(&keys.deriving, message).as_bytes()).collect()
    }

    /// The same for something that began at this time, in seconds since 1970: the root key may have changed since, and
    /// what is under way must still be derived as it was.
    pub fn derive_at(&self, began_s: u64, message: &[u8]) -> [u8; 32] {
        let keys = self.keys();
        let then = keys.before.as_ref().filter(|(until_s, _)| began_s < *until_s).map(|(_, keys)| keys);
        *blake3::keyed_hash(&then.unwrap_or(&keys.current).deriving, message).as_bytes()
    }

    /// The associated data of a ciphertext. The purpose has a length in front, so that it cannot run into the context.
    fn associated_data(&self, id: [u8; KEY_ID_BYTES], context: &[u8]) -> Vec<u8> {
        let purpose_bytes = (self.purpose.len() as u64).to_le_bytes();
        [&[FORMAT], &id[..], &purpose_bytes, self.purpose.as_bytes(), context].concat()
    }
}

impl PurposeKeys {
    fn of(ring: &Ring, purpose: &str) -> Self {
        let roots = ring.keys_for(purpose);
        Self {
            version: roots.version,
            current: Keys::derive(&roots.current),
            previous: roots.previous.iter().map(Keys::derive).collect(),
            before: roots.before.map(|(until_s, key)| (until_s, Keys::derive(&key))),
        }
    }

    fn with(&self, id: [u8; KEY_ID_BYTES]) -> impl Iterator<Item = &Keys> {
        std::iter::once(&self.current).chain(&self.previous).filter(move |keys| keys.id == id)
    }
}

impl Keys {
    fn derive(key: &[u8; 32]) -> Self {
        let [a, b, c, d, ..] = blake3::derive_key(KEY_ID_PURPOSE, key);
        Self {
            id: [a, b, c, d],
            cipher: XChaCha20Poly1305::new(&blake3::derive_key(SEAL_PURPOSE, key).into()),
            signing: blake3::derive_key(SIGN_PURPOSE, key),
            deriving: blake3::derive_key(DERIVE_PURPOSE, key),
        }
    }

    fn mac(&self, message: &[u8]) -> [u8; MAC_BYTES] {
        let hash = blake3::keyed_hash(&self.signing, message);
        *hash.as_bytes().first_chunk().expect("a hash is longer than a MAC")
    }
}

/// Takes the version and the key's id off the front of a sealed value.
fn split_key_id(sealed: &[u8]) -> Option<([u8; KEY_ID_BYTES], &[u8])> {
    let (id, rest) = sealed.strip_prefix(&[FORMAT])?.split_first_chunk()?;
    Some((*id, rest))
}

/// Compares secrets, or values made of them, in constant time: by their hashes, which `blake3` compares so.
pub fn is_equal(one: &[u8], other: &[u8]) -> bool {
    blake3::hash(one) == blake3::hash(other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::state::Secrets;

    fn vault(dir: &std::path::Path, purpose: &'static str) -> Vault {
        Vault::of(&StateDir::open(dir, &Secrets::default()).unwrap(), purpose)
    }

    #[test]
    fn a_value_opens_in_its_context_only() {
        let vault = Vault::for_tests(1);
        let sealed = vault.seal(b"row 1", b"secret");
        assert_eq!(vault.open(b"row 1", &sealed).as_deref(), Some(&b"secret"[..]));
        for context in [&b"row 2"[..], b"row", b"row 11", b""] {
            assert_eq!(vault.open(context, &sealed), None);
        }
        assert_eq!(sealed.len(), b"secret".len() + SEALED_OVERHEAD);
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        let vault = Vault::for_tests(1);
        assert_ne!(vault.seal(b"", b"secret"), vault.seal(b"", b"secret"));
    }

    #[test]
    fn a_changed_value_does_not_open() {
        let vault = Vault::for_tests(1);
        let sealed = vault.seal(b"row", b"secret");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(vault.open(b"row", &changed), None, "bit {bit} of byte {at}");
            }
            assert_eq!(vault.open(b"row", &sealed[..at]), None, "cut at {at}");
        }
        assert_eq!(vault.open(b"row", &[&sealed[..], &[0]].concat()), None);
    }

    #[test]
    fn a_changed_signature_or_message_is_refused() {
        let vault = Vault::for_tests(1);
        let signature = vault.sign(b"message");
        assert!(vault.verify(b"message", &signature));
        assert!(!vault.verify(b"massage", &signature));
        for at in 0..signature.len() {
            let mut changed = signature;
            changed[at] ^= 1;
            assert!(!vault.verify(b"message", &changed), "byte {at}");
            assert!(!vault.verify(b"message", &signature[..at]), "cut at {at}");
        }
    }

    #[test]
    fn another_key_or_purpose_reads_nothing() {
        let (scratch, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = vault(scratch.path(), "a");
        let sealed = ours.seal(b"row", b"secret");
        for stranger in [vault(scratch.path(), "b"), vault(other.path(), "a")] {
            assert_eq!(stranger.open(b"row", &sealed), None);
            assert!(!stranger.has_key_of(&sealed));
            assert!(!stranger.verify(b"message", &ours.sign(b"message")));
            assert_ne!(stranger.derive(b"message"), ours.derive(b"message"));
        }
    }

    #[test]
    fn a_previous_key_reads_and_does_not_write() {
        let scratch = tempfile::tempdir().unwrap();
        let before = vault(scratch.path(), "a");
        let (sealed, signature) = (before.seal(b"row", b"secret"), before.sign(b"message"));
        fs::rename(scratch.path().join("key"), scratch.path().join("key.old")).unwrap();
        let after = vault(scratch.path(), "a");
        assert_eq!(after.open(b"row", &sealed).as_deref(), Some(&b"secret"[..]));
        assert!(after.verify(b"message", &signature));
        assert!(after.has_key_of(&sealed));
        let resealed = after.seal(b"row", b"secret");
        assert_eq!(before.open(b"row", &resealed), None);
        fs::remove_file(scratch.path().join("key.old")).unwrap();
        assert_eq!(vault(scratch.path(), "a").open(b"row", &sealed), None);
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", Vault::for_tests(1)), r#"Vault("tests")"#);
    }
}
