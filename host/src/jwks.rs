//! Tokens that others have signed: the provider's (OIDC Core 3.1.3.7) and clients' assertions (RFC 7523).
//!
//! No claim of a token makes it valid. Algorithms come from the configuration and from the key,
//! keys from a URL that is known beforehand; the token only names one of them.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod keys;
mod pem;
#[cfg(test)]
mod tests;
mod token;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256, Sha384, Sha512};
use url::Url;

use crate::fetch::{Fetch, FetchError};

pub(crate) use keys::Keys;
use token::Unverified;

/// The time for which a key set is used without another fetch, and for which a key that was taken out of it is trusted.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// The time for which a key set is used while it cannot be fetched again.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause between two fetches for the sake of an unknown `kid`: `kid`s can be made up.
const REFRESH_PAUSE: Duration = Duration::from_secs(30);

/// Pause after a fetch that failed. Short, as somebody is waiting to log in.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// The claims that a token has in any case, of those that every rule looks at.
const REQUIRED: [&str; 3] = ["exp", "iss", "sub"];

/// The rules by which a token is accepted.
pub(crate) struct Rules {
    /// The algorithms that were agreed on. Symmetric ones in it are ignored.
    pub(crate) algorithms: Vec<Algorithm>,
    /// The issuer that it must have.
    pub(crate) issuer: Issuer,
    /// The audience that it must have.
    pub(crate) audience: Audience,
    /// Values of the header's `typ` that are accepted, without `application/`; none means any. A token may lack it.
    pub(crate) types: &'static [&'static str],
    /// The difference that is allowed between clocks.
    pub(crate) leeway: Duration,
    /// The largest size.
    pub(crate) max_bytes: usize,
}

