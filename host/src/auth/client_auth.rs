//! Client authentication at `/token` and `/revoke` (RFC 6749 §2.3, RFC 7523 §2.2).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::clients::document::DocumentError;
use super::clients::{Client, Credentials, UnknownClient};
use super::errors::OAuthError;
use super::parameters::Parameters;
use super::sender::Sender;
use super::server::AuthorizationServer;
use crate::clock;
use crate::store::{Committed, Key, Table, Write};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client that sent a request.
///
/// # Errors
/// `invalid_client` for an unknown client, a wrong secret, and any other way to authenticate than the registered one.
pub(super) async fn authenticate(
    server: &AuthorizationServer,
    sender: &Sender,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<Client, OAuthError> {
    let client = proved(server, sender.address, headers, form).await?;
    sender.is(&client);
    Ok(client)
}

async fn proved(
    server: &AuthorizationServer,
    asker: IpAddr,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<Client, OAuthError> {
    let basic = basic(headers)?;
    let mut refused = OAuthError::InvalidClient { used_basic: !basic.is_empty() };
    let id_in_form = form.one("client_id")?;
    let in_form = match (form.one("client_secret")?, form.one("client_assertion")?) {
        (None, None) => Credentials::Nothing,
        (Some(secret), None) => Credentials::Secret(secret),
        (None, Some(assertion)) if form.one("client_assertion_type")? == Some(JWT_BEARER) => {
            Credentials::Assertion(assertion)
        }
        // More than one method (RFC 6749 §2.3), or an unknown one.
        (_, Some(_)) => return Err(refused),
    };
    if basic.is_empty() {
        let id = match (id_in_form, &in_form) {
            (None, Credentials::Assertion(assertion)) => claimed_issuer(assertion),
            (id, _) => id.map(str::to_owned),
        };
        return prove(server, asker, &id.ok_or(refused.clone())?, &in_form, &refused).await;
    }
    for Basic { id, secret } in &basic {
        let shown = match (secret.as_str(), &in_form) {
            // Without a secret the header only names the client.
            ("", in_form) => in_form.clone(),
            (secret, Credentials::Nothing) => Credentials::Secret(secret),
            (_, Credentials::Secret { .. } | Credentials::Assertion(_)) => return Err(refused),
        };
        if id_in_form.is_some_and(|other| other != id) {
            continue;
        }
        match prove(server, asker, id, &shown, &refused).await {
            Err(OAuthError::InvalidClient { .. }) => {}
            Err(error) => refused = error,
            Ok(client) => return Ok(client),
        }
    }
    Err(refused)
}

/// The client with this id, if the credentials prove it.
async fn prove(
    server: &AuthorizationServer,
    asker: IpAddr,
    id: &str,
    shown: &Credentials<'_>,
    refused: &OAuthError,
) -> Result<Client, OAuthError> {
    if let Credentials::Assertion(assertion) = shown {
        return asserted(server, asker, id, assertion, refused).await;
    }
    let client = find(server, asker, id, refused).await?;
    if server.clients.has_proved(&client, shown) { Ok(client) } else { Err(refused.clone()) }
}

async fn find(
    server: &AuthorizationServer,
    asker: IpAddr,
    id: &str,
    refused: &OAuthError,
) -> Result<Client, OAuthError> {
    server.clients.find(id, asker).await.map_err(|unknown| match unknown {
        UnknownClient::Document(error) if error.is_temporary() => OAuthError::unavailable(),
        UnknownClient::Document(_)
        | UnknownClient::Url(_)
        | UnknownClient::NotRegistered
        | UnknownClient::OwnIdAtProvider => refused.clone(),
    })
}

/// Authenticates a client with keys of its own: the assertion must be the client's, for this server, and new.
async fn asserted(
    server: &AuthorizationServer,
    asker: IpAddr,
    id: &str,
    assertion: &str,
    refused: &OAuthError,
) -> Result<Client, OAuthError> {
    let client = find(server, asker, id, refused).await?;
    let base = server.base_url().as_str();
    let verified = if client.is_declared_with_keys() {
        server.clients.declared().verify_assertion(id, assertion, base).await
    } else if client.is_document() {
        let endpoint = format!("{base}/token");
        server.clients.documents().verify_assertion(id, assertion, &[base, endpoint.as_str()], asker).await
    } else {
        return Err(refused.clone());
    };
    let verified = verified.map_err(|error: DocumentError| {
        tracing::info!(%error, "a client's assertion is not taken");
        if error.is_temporary() { OAuthError::unavailable() } else { refused.clone() }
    })?;
    let key = Key::of(format!("assertion\0{id}\0{}", verified.jti).as_bytes());
    let expires = verified.expires.max(clock::now());
    let once = Write::Insert { table: Table::Once, key, value: Vec::new(), expires };
    match server.store.commit(vec![once]).await? {
        Committed::Done => Ok(client),
        Committed::Conflict => Err(refused.clone()),
    }
}

/// The assertion by which a client authenticates (RFC 7523 §2.2), if there is one.
pub(super) fn client_assertion(form: &Parameters) -> Result<Option<&str>, OAuthError> {
    let is_jwt = form.one("client_assertion_type")? == Some(JWT_BEARER);
    Ok(form.one("client_assertion")?.filter(|_| is_jwt))
}

/// The client's id as a request gives it, in a header, in the form or in an assertion: anybody can write any.
pub(super) fn claimed_id(headers: &HeaderMap, form: &Parameters) -> Option<String> {
    let value = |name| form.one(name).ok().flatten();
    let in_header = basic(headers).unwrap_or_default().into_iter().next().map(|basic| basic.id);
    let in_form = || value("client_id").map(str::to_owned);
    let asserted = || value("client_assertion").or_else(|| value("assertion")).and_then(claimed_issuer);
    in_header.or_else(in_form).or_else(asserted)
}

/// The `iss` of an assertion that nobody has verified yet. It names the client or the issuer whose keys verify it.
pub(super) fn claimed_issuer(assertion: &str) -> Option<String> {
    let payload = assertion.split('.').nth(1)?;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

/// Id and secret of a `Basic` header in one way to read them.
#[derive(Debug, PartialEq, Eq)]
struct Basic {
    id: String,
    secret: String,
}

/// The ways to read a `Basic` header; none if there is no such header. Other schemes mean nothing here.
///
/// RFC 6749 §2.3.1 wants id and secret URL-encoded within, and many clients do not know it: as long as nothing is to be
/// decoded, nobody notices. Both are read in the same way, since no client does one half.
fn basic(headers: &HeaderMap) -> Result<Vec<Basic>, OAuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Vec::new()) };
    let refused = OAuthError::InvalidClient { used_basic: true };
    if values.next().is_some() {
        return Err(refused);
    }
    let header = value.to_str().ok().and_then(|value| value.split_once(' '));
    let Some((_, encoded)) = header.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")) else {
        return Ok(Vec::new());
    };
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|decoded| String::from_utf8(decoded).ok());
    let (id, secret) = decoded.as_deref().and_then(|decoded| decoded.split_once(':')).ok_or(refused)?;
    let as_is = Basic { id: id.to_owned(), secret: secret.to_owned() };
    let url_decoded = url_decode(id).zip(url_decode(secret)).map(|(id, secret)| Basic { id, secret });
    let mut readings: Vec<Basic> = url_decoded.into_iter().chain([as_is]).collect();
    readings.dedup();
    Ok(readings)
}

