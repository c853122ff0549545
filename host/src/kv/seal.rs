//! What is sealed in the file, and in a store of several servers.
//!
//! Each has a key of its own, sealed under the server's root key: when that changes, this alone is sealed anew. Under
//! it are sealed each space with its owner, each value with its place, and cursors. A value is bound to the space's own
//! random id, so that it opens nowhere else, and a space can be handed to another plugin without touching its values.

use serde::{Deserialize, Serialize};

use super::request::{KvError, Owner, Space};
use crate::records::{self, LATER, RecordVault, Unread};
use crate::redis::Redis;
use crate::state::StateDir;
use crate::vault::Vault;

const ROOT_PURPOSE: &str = "tinymcp 2026 key of the state of plugins";
const PURPOSE: &str = "tinymcp 2026 state of plugins";

/// The context of the file's own key.
const KEY_CONTEXT: &[u8] = b"tinymcp kv key";

/// Bytes of the file's own key, and of the random id of a space.
pub(super) const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 16;

/// The most bytes by which a sealed value is longer than the value.
pub(super) const VALUE_OVERHEAD_MAX: usize = records::OVERHEAD_MAX;

/// What the owner of a space is in the file: nobody can tell who it is, or make one.
pub(super) type OwnerTag = Vec<u8>;

/// A space's name in a store of several servers: nobody can tell whose it is, or make one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SpaceName(pub(super) [u8; 32]);

/// Seals and opens what is kept, and makes what others carry away: names, and cursors, which are no records.
pub(super) struct Sealer {
    vault: Vault,
    records: RecordVault,
}

/// Seals and opens the key of a file or store under the root key.
pub(super) struct RootSealer(RecordVault);

/// A space as it is sealed in its row.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedSpace {
    id: [u8; ID_BYTES],
    pub(super) owner: Owner,
}

impl SealedSpace {
    /// A new one.
    pub(super) fn new(owner: Owner) -> Self {
        Self { id: rand::random(), owner }
    }

    /// True for the same space, whatever plugin has it.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl RootSealer {
    /// That of a file.
    pub(super) fn of_file(state: &StateDir) -> Self {
        Self(RecordVault::of_one(Vault::of(state, ROOT_PURPOSE)))
    }

    /// That of a store that several servers share.
    pub(super) fn shared(state: &StateDir, redis: &Redis) -> Self {
        Self(RecordVault::shared(Vault::of(state, ROOT_PURPOSE), redis))
    }

    pub(super) fn seal(&self, key: &[u8; KEY_BYTES]) -> Vec<u8> {
        self.0.seal(KEY_CONTEXT, key)
    }

    /// Opens a key.
    ///
    /// # Errors
    /// The root key is another, or a later version has written it.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<[u8; KEY_BYTES], Unread> {
        self.0.open(KEY_CONTEXT, sealed)?.try_into().map_err(|_| Unread::Damaged)
    }

    /// True if a key is sealed under the current root key.
    pub(super) fn is_current(&self, sealed: &[u8]) -> bool {
        self.0.has_current_key_of(sealed)
    }
}

/// What a plugin hears of a record that is not read.
fn outward(unread: Unread) -> KvError {
    match unread {
        Unread::Later => KvError::Unavailable(format!("what is kept here {LATER} of this server")),
        Unread::UnknownKey | Unread::Damaged => KvError::Damaged,
    }
}

/// A space as it is sealed where its plugin is not to be seen.
#[derive(Serialize, Deserialize)]
struct Described<S> {
    plugin: String,
    space: S,
}

impl Sealer {
    /// That of a file, by its key.
    pub(super) fn of_file(key: &[u8; KEY_BYTES]) -> Self {
        let vault = Vault::of_key(PURPOSE, key);
        Self { records: RecordVault::of_one(vault.clone()), vault }
    }

    /// That of a store that several servers share.
    pub(super) fn shared(key: &[u8; KEY_BYTES], redis: &Redis) -> Self {
        let vault = Vault::of_key(PURPOSE, key);
        Self { records: RecordVault::shared(vault.clone(), redis), vault }
    }

    /// The owner's column of a space.
    pub(super) fn tag(&self, owner: &Owner) -> OwnerTag {
        match owner {
            Owner::Plugin => Vec::new(),
            Owner::Person(person) => self.vault.derive(&[b"owner", &person.id[..]].concat()).to_vec(),
        }
    }

