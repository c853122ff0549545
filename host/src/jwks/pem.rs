//! A public key in PEM as a JWK: operators have such files at hand, and a set has all rules about keys.
//!
//! It reads `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) of the kinds of keys that are taken here, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Tags of DER (X.690 §8).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// Contents of the object ids, as DER has them: rsaEncryption, id-ecPublicKey, the two curves, id-Ed25519.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The key as a JWK (RFC 7517), or none if it is not of these kinds.
pub(super) fn jwk(pem: &str) -> Option<Value> {
    let (_, rest) = pem.split_once(BEGIN)?;
    let (encoded, _) = rest.split_once(END)?;
    let encoded: String = encoded.split_whitespace().collect();
    let der = STANDARD.decode(encoded).ok()?;
    let (info, []) = element(&der, SEQUENCE)? else { return None };
    let (algorithm, rest) = element(info, SEQUENCE)?;
    let (key, []) = element(rest, BIT_STRING)? else { return None };
    // The first byte counts the bits that do not belong to it.
    let key = key.strip_prefix(&[0])?;
    let (kind, parameters) = element(algorithm, OBJECT_ID)?;
    if kind == RSA {
        let (numbers, []) = element(key, SEQUENCE)? else { return None };
        let (modulus, rest) = element(numbers, INTEGER)?;
        let (exponent, []) = element(rest, INTEGER)? else { return None };
        return Some(json!({ "kty": "RSA", "n": number(modulus), "e": number(exponent) }));
    }
    if kind == EC {
        let (curve, []) = element(parameters, OBJECT_ID)? else { return None };
        let curve = if curve == P256 { "P-256" } else { Some("P-384").filter(|_| curve == P384)? };
        // Uncompressed.
        let point = key.strip_prefix(&[4])?;
        let (x, y) = point.split_at_checked(point.len() / 2)?;
        return Some(
            json!({ "kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) }),
        );
    }
    (kind == ED25519).then(|| json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key) }))
}

/// A number without the zero in front that keeps it positive.
fn number(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes.strip_prefix(&[0]).unwrap_or(bytes))
}

/// The content of the first element, which has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0x00..=0x7f => (usize::from(*length), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwks::Keys;

    /// Of RFC 8410 §10.1, and one that many examples have.
    const ED: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const EC_256: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_in_pem_are_read_as_what_they_are() {
        let ed = jwk(ED).unwrap();
        assert_eq!((&ed["kty"], &ed["crv"]), (&json!("OKP"), &json!("Ed25519")));
        let ec = jwk(EC_256).unwrap();
        assert_eq!((&ec["crv"], &ec["x"]), (&json!("P-256"), &json!("EVs_o5-uQbTjL3chynL4wXgUg2R9q9UU8I5mEovUf84")));
        assert!(Keys::of_pem(ED).is_some() && Keys::of_pem(&format!("comment\n{EC_256}")).is_some());
    }

    #[test]
    fn anything_else_is_no_key() {
        let body = EC_256.lines().nth(1).unwrap();
        for pem in [
            String::new(),
            BEGIN.to_owned(),
            format!("{BEGIN}{END}"),
            format!("{BEGIN}\n!{END}"),
            format!("{BEGIN}\n{body}\n{END}"),
            EC_256.replace("PUBLIC KEY", "PRIVATE KEY"),
            // An algorithm that is not taken: X25519.
            ED.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu"),
        ] {
            assert!(Keys::of_pem(&pem).is_none(), "{pem}");
        }
        // Cut anywhere, and with any byte of its head changed, it is no key or another one, and nothing breaks.
        let der = STANDARD.decode(ED.lines().nth(1).unwrap()).unwrap();
        for at in 0..der.len() {
            let cut = format!("{BEGIN}{}{END}", STANDARD.encode(&der[..at]));
            assert!(jwk(&cut).is_none(), "{at}");
            let mut changed = der.clone();
            changed[at] ^= 0x80;
            let _ = jwk(&format!("{BEGIN}{}{END}", STANDARD.encode(&changed)));
        }
    }
}
