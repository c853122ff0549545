//! The keys of a set (RFC 7517), as far as they can be used here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::pem;
use super::token::Unverified;

/// Size of a key set. Large ones, with certificate chains in them, are some 30 KiB.
const MAX_BYTES: usize = 64 * 1024;

/// Keys of a set that are kept. A token without `kid` may be tried with each of them.
const MAX_KEYS: usize = 64;

/// Bits of an RSA modulus: below, it can be factored; above, checking a signature is slow, and aws-lc refuses.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The algorithms that an RSA key can verify.
const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// The usable keys of one set.
#[derive(Debug)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// The algorithms that it may verify: by its type, and by its own `alg` if it has one.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

impl Keys {
    /// Reads a key set. Keys of other types or uses, weak ones, and ones whose private half is in the set are left
    /// out; `None` if nothing is left, or if this is no key set.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        if json.len() > MAX_BYTES {
            return None;
        }
        Self::of(&serde_json::from_slice(json).ok()?)
    }

    /// Reads a key set from JSON that has been parsed.
    pub(crate) fn of(set: &Value) -> Option<Self> {
        let keys = set.get("keys")?.as_array()?;
        let keys: Vec<Key> = keys.iter().filter_map(Key::of).take(MAX_KEYS).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Reads one public key in PEM (RFC 7468 §13), under the same rules.
    pub(crate) fn of_pem(pem: &str) -> Option<Self> {
        Self::of(&json!({ "keys": [pem::jwk(pem)?] }))
    }

    /// The keys that may have signed a token. Keys that share a `kid` are told apart by what they can verify.
    pub(super) fn candidates(&self, token: &Unverified<'_>) -> impl Iterator<Item = &DecodingKey> {
        let (kid, algorithm) = (token.kid.as_deref(), token.algorithm);
        let fits = move |key: &&Key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        self.0.iter().filter(fits).filter(move |key| key.algorithms.contains(&algorithm)).map(|key| &key.decoding)
    }
}

impl Key {
    fn of(key: &Value) -> Option<Self> {
        let key = RawKey::deserialize(key).ok()?;
        let signs = key.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = key.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"));
        if !signs || !verifies || key.d.is_some() {
            return None;
        }
        let (by_type, decoding) = key.material()?;
        let algorithms = match key.alg.as_deref() {
            None => by_type.to_vec(),
            // The same algorithm by its newer name (RFC 9864).
            Some("Ed25519") => vec![Algorithm::EdDSA],
            Some(name) => vec![name.parse().ok()?],
        };
        let suits = algorithms.iter().all(|algorithm| by_type.contains(algorithm));
        suits.then_some(Self { kid: key.kid, algorithms, decoding })
    }
}

impl RawKey {
    /// The algorithms that a key of this type can verify, and the key itself.
    fn material(&self) -> Option<(&'static [Algorithm], DecodingKey)> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
                let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                RSA_BITS.contains(&bits(&modulus)).then_some((RSA, key))
            }
            ("EC", Some("P-256")) => Some((&[Algorithm::ES256], self.point(32)?)),
            ("EC", Some("P-384")) => Some((&[Algorithm::ES384], self.point(48)?)),
            ("OKP", Some("Ed25519")) => {
                let key = bytes(self.x.as_ref()).filter(|key| key.len() == 32)?;
                Some((&[Algorithm::EdDSA], DecodingKey::from_ed_der(&key)))
            }
            _ => None,
        }
    }

    fn point(&self, length: usize) -> Option<DecodingKey> {
        let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
        let uncompressed = [&[4], x.as_slice(), &y].concat();
        (x.len() == length && y.len() == length).then(|| DecodingKey::from_ec_der(&uncompressed))
    }
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// Bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let digits = number.iter().skip_while(|byte| **byte == 0);
    let first = digits.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    (digits.count() * 8).saturating_sub(first)
}
