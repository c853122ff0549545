//! `initialize`, of which little is kept: a client may declare anything, and its session lasts for months.

use std::borrow::Cow;

use bytes::Bytes;
use rmcp::model::{ClientCapabilities, Implementation, InitializeRequestParams, ProtocolVersion, RequestId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Characters of a client's name, and of its version, that are kept.
const MAX_NAME_CHARS: usize = 64;

/// Bytes of one capability's details. Real ones have some ten; a larger one counts as declared without details.
const MAX_DETAILS_BYTES: usize = 256;

/// The longest name of a protocol version; versions are dates.
const MAX_VERSION_BYTES: usize = 32;

#[derive(Deserialize)]
struct Initialize<'a> {
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow)]
    protocol_version: Cow<'a, str>,
    #[serde(borrow)]
    capabilities: Capabilities<'a>,
    #[serde(borrow)]
    client_info: Client<'a>,
}

/// The capabilities that this server uses.
#[derive(Serialize, Deserialize)]
struct Capabilities<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    elicitation: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    sampling: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    roots: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Client<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
}

#[derive(Serialize)]
struct Message<'a> {
    jsonrpc: &'static str,
    id: &'a RequestId,
    method: &'static str,
    params: &'a InitializeRequestParams,
}

/// Reads a handshake, as far as it is kept. `None` for a body that is none.
pub(super) fn read(body: &[u8]) -> Option<InitializeRequestParams> {
    let Initialize { params } = serde_json::from_slice(body).ok()?;
    let Params { protocol_version, mut capabilities, client_info } = params;
    for details in [&mut capabilities.elicitation, &mut capabilities.sampling, &mut capabilities.roots] {
        if details.is_some_and(|details| details.get().len() > MAX_DETAILS_BYTES) {
            *details = serde_json::from_str("{}").ok();
        }
    }
    let capabilities = serde_json::to_string(&capabilities).ok()?;
    let capabilities: ClientCapabilities = serde_json::from_str(&capabilities).ok()?;
    let cut = |text: &str| text.chars().take(MAX_NAME_CHARS).collect::<String>();
    let client = Implementation::new(cut(&client_info.name), cut(&client_info.version));
    let version = if protocol_version.len() > MAX_VERSION_BYTES { "unknown" } else { &*protocol_version };
    let version: ProtocolVersion = serde_json::from_value(version.into()).ok()?;
    Some(InitializeRequestParams::new(capabilities, client).with_protocol_version(version))
}

/// The message of this handshake, for rmcp.
pub(in crate::mcp) fn message(id: &RequestId, params: &InitializeRequestParams) -> Bytes {
    let message = Message { jsonrpc: "2.0", id, method: "initialize", params };
    serde_json::to_vec(&message).expect("messages are JSON").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn little_is_kept_of_much() {
        let much: Vec<_> = (0..10_000).map(|_| json!([[]])).collect();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {
                "elicitation": { "form": {}, "url": {} },
                "sampling": { "tools": { "x": much } },
                "experimental": { "x": { "y": much } },
                "extensions": { "x": { "y": much } },
            },
            "clientInfo": { "name": "x".repeat(10_000), "version": "1", "icons": much },
            "_meta": { "x": much },
            "more": much,
        } });
        let kept = read(body.to_string().as_bytes()).unwrap();
        assert!(kept.capabilities.elicitation.as_ref().unwrap().url.is_some());
        assert!(kept.capabilities.sampling.is_some() && kept.capabilities.roots.is_none());
        assert!(kept.capabilities.experimental.is_none());
        let message = message(&RequestId::Number(7), &kept);
        assert!(message.len() < 1024, "{}", message.len());
        assert_eq!(read(&message), Some(kept));
    }

    #[test]
    fn what_is_no_handshake_stays_none() {
        for params in [
            json!({}),
            json!({ "protocolVersion": 5, "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } }),
            json!({ "protocolVersion": "x", "clientInfo": { "name": "x", "version": "1" } }),
            json!({ "protocolVersion": "x", "capabilities": { "roots": 5 }, "clientInfo": { "name": "x", "version": "1" } }),
            json!({ "protocolVersion": "x", "capabilities": {}, "clientInfo": {} }),
        ] {
            assert!(read(json!({ "params": params }).to_string().as_bytes()).is_none(), "{params}");
        }
        let long = "v".repeat(4096);
        let params =
            json!({ "protocolVersion": long, "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } });
        let kept = read(json!({ "params": params }).to_string().as_bytes()).unwrap();
        assert_eq!(kept.protocol_version.as_str(), "unknown");
    }
}
