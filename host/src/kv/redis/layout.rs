//! How spaces and entries are in Redis.
//!
//! A space is a value with its version, counts and seal, and four keys beside it: the entries by name, and ordered sets of
//! their names, by name, by turn and by the end of their lives. Their keys have the space's name, a MAC that tells nothing
//! of plugin and owner. At each place stand the set of all spaces and that of those in which something will expire.

use crate::kv::operations::{Entry, Held, Millis};
use crate::kv::request::KvError;
use crate::kv::seal::{Sealer, SpaceName};
use crate::redis::{Place, Redis};

/// The name of the key under which things at a place are sealed.
pub(super) const KEY_NAME: &str = "kv-id";

/// All spaces of a place.
pub(super) const ALL: &str = "kv-all";

/// Those in which something expires, by when.
pub(super) const DUE: &str = "kv-due";

pub(super) const SPACE: &str = "kv-space";
pub(super) const ENTRIES: &str = "kv-entries";
pub(super) const NAMES: &str = "kv-names";
pub(super) const TURNS: &str = "kv-turns";
pub(super) const ENDS: &str = "kv-ends";

/// Bytes of an entry before its value. Scripts know this number, and that its end is the last of four.
pub(super) const ENTRY_HEAD: usize = 32;

/// The version of a space that is being handed over: nobody writes it.
pub(super) const FROZEN: [u8; 8] = *b"\0handed\0";

/// Where a space is.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) name: SpaceName,
}

impl At {
    pub(super) fn place(self) -> Place {
        let [first, ..] = self.name.0;
        Place(first)
    }

    pub(super) fn key(self, redis: &Redis, kind: &str) -> Vec<u8> {
        redis.key(self.place(), kind, &self.name.0)
    }
}

/// The value of a space: its version, which each write changes, what it holds, and its seal.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) version: [u8; 8],
    pub(super) bytes: u64,
    pub(super) turn: u64,
    pub(super) seal: Vec<u8>,
}

impl Head {
    /// Reads one; none for nothing.
    pub(super) fn read(text: &[u8]) -> Result<Option<Self>, KvError> {
        if text.is_empty() {
            return Ok(None);
        }
        let parts = || {
            let (version, rest) = text.split_first_chunk::<8>()?;
            let (bytes, rest) = rest.split_first_chunk::<8>()?;
            let (turn, seal) = rest.split_first_chunk::<8>()?;
            let (bytes, turn) = (u64::from_le_bytes(*bytes), u64::from_le_bytes(*turn));
            Some(Self { version: *version, bytes, turn, seal: seal.to_vec() })
        };
        parts().map(Some).ok_or(KvError::Damaged)
    }

    pub(super) fn text(&self) -> Vec<u8> {
        [&self.version[..], &self.bytes.to_le_bytes(), &self.turn.to_le_bytes(), &self.seal].concat()
    }

    /// The same in its next version.
    pub(super) fn next(self, bytes: u64, turn: u64) -> Self {
        Self { version: new_version(), bytes, turn, seal: self.seal }
    }

    pub(super) fn open(&self, sealer: &Sealer, at: At) -> Result<Held, KvError> {
        let (_, sealed) = sealer.open_named(&at.name, &self.seal)?;
        Ok(Held { sealed, bytes: self.bytes, turn: self.turn })
    }
}

/// Random: it tells a state of a space from any other that it ever had.
pub(super) fn new_version() -> [u8; 8] {
    loop {
        let version = rand::random();
        if version != FROZEN {
            return version;
        }
    }
}

pub(super) fn entry_text(entry: &Entry) -> Vec<u8> {
    let Entry { turn, bytes, revision, expires_ms, sealed } = entry;
    let expires = expires_ms.unwrap_or(Millis::MAX);
    let numbers = [turn.to_le_bytes(), bytes.to_le_bytes(), revision.to_le_bytes(), expires.to_le_bytes()];
    [numbers.as_flattened(), sealed].concat()
}

/// Reads an entry; none for nothing.
pub(super) fn read_entry(text: &[u8]) -> Result<Option<Entry>, KvError> {
    if text.is_empty() {
        return Ok(None);
    }
    let (head, sealed) = text.split_first_chunk::<ENTRY_HEAD>().ok_or(KvError::Damaged)?;
    let (numbers, _) = head.as_chunks::<8>();
    let [turn, bytes, revision, expires] = numbers else { return Err(KvError::Damaged) };
    let [turn, bytes, revision] = [turn, bytes, revision].map(|number| u64::from_le_bytes(*number));
    let expires_ms = Some(Millis::from_le_bytes(*expires)).filter(|expires| *expires != Millis::MAX);
    Ok(Some(Entry { turn, bytes, revision, expires_ms, sealed: sealed.to_vec() }))
}
