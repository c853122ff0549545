//! Session ids that carry their session.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::model::{ClientCapabilities, Implementation, InitializeRequestParams};
use serde::{Deserialize, Serialize};

use crate::clock::now_s;
use crate::vault::Vault;

/// Life of a session id. Clients begin a new session when they are told that theirs is unknown.
const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 3600);

/// The most bytes of capabilities in an id. Real clients declare some hundred; larger ones count as not declared.
const MAX_CAPABILITIES_BYTES: usize = 1024;

/// Characters of a client's name, and of its version, that an id carries.
const MAX_NAME_CHARS: usize = 64;

/// Distinguishes this form of ids from later ones.
const VERSION: &str = "s2";

const KEY_PURPOSE: &str = "tinymcp 2026 legacy session ids";

/// The content of an id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SessionId {
    /// The owner's key, see [`crate::principal::Principal::session`].
    #[serde(with = "owner")]
    pub(super) owner: [u8; 32],
    /// The handshake, without decoration.
    pub(super) initialize: InitializeRequestParams,
    issued_s: u64,
    nonce: u64,
}

impl SessionId {
    /// The time at which it began, in seconds since 1970.
    pub(super) fn began_s(&self) -> u64 {
        self.issued_s
    }

    /// The time at which it is too old, in seconds since 1970.
    pub(super) fn until_s(&self) -> u64 {
        latest_until_s(self.issued_s)
    }

    pub(super) fn new(owner: [u8; 32], initialize: InitializeRequestParams) -> Self {
        let cut = |text: &str| text.chars().take(MAX_NAME_CHARS).collect::<String>();
        let client = Implementation::new(cut(&initialize.client_info.name), cut(&initialize.client_info.version));
        let size = serde_json::to_vec(&initialize.capabilities).map_or(usize::MAX, |json| json.len());
        let fits = size <= MAX_CAPABILITIES_BYTES;
        let capabilities = if fits { initialize.capabilities } else { ClientCapabilities::default() };
        let trimmed =
            InitializeRequestParams::new(capabilities, client).with_protocol_version(initialize.protocol_version);
        Self { owner, initialize: trimmed, issued_s: now_s(), nonce: rand::random() }
    }
}

/// The owner's key as text: an array of numbers would be three times as long.
mod owner {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(owner: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(owner))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("an owner has 32 bytes"))
    }
}

/// The time at which all ids that were made by then are too old; both in seconds since 1970.
pub(super) fn latest_until_s(by_s: u64) -> u64 {
    by_s.saturating_add(MAX_AGE.as_secs())
}

/// The key for making and checking session ids; previous ones check them too.
pub(super) struct SessionKey(Vault);

impl SessionKey {
    /// The key of a state directory.
    pub(super) fn of(state: &crate::state::StateDir) -> Self {
        Self(Vault::of(state, KEY_PURPOSE))
    }

    /// Writes an id: visible ASCII only (2025-11-25, basic/transports, Session Management).
    pub(super) fn seal(&self, session: &SessionId) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(session).expect("a session is JSON"));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(body.as_bytes()));
        format!("{VERSION}.{body}.{signature}")
    }

    /// Reads an id that this key made, if it is not too old.
    pub(super) fn open(&self, raw_id: &str) -> Option<SessionId> {
        let (body, signature) = raw_id.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
        if !self.0.verify(body.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?) {
            return None;
        }
        let session: SessionId = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        let is_young = now_s().saturating_sub(session.issued_s) <= MAX_AGE.as_secs();
        is_young.then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionId {
        let client = Implementation::new("x".repeat(1000), "1");
        SessionId::new([7; 32], InitializeRequestParams::new(ClientCapabilities::default(), client))
    }

    #[test]
    fn an_id_opens_with_its_key_only() {
        let (key, other) = (SessionKey(Vault::for_tests(1)), SessionKey(Vault::for_tests(2)));
        let id = key.seal(&session());
        assert_eq!(key.open(&id).map(|session| session.owner), Some([7; 32]));
        assert!(other.open(&id).is_none());
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(id.len() < 1024, "{}", id.len());
    }

    #[test]
    fn a_changed_id_does_not_open() {
        let key = SessionKey(Vault::for_tests(1));
        let id = key.seal(&session());
        for at in 0..id.len() {
            let mut changed = id.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(key.open(&String::from_utf8(changed).unwrap()).is_none(), "byte {at}");
        }
    }

    #[test]
    fn an_old_id_does_not_open() {
        let key = SessionKey(Vault::for_tests(1));
        let mut session = session();
        session.issued_s -= MAX_AGE.as_secs() + 1;
        assert!(key.open(&key.seal(&session)).is_none());
    }
}
