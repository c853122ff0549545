//! What programs read of this server before they connect: the server card (SEP-2127, a draft) and the entry of a registry
//! (`server.json`, schema 2025-12-11). Neither names a tool, and nothing in them is more than a claim.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use url::{Host, Url};

use super::{App, reply};
use crate::mcp;

const CARD_SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json";
const CARD_TYPE: &str = "application/mcp-server-card+json";
const REGISTRY_SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";

/// The longest title or description, in both schemas. A longer one is left out here.
const TEXT_CHARS_MAX: usize = 100;

const DESCRIPTION: &str = "An MCP server whose tools are WebAssembly plugins";

/// `GET /mcp/server-card`
pub(super) async fn server_card(State(app): State<Arc<App>>, method: Method, headers: HeaderMap) -> Response {
    let mut card = described(CARD_SCHEMA, &app);
    card["remotes"][0]["supportedProtocolVersions"] = json!(mcp::versions());
    public(CARD_TYPE, &card, &method, &headers)
}

/// `GET /server.json`
pub(super) async fn server_json(State(app): State<Arc<App>>, method: Method, headers: HeaderMap) -> Response {
    public("application/json", &described(REGISTRY_SCHEMA, &app), &method, &headers)
}

fn described(schema: &str, app: &App) -> Value {
    let (base_url, config) = (&app.server.base_url, app.config.borrow());
    let short = |text: &Option<String>| text.clone().filter(|text| text.chars().count() <= TEXT_CHARS_MAX);
    let website = config.server.website.as_ref().map(|website| website.as_str());
    json!({
        "$schema": schema,
        "name": format!("{}/tinymcp", reversed(base_url)),
        "title": short(&config.server.title).unwrap_or_else(|| "TinyMCP".to_owned()),
        "description": short(&config.server.description).unwrap_or_else(|| DESCRIPTION.to_owned()),
        "version": env!("CARGO_PKG_VERSION"),
        "websiteUrl": website.unwrap_or(base_url.as_str()),
        "remotes": [{ "type": "streamable-http", "url": base_url.endpoint() }],
    })
}

/// The host in reverse order, as names of registries begin: `com.example.mcp`. An address has no order to reverse.
fn reversed(url: &Url) -> String {
    match url.host() {
        Some(Host::Domain(domain)) => {
            let mut labels: Vec<&str> = domain.split('.').filter(|label| !label.is_empty()).collect();
            labels.reverse();
            labels.join(".")
        }
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string().replace(':', "-"),
        None => "localhost".to_owned(),
    }
}

/// An answer that every page may read and anybody may keep for an hour.
fn public(media_type: &'static str, body: &Value, method: &Method, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", &blake3::hash(body.to_string().as_bytes()).to_hex()[..16]);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let is_known = known.flat_map(|tags| tags.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let mut response = match (method, is_known) {
        (&Method::OPTIONS, _) => empty(StatusCode::NO_CONTENT),
        (_, true) => empty(StatusCode::NOT_MODIFIED),
        (_, false) => reply::json(StatusCode::OK, body),
    };
    let headers = response.headers_mut();
    if headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (ETAG, tag)));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_with_the_host_in_reverse() {
        for (url, expected) in [
            ("https://mcp.example.com", "com.example.mcp"),
            ("http://localhost:8000", "localhost"),
            ("http://127.0.0.1:8000", "127.0.0.1"),
            ("http://[::1]:8000", "--1"),
        ] {
            assert_eq!(reversed(&url.parse().unwrap()), expected);
        }
    }

    #[test]
    fn who_has_the_card_already_is_not_sent_it_again() {
        let body = json!({ "a": 1 });
        let first = public(CARD_TYPE, &body, &Method::GET, &HeaderMap::new());
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(first.headers()[CONTENT_TYPE], CARD_TYPE);
        assert_eq!(public(CARD_TYPE, &body, &Method::GET, &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(public(CARD_TYPE, &json!({ "a": 2 }), &Method::GET, &headers).status(), StatusCode::OK);
    }
}
