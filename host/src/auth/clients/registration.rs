//! `POST /register`: dynamic client registration (RFC 7591), lenient in what does not matter.
//!
//! Clients register often, and differently from version to version. Members of a registration beyond redirect
//! URIs, name and authentication method are read, answered and otherwise ignored.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Clients;
use super::id::{self, ClientAuthMethod, Registration};
use crate::auth::errors::{self, OAuthError};
use crate::auth::pages::clean_name;

/// Largest registration that is read.
pub(in crate::auth) const BODY_BYTES_MAX: usize = 16 * 1024;

/// Most redirect URIs of one client; real ones have four.
const URIS_MAX: usize = 10;

/// Longest name that is kept; it is shown to people.
const NAME_CHARS_MAX: usize = 100;

/// Longest `scope` that is kept in an id.
const SCOPE_BYTES_MAX: usize = 512;

const GRANTS: [&str; 2] = ["authorization_code", "refresh_token"];

/// Registers a client.
///
/// # Errors
/// `invalid_redirect_uri` when no redirect URI can be accepted; `invalid_client_metadata` for anything else.
pub(in crate::auth) fn register(clients: &Clients, body: &[u8], now_s: u64) -> Result<Response, OAuthError> {
    let invalid = |what: &str| OAuthError::InvalidClientMetadata(what.to_owned());
    let metadata: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| invalid("the body is not a JSON object"))?;
    let redirect_uris = redirect_uris(clients, &metadata)?;
    let method = method(&metadata)?;
    let grants = grants(&metadata)?;
    require_code_response(&metadata)?;
    let name = text(&metadata, "client_name").map(clean_name).filter(|name| !name.is_empty());
    let name = name.map(|name| name.chars().take(NAME_CHARS_MAX).collect::<String>());
    let scope = text(&metadata, "scope").filter(|scope| scope.len() <= SCOPE_BYTES_MAX).map(str::to_owned);
    let nonce = (method != ClientAuthMethod::None).then(|| format!("{:016x}", rand::random::<u64>()));
    let registration =
        Registration { redirect_uris: redirect_uris.clone(), name: name.clone(), method, scope: scope.clone(), nonce };
    let client_id = registration.normal().seal(&clients.vault);
    if client_id.len() > id::ID_BYTES_MAX {
        return Err(invalid("the registration is too long: register fewer or shorter redirect URIs"));
    }
    let mut answer = json!({
        "client_id": client_id,
        "client_id_issued_at": now_s,
        "redirect_uris": redirect_uris,
        "grant_types": grants,
        "response_types": ["code"],
        "token_endpoint_auth_method": method.name(),
    });
    if let Some(name) = name {
        answer["client_name"] = name.into();
    }
    if let Some(scope) = scope {
        answer["scope"] = scope.into();
    }
    if method != ClientAuthMethod::None {
        answer["client_secret"] = id::secret_of(&clients.vault, &client_id).into();
        answer["client_secret_expires_at"] = 0.into();
    }
    Ok(errors::json(StatusCode::CREATED, &answer))
}

/// The redirect URIs that can be accepted: one bad URI among good ones is dropped, as clients register lists for all
/// their editions.
fn redirect_uris(clients: &Clients, metadata: &Map<String, Value>) -> Result<Vec<String>, OAuthError> {
    let invalid = |what: String| OAuthError::InvalidRedirectUri(what);
    let listed = metadata.get("redirect_uris").and_then(Value::as_array);
    let listed = listed
        .filter(|uris| !uris.is_empty())
        .ok_or_else(|| invalid("register at least one redirect URI".to_owned()))?;
    if listed.len() > URIS_MAX {
        return Err(invalid(format!("at most {URIS_MAX} redirect URIs can be registered")));
    }
    let mut accepted: Vec<String> = Vec::new();
    let mut reason = "it is not a string".to_owned();
    for uri in listed.iter().filter_map(Value::as_str) {
        match clients.accept(uri) {
            Ok(_) if accepted.iter().any(|known| known == uri) => {}
            Ok(_) => accepted.push(uri.to_owned()),
            Err(unacceptable) => reason = unacceptable.to_string(),
        }
    }
    if accepted.is_empty() {
        return Err(invalid(format!("no redirect URI can be accepted: {reason}")));
    }
    Ok(accepted)
}

fn method(metadata: &Map<String, Value>) -> Result<ClientAuthMethod, OAuthError> {
    let Some(name) = metadata.get("token_endpoint_auth_method").filter(|name| !name.is_null()) else {
        return Ok(ClientAuthMethod::None);
    };
    let method = name.as_str().and_then(ClientAuthMethod::parse);
    method.ok_or_else(|| {
        OAuthError::InvalidClientMetadata(
            "token_endpoint_auth_method must be none, client_secret_post or client_secret_basic".to_owned(),
        )
    })
}

/// The grant types of a client. A refresh token goes to every client, asked for or not.
fn grants(metadata: &Map<String, Value>) -> Result<Vec<&'static str>, OAuthError> {
    let Some(asked) = metadata.get("grant_types").and_then(Value::as_array).filter(|asked| !asked.is_empty()) else {
        return Ok(GRANTS.to_vec());
    };
    if !asked.iter().any(|grant| grant == "authorization_code") {
        return Err(OAuthError::InvalidClientMetadata("grant_types must contain authorization_code".to_owned()));
    }
    Ok(GRANTS.to_vec())
}

fn require_code_response(metadata: &Map<String, Value>) -> Result<(), OAuthError> {
    let asked = metadata.get("response_types").and_then(Value::as_array).filter(|asked| !asked.is_empty());
    if asked.is_some_and(|asked| !asked.iter().any(|kind| kind == "code")) {
        return Err(OAuthError::InvalidClientMetadata("response_types must contain code".to_owned()));
    }
    Ok(())
}

fn text<'m>(metadata: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
