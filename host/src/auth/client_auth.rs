//! How a client shows at `/token` and `/revoke` who it is (RFC 6749 §2.3, RFC 7523 §2.2).

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::clients::document::DocumentError;
use super::clients::id::Method;
use super::clients::{Client, Shown, UnknownClient};
use super::errors::OAuthError;
use super::form::Parameters;
use super::server::AuthorizationServer;
use crate::store::{Committed, Key, Table, Write};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client that sent a request.
///
/// # Errors
/// `invalid_client` for an unknown client, a wrong secret, and any other way to authenticate than the registered one.
pub(super) async fn authenticate(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<Client, OAuthError> {
    let basic = basic(headers)?;
    let refused = OAuthError::InvalidClient { used_basic: basic.is_some() };
    let assertion = form.one("client_assertion")?;
    let secret = form.one("client_secret")?;
    let id_in_form = form.one("client_id")?;
    let (id, shown) = match (&basic, secret, assertion) {
        (Some((id, secret)), None, None) => (id.as_str(), basic_shown(secret)),
        (None, Some(secret), None) => {
            (id_in_form.ok_or(refused.clone())?, Shown::Secret { method: Method::Post, secret })
        }
        (None, None, Some(assertion)) => {
            if form.one("client_assertion_type")? != Some(JWT_BEARER) {
                return Err(refused);
            }
            let claimed = id_in_form.map(str::to_owned).or_else(|| claimed_issuer(assertion));
            let id = claimed.ok_or(refused.clone())?;
            return asserted(server, &id, assertion).await;
        }
        (None, None, None) => (id_in_form.ok_or(refused.clone())?, Shown::Nothing),
        // More than one method (RFC 6749 §2.3).
        _ => return Err(refused),
    };
    if id_in_form.is_some_and(|other| other != id) {
        return Err(refused);
    }
    let client = find(server, id, &refused).await?;
    if !server.clients.has_proved(&client, &shown) {
        return Err(refused);
    }
    Ok(client)
}

async fn find(server: &AuthorizationServer, id: &str, refused: &OAuthError) -> Result<Client, OAuthError> {
    server.clients.find(id).await.map_err(|unknown| match unknown {
        UnknownClient::Document(error) if error.is_temporary() => OAuthError::unavailable(),
        UnknownClient::Document(_) | UnknownClient::NotRegistered | UnknownClient::OwnIdAtProvider => refused.clone(),
    })
}

/// A client with keys of its own: the assertion must be its, for us, and new.
async fn asserted(server: &AuthorizationServer, id: &str, assertion: &str) -> Result<Client, OAuthError> {
    let refused = OAuthError::InvalidClient { used_basic: false };
    let client = find(server, id, &refused).await?;
    if !client.may_assert() {
        return Err(refused);
    }
    let base = server.base_url().as_str();
    let audiences = [base.to_owned(), format!("{base}/token")];
    let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
    let verified = server.clients.documents().verify_assertion(id, assertion, &audiences).await;
    let verified = verified.map_err(|error: DocumentError| {
        tracing::info!(%error, "a client's assertion is not taken");
        if error.is_temporary() { OAuthError::unavailable() } else { refused.clone() }
    })?;
    let key = Key::of(format!("assertion\0{id}\0{}", verified.jti).as_bytes());
    let expires = verified.expires.max(SystemTime::now());
    let once = Write::Insert { table: Table::Once, key, value: Vec::new(), expires };
    match server.store.commit(vec![once]).await? {
        Committed::Done => Ok(client),
        Committed::Conflict => Err(refused),
    }
}

/// The `iss` of an assertion that nobody has verified yet: which client's keys to verify it with.
fn claimed_issuer(assertion: &str) -> Option<String> {
    let payload = assertion.split('.').nth(1)?;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

fn basic_shown(secret: &str) -> Shown<'_> {
    Shown::Secret { method: Method::Basic, secret }
}

/// Id and secret of a `Basic` header, each URL-encoded within (RFC 6749 §2.3.1). Other schemes mean nothing here.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = OAuthError::InvalidClient { used_basic: true };
    if values.next().is_some() {
        return Err(refused);
    }
    let Some((scheme, encoded)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = BASE64.decode(encoded.trim()).ok().and_then(|decoded| String::from_utf8(decoded).ok());
    let pair = decoded.as_deref().and_then(|decoded| decoded.split_once(':'));
    let (id, secret) = pair.ok_or(refused)?;
    Ok(Some((decode(id), decode(secret))))
}

fn decode(encoded: &str) -> String {
    let pair = format!("v={encoded}");
    // An unencoded `&` ends a value, and has no place in one.
    let value = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned());
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_basic_header_is_decoded_twice() {
        let encoded = BASE64.encode("a%3Ab:c%20d+e");
        let pair = Some(("a:b".to_owned(), "c d e".to_owned()));
        assert_eq!(basic(&header(&format!("Basic {encoded}"))), Ok(pair.clone()));
        assert_eq!(basic(&header(&format!("bAsIc {encoded}"))), Ok(pair));
        assert_eq!(basic(&header("Bearer x")), Ok(None));
        assert_eq!(basic(&HeaderMap::new()), Ok(None));
        assert!(basic(&header("Basic !!!")).is_err());
        assert!(basic(&header(&format!("Basic {}", BASE64.encode("nocolon")))).is_err());
    }
}
