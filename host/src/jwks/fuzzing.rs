//! Key sets and tokens, as they come from elsewhere.

use jsonwebtoken::AlgorithmFamily;
use serde_json::{Map, Value};

use super::keys::Keys;
use super::token::Unverified;
use super::{Audience, Issuer, Rules};
use crate::algorithms::ALGORITHMS;

/// A line with a token, and a key set.
pub(crate) fn key_set(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let rules = Rules {
        algorithms: ALGORITHMS.to_vec(),
        issuer: Issuer::Is("https://id.example".to_owned()),
        audience: Audience::OneOf(vec!["us".to_owned()]),
        types: &["JWT"],
        leeway: std::time::Duration::from_secs(60),
        max_bytes: 8 << 10,
    };
    let keys = bytes.get(end + 1..).and_then(Keys::read);
    let Ok(token) = std::str::from_utf8(&bytes[..end]) else { return };
    let Ok(unverified) = Unverified::read(token, &rules) else { return };
    assert!(token.len() <= 8 << 10 && rules.algorithms.contains(&unverified.algorithm));
    assert!(unverified.algorithm.family() != AlgorithmFamily::Hmac);
    let Some(keys) = keys else { return };
    assert!(keys.candidates(&unverified).count() <= 64);
    // The private halves of the corpus's keys are nowhere, so no token is theirs but those in it, which have expired.
    let claims = unverified.verify::<Map<String, Value>>(&keys, &rules, &super::REQUIRED);
    assert!(claims.is_err(), "{claims:?}");
}
