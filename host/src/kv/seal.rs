//! What is sealed in the file, and in a store of several servers.
//!
//! Each has a key of its own, sealed under the server's root key: when that changes, this alone is sealed anew. Under
//! it are sealed each space with its owner, each value with its place, and cursors. A value is bound to the space's own
//! random id, so that it opens nowhere else, and a space can be handed to another plugin without touching its values.

use serde::{Deserialize, Serialize};

use super::request::{Owner, Space};
use crate::state::StateDir;
use crate::vault::Vault;

const ROOT_PURPOSE: &str = "tinymcp 2026 key of the state of plugins";
const PURPOSE: &str = "tinymcp 2026 state of plugins";

/// The context of the file's own key.
const KEY_CONTEXT: &[u8] = b"tinymcp kv key";

/// Bytes of the file's own key, and of the random id of a space.
pub(super) const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 16;

/// Bytes by which a sealed value is longer than the value.
pub(super) const VALUE_OVERHEAD: usize = crate::vault::SEALED_OVERHEAD;

/// What the owner of a space is in the file: nobody can tell who it is, or make one.
pub(super) type OwnerTag = Vec<u8>;

/// A space's name in a store of several servers: nobody can tell whose it is, or make one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SpaceName(pub(super) [u8; 32]);

/// Seals and opens what is in the file.
pub(super) struct Sealer(Vault);

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

/// Seals the file's own key under the root key.
pub(super) fn seal_key(state: &StateDir, key: &[u8; KEY_BYTES]) -> Vec<u8> {
    Vault::of(state, ROOT_PURPOSE).seal(KEY_CONTEXT, key)
}

/// Opens the file's own key; none if the root key is another.
pub(super) fn open_key(state: &StateDir, sealed: &[u8]) -> Option<[u8; KEY_BYTES]> {
    Vault::of(state, ROOT_PURPOSE).open(KEY_CONTEXT, sealed)?.try_into().ok()
}

/// True if that key is sealed under the current root key.
pub(super) fn is_current(state: &StateDir, sealed: &[u8]) -> bool {
    Vault::of(state, ROOT_PURPOSE).has_current_key_of(sealed)
}

/// A space as it is sealed where its plugin is not to be seen.
#[derive(Serialize, Deserialize)]
struct Described<S> {
    plugin: String,
    space: S,
}

impl Sealer {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Vault::of_key(PURPOSE, key))
    }

    /// The owner's column of a space.
    pub(super) fn tag(&self, owner: &Owner) -> OwnerTag {
        match owner {
            Owner::Plugin => Vec::new(),
            Owner::Person(person) => self.0.derive(&[b"owner", &person.id[..]].concat()).to_vec(),
        }
    }

    pub(super) fn seal_space(&self, space: &Space, sealed: &SealedSpace) -> Vec<u8> {
        let plain = serde_json::to_vec(sealed).expect("an owner has a JSON form");
        self.0.seal(&space_context(&space.plugin, &self.tag(&space.owner)), &plain)
    }

    pub(super) fn open_space(&self, plugin: &str, tag: &[u8], seal: &[u8]) -> Option<SealedSpace> {
        serde_json::from_slice(&self.0.open(&space_context(plugin, tag), seal)?).ok()
    }

    /// What a space is called where neither its plugin nor its owner is to be seen.
    pub(super) fn name(&self, space: &Space) -> SpaceName {
        SpaceName(self.0.derive(&space_context(&space.plugin, &self.tag(&space.owner))))
    }

    /// What two plugins are called there.
    pub(super) fn name_of_two(&self, one: &str, other: &str) -> [u8; 32] {
        let bytes = (one.len() as u64).to_le_bytes();
        self.0.derive(&[b"two", &bytes[..], one.as_bytes(), other.as_bytes()].concat())
    }

    /// A word that tells this key from others.
    pub(super) fn key_name(&self) -> [u8; 8] {
        *self.0.derive(b"key").first_chunk().expect("32 bytes have a beginning")
    }

    /// Seals a space where its name is all that is seen of it.
    pub(super) fn seal_named(&self, name: &SpaceName, plugin: &str, space: &SealedSpace) -> Vec<u8> {
        let described = Described { plugin: plugin.to_owned(), space };
        self.0.seal(&named_context(name), &serde_json::to_vec(&described).expect("an owner has a JSON form"))
    }

    /// Opens such a space, and its plugin.
    pub(super) fn open_named(&self, name: &SpaceName, seal: &[u8]) -> Option<(String, SealedSpace)> {
        let Described { plugin, space } = serde_json::from_slice(&self.0.open(&named_context(name), seal)?).ok()?;
        Some((plugin, space))
    }

    pub(super) fn seal_value(&self, space: &SealedSpace, entry: &Place<'_>, value: &[u8]) -> Vec<u8> {
        self.0.seal(&entry.context(space), value)
    }

    pub(super) fn open_value(&self, space: &SealedSpace, entry: &Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.open(&entry.context(space), sealed)
    }

    /// A cursor: a name, for lists of this space and prefix alone.
    pub(super) fn seal_cursor(&self, space: &SealedSpace, prefix: &str, name: &[u8]) -> Vec<u8> {
        self.0.seal(&cursor_context(space, prefix), name)
    }

    pub(super) fn open_cursor(&self, space: &SealedSpace, prefix: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.open(&cursor_context(space, prefix), sealed)
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