/// The issuer that a token must have.
pub(crate) enum Issuer {
    /// Exactly this one, byte for byte.
    Is(String),
    /// One for which this is true: providers with an issuer for each tenant.
    Where(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

/// The audience that a token must have.
pub(crate) enum Audience {
    /// `aud` must be there and name one of these.
    OneOf(Vec<String>),
    /// `aud` is not looked at: the caller has to check another claim in its place, such as `azp` or `client_id`.
    Unchecked,
}

/// The reason why a token is not accepted. For the log: the client is not told which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// The token is larger than any real one.
    #[error("token too large")]
    TooLarge,
    /// The text is no JWT.
    #[error("not a signed JWT")]
    Malformed,
    /// The header has a member that is not allowed, or not with this value.
    #[error("header member not accepted: {0}")]
    Header(&'static str),
    /// The token is signed with an algorithm that was not agreed on.
    #[error("algorithm not accepted")]
    Algorithm,
    /// The token's key is not in the key set.
    #[error("unknown key")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("wrong signature")]
    Signature,
    /// The token has expired.
    #[error("expired")]
    Expired,
    /// The token is not valid yet: the clocks differ.
    #[error("not valid yet: check the clock")]
    NotYetValid,
    /// The token is of another issuer.
    #[error("unexpected issuer: {0:?}")]
    Issuer(String),
    /// The token is for somebody else.
    #[error("not for this audience")]
    Audience,
    /// A claim is missing or of the wrong type.
    #[error("claims not as expected: {0}")]
    Claims(String),
    /// The key set cannot be had.
    #[error("no keys: {0}")]
    NoKeys(FetchError),
    /// The document that was fetched has no usable key.
    #[error("no keys: what was fetched has no usable key in it")]
    NoUsableKeys,
}

impl JwtError {
    /// True if the same token may be accepted a little later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::NoKeys(_) | Self::NoUsableKeys)
    }
}

impl Keys {
    /// Verifies a token with these keys, and takes its claims.
    ///
    /// # Errors
    /// [`JwtError`].
    pub(crate) fn verify<T: DeserializeOwned>(&self, token: &str, rules: &Rules) -> Result<T, JwtError> {
        Unverified::read(token, rules)?.verify(self, rules, &REQUIRED)
    }
}

/// A key set behind a URL.
pub(crate) struct KeySet<F> {
    url: Url,
    fetch: F,
    state: Mutex<KeySetState>,
    /// The lock of the request that fetches.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct KeySetState {
    /// The last good set, and when it was fetched.
    keys: Option<(Arc<Keys>, Instant)>,
    /// The end of the last fetch, and its failure.
    last: Option<(Instant, Option<JwtError>)>,
    /// The last time that an unknown `kid` was reason to fetch.
    forced: Option<Instant>,
}

impl<F: Fetch> KeySet<F> {
    /// A key set that is fetched when it is first needed.
    pub(crate) fn new(url: Url, fetch: F) -> Self {
        Self { url, fetch, state: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The URL of the keys.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Verifies a token with the keys of this set, and takes its claims.
    ///
    /// # Errors
    /// [`JwtError`]; [`JwtError::is_temporary`] if the reason is that there are no keys.
    pub(crate) async fn verify<T: DeserializeOwned>(&self, token: &str, rules: &Rules) -> Result<T, JwtError> {
        self.verify_with(token, rules, &REQUIRED).await
    }

    /// The same for a kind of token that has other claims in any case than `exp`, `iss` and `sub`. Those that are there are
    /// checked, required or not.
    ///
    /// # Errors
    /// [`JwtError`].
    pub(crate) async fn verify_with<T: DeserializeOwned>(
        &self,
        token: &str,
        rules: &Rules,
        required: &[&str],
    ) -> Result<T, JwtError> {
        let token = Unverified::read(token, rules)?;
        let keys = self.keys_for(&token).await?;
        token.verify(&keys, rules, required)
    }

    /// Keys among which the token's is. A token whose key is held never waits for a fetch that others have caused.
    async fn keys_for(&self, token: &Unverified<'_>) -> Result<Arc<Keys>, JwtError> {
        let held = self.held(token);
        let turn = match held {
            Lookup { keys: Some(keys), due: false } => return Ok(keys),
            Lookup { keys: Some(keys), due: true } => match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(keys),
            },
            Lookup { keys: None, due: _ } => self.turn.lock().await,
        };
        // Somebody else may have fetched while this one waited.
        if self.held(token).due {
            self.refresh().await;
        }
        drop(turn);
        self.held(token).keys.ok_or_else(|| {
            let failure = self.state().last.as_ref().and_then(|(_, failure)| failure.clone());
            failure.unwrap_or(JwtError::UnknownKey)
        })
    }

    fn held(&self, token: &Unverified<'_>) -> Lookup {
        let now = Instant::now();
        let state = self.state();
        let keys = state.keys.as_ref().filter(|(_, fetched)| now - *fetched < STALE);
        let is_fresh = keys.is_some_and(|(_, fetched)| now - *fetched < FRESH);
        let keys = keys.map(|(keys, _)| keys).filter(|keys| keys.candidates(token).next().is_some()).cloned();
        let has_just_failed = matches!(&state.last, Some((end, Some(_))) if now - *end < RETRY_PAUSE);
        // A set that is fresh is asked for again for the sake of a key alone.
        let is_too_soon = is_fresh && state.forced.is_some_and(|forced| now - forced < REFRESH_PAUSE);
        Lookup { due: !has_just_failed && !is_too_soon && (keys.is_none() || !is_fresh), keys }
    }

    /// Fetches the set. A failed fetch leaves the last good one; one that was given up leaves no trace.
    async fn refresh(&self) {
        let fetched = match self.fetch.fetch(&self.url).await {
            Ok(document) => Keys::read(&document.body).ok_or(JwtError::NoUsableKeys),
            Err(error) => Err(JwtError::NoKeys(error)),
        };
        let now = Instant::now();
        let mut state = self.state();
        if state.keys.as_ref().is_some_and(|(_, fetched)| now - *fetched < FRESH) {
            state.forced = Some(now);
        }
        let failure = match fetched {
            Ok(keys) => {
                state.keys = Some((Arc::new(keys), now));
                None
            }
            Err(failure) => {
                tracing::warn!(url = %self.url, "key set not refreshed: {failure}");
                Some(failure)
            }
        };
        state.last = Some((now, failure));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, KeySetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys for one token, before a fetch.
struct Lookup {
    /// The keys, if the token's is among them.
    keys: Option<Arc<Keys>>,
    /// True if it is time to fetch the set.
    due: bool,
}

/// The left half of a value's hash, as `at_hash` and `c_hash` of an ID token have it (OIDC Core 3.1.3.6). The hash is
/// that of the algorithm with which `token`, a verified one, is signed; `None` if it is no token.
pub(crate) fn half_hash(token: &str, value: &str) -> Option<String> {
    let digest = match jsonwebtoken::decode_header(token).ok()?.alg {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 => Sha256::digest(value).to_vec(),
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => Sha384::digest(value).to_vec(),
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => Sha512::digest(value).to_vec(),
        _ => return None,
    };
    Some(URL_SAFE_NO_PAD.encode(&digest[..digest.len() / 2]))
}