    pub(super) fn seal_space(&self, space: &Space, sealed: &SealedSpace) -> Vec<u8> {
        let plain = serde_json::to_vec(sealed).expect("an owner has a JSON form");
        self.records.seal(&space_context(&space.plugin, &self.tag(&space.owner)), &plain)
    }

    pub(super) fn open_space(&self, plugin: &str, tag: &[u8], seal: &[u8]) -> Option<SealedSpace> {
        serde_json::from_slice(&self.records.open(&space_context(plugin, tag), seal).ok()?).ok()
    }

    /// What a space is called where neither its plugin nor its owner is to be seen.
    pub(super) fn name(&self, space: &Space) -> SpaceName {
        SpaceName(self.vault.derive(&space_context(&space.plugin, &self.tag(&space.owner))))
    }

    /// What two plugins are called there.
    pub(super) fn name_of_two(&self, one: &str, other: &str) -> [u8; 32] {
        let bytes = (one.len() as u64).to_le_bytes();
        self.vault.derive(&[b"two", &bytes[..], one.as_bytes(), other.as_bytes()].concat())
    }

    /// A word that tells this key from others.
    pub(super) fn key_name(&self) -> [u8; 8] {
        *self.vault.derive(b"key").first_chunk().expect("32 bytes have a beginning")
    }

    /// Seals a space where its name is all that is seen of it.
    pub(super) fn seal_named(&self, name: &SpaceName, plugin: &str, space: &SealedSpace) -> Vec<u8> {
        let described = Described { plugin: plugin.to_owned(), space };
        self.records.seal(&named_context(name), &serde_json::to_vec(&described).expect("an owner has a JSON form"))
    }

    /// Opens such a space, and its plugin.
    ///
    /// # Errors
    /// [`KvError`]: it is not what was written, or a later version has written it.
    pub(super) fn open_named(&self, name: &SpaceName, seal: &[u8]) -> Result<(String, SealedSpace), KvError> {
        let plain = self.records.open(&named_context(name), seal).map_err(outward)?;
        let Described { plugin, space } = serde_json::from_slice(&plain).map_err(|_| KvError::Damaged)?;
        Ok((plugin, space))
    }

    pub(super) fn seal_value(&self, space: &SealedSpace, entry: &Place<'_>, value: &[u8]) -> Vec<u8> {
        self.records.seal(&entry.context(space), value)
    }

    /// Opens a value.
    ///
    /// # Errors
    /// As for [`Self::open_named`].
    pub(super) fn open_value(&self, space: &SealedSpace, entry: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, KvError> {
        self.records.open(&entry.context(space), sealed).map_err(outward)
    }

    /// The bytes of a sealed value.
    pub(super) fn value_bytes(&self, sealed: &[u8]) -> usize {
        self.records.plain_bytes(sealed)
    }

    /// A cursor: a name, for lists of this space and prefix alone.
    pub(super) fn seal_cursor(&self, space: &SealedSpace, prefix: &str, name: &[u8]) -> Vec<u8> {
        self.vault.seal(&cursor_context(space, prefix), name)
    }

    pub(super) fn open_cursor(&self, space: &SealedSpace, prefix: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.vault.open(&cursor_context(space, prefix), sealed)
    }
}

/// Everything about an entry beside its value.
pub(super) struct Place<'a> {
    pub(super) name: &'a [u8],
    pub(super) revision: u64,
    /// The end of its life; none for ever.
    pub(super) expires_ms: Option<i64>,
}

impl Place<'_> {
    fn context(&self, space: &SealedSpace) -> Vec<u8> {
        let expires = self.expires_ms.unwrap_or(i64::MAX);
        [b"value", &space.id[..], &self.revision.to_le_bytes(), &expires.to_le_bytes(), self.name].concat()
    }
}

fn space_context(plugin: &str, tag: &[u8]) -> Vec<u8> {
    [b"space", &(plugin.len() as u64).to_le_bytes()[..], plugin.as_bytes(), tag].concat()
}

fn named_context(name: &SpaceName) -> Vec<u8> {
    [b"named space", &name.0[..]].concat()
}

fn cursor_context(space: &SealedSpace, prefix: &str) -> Vec<u8> {
    [b"cursor", &space.id[..], prefix.as_bytes()].concat()
}
