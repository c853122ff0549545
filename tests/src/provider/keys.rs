//! Signing keys: the files of `fixtures/keys`, which protect nothing.

use std::fs;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::settings::{Settings, Signature};
use crate::encoding::base64url;
use crate::guests::tests_dir;

/// A key that is published nowhere.
const FOREIGN: &str = "foreign";

fn key(name: &str) -> EncodingKey {
    let path = tests_dir().join(format!("fixtures/keys/{name}.pem"));
    let pem = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    EncodingKey::from_rsa_pem(&pem).expect("it is an RSA key")
}

/// The key set with all public keys (RFC 7517).
pub(super) fn set(settings: &Settings) -> Value {
    let keys = settings.keys.iter().map(|name| {
        let jwk = Jwk::from_encoding_key(&key(name), Algorithm::RS256).expect("an RSA key has a public half");
        let mut jwk = serde_json::to_value(jwk).expect("a key is JSON");
        jwk["kid"] = json!(name);
        jwk["use"] = json!("sig");
        jwk
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

/// Signs claims with the first published key.
pub(super) fn sign(settings: &Settings, claims: &Value) -> String {
    sign_as(settings, Signature::Right, claims)
}

/// Signs claims in one of the ways, right or wrong.
pub(super) fn sign_as(settings: &Settings, signature: Signature, claims: &Value) -> String {
    let name = settings.keys.first().expect("a provider has a key");
    let header = |algorithm| Header { kid: Some((*name).to_owned()), ..Header::new(algorithm) };
    let signed = match signature {
        Signature::Right => encode(&header(Algorithm::RS256), claims, &key(name)),
        Signature::Foreign => encode(&header(Algorithm::RS256), claims, &key(FOREIGN)),
        Signature::Symmetric => {
            let secret = EncodingKey::from_secret(settings.client_secret.as_bytes());
            encode(&header(Algorithm::HS256), claims, &secret)
        }
        Signature::None => {
            let header = json!({ "alg": "none", "typ": "JWT" }).to_string();
            return format!("{}.{}.", base64url(header.as_bytes()), base64url(claims.to_string().as_bytes()));
        }
    };
    signed.expect("claims are JSON")
}
