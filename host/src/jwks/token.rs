//! One token: its header, which is read before its key is known, and the checks once it is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Audience, Issuer, JwtError, Keys, Rules};

/// Size of a `kid`, which is nothing but a key of a map.
const MAX_KID_BYTES: usize = 256;

/// Header members that change what is signed, or bring a key or the place of one along (RFC 7515 §4.1, RFC 7797).
const REFUSED: [&str; 6] = ["crit", "jku", "jwk", "x5u", "x5c", "b64"];

/// A token whose header has been checked, and whose key is not known yet.
pub(super) struct Unverified<'a> {
    token: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

/// The claims that every rule looks at. Only `iss` is checked from here; `sub` must be a text, where it is.
#[derive(Deserialize)]
struct RegisteredClaims {
    iss: String,
    #[serde(rename = "sub", default)]
    _sub: Option<String>,
}

impl<'a> Unverified<'a> {
    /// Reads the header. The algorithm is not taken from it: it must be one that the rules allow, and in the end one
    /// that the key is for.
    ///
    /// # Errors
    /// [`JwtError`] for everything that no key could make right.
    pub(super) fn read(token: &'a str, rules: &Rules) -> Result<Self, JwtError> {
        if token.len() > rules.max_bytes {
            return Err(JwtError::TooLarge);
        }
        let header = header(token).ok_or(JwtError::Malformed)?;
        if let Some(name) = REFUSED.into_iter().find(|name| header.contains_key(*name)) {
            return Err(JwtError::Header(name));
        }
        require_type(&header, rules.types)?;
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse::<Algorithm>().ok());
        let algorithm = algorithm.filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac);
        let algorithm = algorithm.filter(|algorithm| rules.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(JwtError::Algorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.clone()),
            Some(_) => return Err(JwtError::Header("kid")),
        };
        Ok(Self { token, algorithm, kid })
    }

    /// Checks signature and claims with the keys that may have signed it.
    ///
    /// # Errors
    /// [`JwtError`]; of several keys, the error of the last one with a fitting signature.
    pub(super) fn verify<T: DeserializeOwned>(
        &self,
        keys: &Keys,
        rules: &Rules,
        required: &[&str],
    ) -> Result<T, JwtError> {
        let mut outcome = Err(JwtError::UnknownKey);
        for key in keys.candidates(self) {
            outcome = self.verify_with(key, rules, required);
            if !matches!(outcome, Err(JwtError::Signature)) {
                break;
            }
        }
        outcome
    }

    fn verify_with<T: DeserializeOwned>(
        &self,
        key: &DecodingKey,
        rules: &Rules,
        required: &[&str],
    ) -> Result<T, JwtError> {
        let mut validation = Validation::new(self.algorithm);
        validation.set_required_spec_claims(required);
        validation.validate_nbf = true;
        validation.leeway = rules.leeway.as_secs();
        match &rules.audience {
            Audience::OneOf(accepted) => {
                validation.set_audience(accepted);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            Audience::Unchecked => validation.validate_aud = false,
        }
        let claims = jsonwebtoken::decode::<Box<RawValue>>(self.token, key, &validation).map_err(JwtError::of)?.claims;
        let registered: RegisteredClaims = from_claims(&claims)?;
        let issued_by = match &rules.issuer {
            Issuer::Is(issuer) => registered.iss == *issuer,
            Issuer::Where(accepted) => accepted(&registered.iss),
        };
        if !issued_by {
            return Err(JwtError::Issuer(registered.iss));
        }
        from_claims(&claims)
    }
}

impl JwtError {
    fn of(error: Error) -> Self {
        match error.into_kind() {
            ErrorKind::InvalidSignature | ErrorKind::InvalidRsaKey(_) | ErrorKind::InvalidKeyFormat => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => Self::Claims(claim),
            _ => Self::Malformed,
        }
    }
}

fn from_claims<T: DeserializeOwned>(claims: &RawValue) -> Result<T, JwtError> {
    serde_json::from_str(claims.get()).map_err(|error| JwtError::Claims(error.to_string()))
}

fn header(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (header, _, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// `typ` tells kinds of tokens apart (RFC 8725 §3.11). Where it is missing, the other checks have to do.
fn require_type(header: &Map<String, Value>, accepted: &[&str]) -> Result<(), JwtError> {
    let Some(found) = header.get("typ") else { return Ok(()) };
    let found = found.as_str().ok_or(JwtError::Header("typ"))?;
    let short =
        found.get(..12).filter(|prefix| prefix.eq_ignore_ascii_case("application/")).map_or(found, |_| &found[12..]);
    let fits = accepted.is_empty() || accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(short));
    if fits { Ok(()) } else { Err(JwtError::Header("typ")) }
}
