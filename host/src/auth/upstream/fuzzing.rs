//! Answers and documents of identity providers.

use std::sync::{Arc, LazyLock};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::answer::{error_code, has_error, normalised};
use super::discovery::Discovery;
use crate::config::fuzzing::provider;
use crate::config::provider::DiscoveryUrl;
use crate::fetch::ProviderHttp;
use crate::fuzzing::promises::assert_shown;
use crate::loopback::is_loopback_url;

const KINDS: [&str; 4] =
    ["application/json", "application/x-www-form-urlencoded; charset=utf-8", "text/plain", "text/html"];

const STATUSES: [StatusCode; 4] =
    [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::BAD_GATEWAY];

/// The discovery of a made-up provider.
static DISCOVERY: LazyLock<(Discovery, DiscoveryUrl)> = LazyLock::new(|| {
    let text = "auth.provider = 'acme'\n[auth.providers.acme]\nclient_id = 'us'\ndiscovery = 'https://id.example'";
    let provider = Arc::new(provider(text));
    let url = provider.discovery().expect("it has a document");
    (Discovery::new(provider, ProviderHttp::new(true).expect("it needs nothing"), true, None).0, url)
});

/// A byte for status and content type, and the body of a token endpoint's answer.
pub(crate) fn provider_answer(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let kind = KINDS[usize::from(*choice) % 4];
    let status = STATUSES[usize::from(*choice / 4) % 4];
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let Ok(answer) = normalised(status, &headers, body) else { return };
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let members: Map<String, Value> = serde_json::from_slice(answer.body()).expect("it is an object");
    let is_error = members.contains_key("error");
    assert!(answer.status().is_success() || is_error || !status.is_success());
    assert!(!(answer.status().is_success() && is_error), "a success with an error in it");
    assert_eq!(is_error, has_error(answer.headers(), answer.body()));
    assert_eq!(is_error, has_error(&headers, body));
    assert!(members.get("error").is_none_or(|error| error.as_str().is_some_and(|error| !error.is_empty())));
    assert_eq!(error_code(answer.headers(), answer.body()).as_deref(), members.get("error").and_then(Value::as_str));
    assert!(members.get("expires_in").is_none_or(Value::is_u64));
    assert!(members.values().all(|value| !value.is_null() && value != ""));
    assert!(!members.contains_key("access_token") || members.contains_key("token_type"));
    let again = normalised(answer.status(), answer.headers(), answer.body()).expect("it is one already");
    assert_eq!(again.status(), answer.status());
    let same: Map<String, Value> = serde_json::from_slice(again.body()).expect("it is an object");
    assert_eq!(same, members, "put right twice");
}

/// A discovery document.
pub(crate) fn discovery_document(bytes: &[u8]) {
    let (discovery, url) = &*DISCOVERY;
    let known = match discovery.read(url, bytes) {
        Ok(known) => known,
        Err(error) => return assert_shown(&error.to_string(), 4096 + 8 * bytes.len()),
    };
    assert_eq!(known.issuer.trim_end_matches('/'), "https://id.example");
    let optional = [&known.userinfo_endpoint, &known.introspection_endpoint, &known.revocation_endpoint];
    let endpoints = [&known.authorization_endpoint, &known.token_endpoint];
    for endpoint in endpoints.into_iter().chain(optional.into_iter().flatten()) {
        let is_private = endpoint.scheme() == "http" && is_loopback_url(endpoint);
        assert!(endpoint.scheme() == "https" || is_private, "{endpoint}");
    }
    known.slips.iter().for_each(|slip| assert_shown(slip, 4096 + 8 * bytes.len()));
}
