//! Metadata documents of clients, which anybody may put at a URL.

use serde_json::Value;

use super::DocumentError;
use super::metadata::{Metadata, document_url};

/// The URL at which the document lies.
const ID: &str = "https://app.example/client.json";

/// A line with a client id, and a document.
pub(crate) fn client_document(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    if let Ok(id) = std::str::from_utf8(&bytes[..end])
        && let Ok(url) = document_url(id)
    {
        assert!(url.as_str() == id && url.scheme() == "https" && url.domain().is_some(), "{id}");
        assert!(url.port().is_none() && url.fragment().is_none() && url.username().is_empty(), "{id}");
        assert!(url.path() != "/" && id.len() <= 2048);
    }
    let json = bytes.get(end + 1..).unwrap_or_default();
    match Metadata::read(ID, json) {
        Ok(metadata) => accepted(&metadata, json),
        Err(DocumentError::NotJson) => {
            assert!(serde_json::from_slice::<Value>(json).ok().is_none_or(|value| !value.is_object()));
        }
        Err(_) => {}
    }
}

fn accepted(metadata: &Metadata, json: &[u8]) {
    let document: Value = serde_json::from_slice(json).expect("it is JSON");
    assert_eq!(document["client_id"], ID);
    assert!(document.get("client_secret").is_none_or(Value::is_null), "a secret in a public document");
    assert!(!metadata.redirect_uris.is_empty() && metadata.redirect_uris.len() <= 50);
    for uri in &metadata.redirect_uris {
        assert!(uri.len() <= 2048 && !uri.contains('*'), "{uri}");
    }
    assert!(!metadata.needs_assertion || metadata.keys.is_some(), "nobody could verify its assertions");
    assert!(metadata.algorithms.iter().all(|algorithm| crate::algorithms::ALGORITHMS.contains(algorithm)));
}
