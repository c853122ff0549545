//! `requestState`: the state of a plugin between two calls, on its way through a client.
//!
//! A client gets it as a text that only this server can read, and that is valid for one person through one client, one
//! request and an hour. Any other text is refused.

#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::mcp) mod fuzzing;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::ErrorData;
use serde_json::{Map, Value};

use crate::clock::now_s;
use crate::principal::Principal;
use crate::state::StateDir;
use crate::vault::Vault;

/// Seconds for a person to answer.
const TTL_S: u64 = 3600;

/// The most bytes of a plugin's state. They travel with every request.
const MAX_BYTES: usize = 64 * 1024;

/// Seals states.
pub(super) struct RequestStates(Vault);

/// The request that a state belongs to.
pub(super) struct Purpose {
    context: Vec<u8>,
}

impl Purpose {
    /// A request of this method for a thing of this name, with these arguments.
    pub(super) fn new(principal: &Principal, method: &str, name: &str, arguments: &Map<String, Value>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&principal.session());
        for part in [method, name] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hash_members(&mut hasher, arguments);
        Self { context: hasher.finalize().as_bytes().to_vec() }
    }
}

impl RequestStates {
    pub(super) fn new(state: &StateDir) -> Self {
        Self(Vault::of(state, "request state"))
    }

    /// Seals a plugin's state.
    ///
    /// # Errors
    /// More than [`MAX_BYTES`].
    pub(super) fn seal(&self, purpose: &Purpose, state: &[u8]) -> Result<String, ErrorData> {
        if state.len() > MAX_BYTES {
            let message = format!("the plugin's state has more than {MAX_BYTES} bytes");
            return Err(ErrorData::internal_error(message, None));
        }
        let expires = now_s() + TTL_S;
        let plain = [&expires.to_le_bytes(), state].concat();
        Ok(URL_SAFE_NO_PAD.encode(self.0.seal(&purpose.context, &plain)))
    }

    /// Opens a state that a client has sent back.
    ///
    /// # Errors
    /// -32602 for a state that was not made here, for this request and this caller, or is too old. The error does not
    /// tell these apart.
    pub(super) fn open(&self, purpose: &Purpose, sealed: &str) -> Result<Vec<u8>, ErrorData> {
        let refused = || ErrorData::invalid_params("`requestState` is not one of this request, or has expired", None);
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| refused())?;
        let plain = self.0.open(&purpose.context, &sealed).ok_or_else(refused)?;
        let (expires, state) = plain.split_first_chunk().ok_or_else(refused)?;
        if now_s() >= u64::from_le_bytes(*expires) {
            return Err(refused());
        }
        Ok(state.to_vec())
    }
}

/// Members of an object have no order, though the text has one.
fn hash_members(hasher: &mut blake3::Hasher, members: &Map<String, Value>) {
    let mut members: Vec<(&String, &Value)> = members.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    hasher.update(b"{").update(&(members.len() as u64).to_le_bytes());
    for (name, value) in members {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hash(hasher, value);
    }
}

/// Without a copy of the value, which may be large.
fn hash(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(members) => hash_members(hasher, members),
        Value::Array(items) => {
            hasher.update(b"[").update(&(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| hash(hasher, item));
        }
        Value::String(text) => {
            hasher.update(b"\"").update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            // None of these has a space in it.
            hasher.update(value.to_string().as_bytes()).update(b" ");
        }
    }
}