/// A text without its URL encoding (`application/x-www-form-urlencoded`), if what is left is a text.
fn url_decode(encoded: &str) -> Option<String> {
    // An `&` that is not encoded is none of the encoding's.
    let pair = format!("v={}", encoded.replace('&', "%26"));
    let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    (!value.contains(char::REPLACEMENT_CHARACTER)).then(|| value.into_owned())
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
    fn a_basic_header_is_read_as_encoded_and_as_it_is() {
        let read = |pair: &str| {
            let readings = basic(&header(&format!("Basic {}", STANDARD.encode(pair)))).unwrap();
            readings.into_iter().map(|Basic { id, secret }| (id, secret)).collect::<Vec<_>>()
        };
        let pair = |id: &str, secret: &str| (id.to_owned(), secret.to_owned());
        assert_eq!(read("a:b"), [pair("a", "b")]);
        assert_eq!(read("a%3Ab:c%20d+e"), [pair("a:b", "c d e"), pair("a%3Ab", "c%20d+e")]);
        assert_eq!(read("a:c+d/e=&f"), [pair("a", "c d/e=&f"), pair("a", "c+d/e=&f")]);
        assert_eq!(read("a:100%:x"), [pair("a", "100%:x")]);
        assert_eq!(read("a:%ff"), [pair("a", "%ff")], "bytes that are no text");
        assert_eq!(read("a:"), [pair("a", "")]);
        assert_eq!(read(":b"), [pair("", "b")]);
        let encoded = STANDARD.encode("a:b");
        assert_eq!(basic(&header(&format!("bAsIc {encoded}"))).unwrap().len(), 1);
        assert_eq!(basic(&header("Bearer x")), Ok(Vec::new()));
        assert_eq!(basic(&HeaderMap::new()), Ok(Vec::new()));
        assert!(basic(&header("Basic !!!")).is_err());
        assert!(basic(&header(&format!("Basic {}", STANDARD.encode("nocolon")))).is_err());
    }
}
