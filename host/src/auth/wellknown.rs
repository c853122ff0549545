//! Metadata that clients find by themselves: `/.well-known/oauth-protected-resource` (RFC 9728) and
//! `/.well-known/oauth-authorization-server` (RFC 8414), and the challenges that lead there (RFC 6750 §3).
//!
//! Members that have no value are left out: clients fail on `null` and on empty texts.

use std::collections::BTreeSet;

use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::errors::ascii;
use super::offers::{self, Offer};
use super::resource;
use super::server::AuthorizationServer;
use crate::algorithms::ALGORITHMS;
use crate::view::View;

/// The beginning of the path of a resource's metadata, before the path of the resource (RFC 9728 §3.1).
pub(crate) const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// The time for which a client may keep metadata; scopes and views may change.
const METADATA_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The ways of clients to authenticate at the token endpoint.
const CLIENT_AUTH_METHODS: [&str; 4] = ["none", "client_secret_post", "client_secret_basic", "private_key_jwt"];

/// The metadata of the MCP endpoint, or of a view; none if there is no such view.
pub(crate) fn protected_resource(
    server: &AuthorizationServer,
    host: Option<&HeaderValue>,
    view: &View,
) -> Option<Response> {
    let (base_url, people) = (server.base_url(), server.people());
    people.has_view(view).then(|| {
        metadata(&json!({
            "resource": format!("{}{view}", resource::base_for(base_url, host)),
            "authorization_servers": [base_url.as_str()],
            "scopes_supported": people.scopes_of(view),
            "bearer_methods_supported": ["header"],
            "resource_name": people.name_of(view),
        }))
    })
}

/// The metadata of the authorization server.
pub(crate) fn authorization_server(server: &AuthorizationServer) -> Response {
    let base = server.base_url().as_str();
    let mut scopes = server.people().all_scopes();
    scopes.insert("offline_access".to_owned());
    let config = server.config();
    let mut document = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "registration_endpoint": format!("{base}/register"),
        "revocation_endpoint": format!("{base}/revoke"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": offers::grant_types(&config),
        "token_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": true,
        "authorization_response_iss_parameter_supported": true,
    });
    if Offer::DeviceFlow.is_in(&config) {
        document["device_authorization_endpoint"] = format!("{base}/device_authorization").into();
    }
    metadata(&document)
}

fn metadata(document: &Value) -> Response {
    let mut response = Response::new(axum::body::Body::from(document.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, METADATA_AGE);
    response
}

/// The fault of a request for the MCP endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge<'a> {
    /// There is no bearer token. The challenge names no error then (RFC 6750 §3.1).
    NoToken,
    /// The bearer token is not taken, for this reason.
    InvalidToken(&'a str),
    /// The token lacks scopes that the person could have.
    InsufficientScope,
}

/// Adds the challenge that tells a client where to log in, and with which scopes. It is one header with one scheme,
/// spelled `Bearer`: some clients compare case.
pub(crate) fn challenge(
    server: &AuthorizationServer,
    (host, view): (Option<&HeaderValue>, &View),
    response: &mut Response,
    challenge: Challenge<'_>,
    scopes: &BTreeSet<String>,
) {
    let base = resource::base_for(server.base_url(), host);
    let mut value = format!("Bearer resource_metadata=\"{base}{RESOURCE_METADATA}{view}\"");
    if !scopes.is_empty() {
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        value.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
    }
    match challenge {
        Challenge::NoToken => {}
        Challenge::InvalidToken(why) => {
            value.push_str(&format!(
                ", error=\"invalid_token\", error_description=\"{}\"",
                ascii(why).replace(',', ";")
            ));
        }
        Challenge::InsufficientScope => {
            value.push_str(
                ", error=\"insufficient_scope\", error_description=\"the tool needs scopes that the token lacks\"",
            );
        }
    }
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    *response.status_mut() = match challenge {
        Challenge::NoToken | Challenge::InvalidToken(_) => StatusCode::UNAUTHORIZED,
        Challenge::InsufficientScope => StatusCode::FORBIDDEN,
    };
}
