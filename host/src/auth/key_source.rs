//! The keys of declared clients and of workloads' issuers: in the configuration, at a URL of it, or at the one that the
//! issuer's discovery document names (OpenID Connect Discovery 1.0 §4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::config::Egress;
use crate::fetch::{Fetch, FetchError, IssuerHttp};
use crate::jwks::{JwtError, KeySet, Keys, Rules};

/// The time for which a discovery document is used without another fetch.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// The time for which it is used while it cannot be fetched again.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause after a fetch that failed: strangers decide how often somebody asks.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Sources that are remembered; more are tables that were changed while the server runs.
const SOURCES_MAX: usize = 256;

/// The path of the discovery document, below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The place of keys, as a table of the configuration has it.
#[derive(Clone, Copy)]
pub(super) struct KeyPlace<'c> {
    pub(super) at: At<'c>,
    /// Authorities (PEM) to trust beside the system's.
    pub(super) ca: Option<&'c [u8]>,
    pub(super) is_private: bool,
}

/// The kinds of places.
#[derive(Clone, Copy)]
pub(super) enum At<'c> {
    /// A public key in PEM.
    Pem(&'c str),
    /// A key set as text.
    Set(&'c str),
    /// The URL of a key set.
    Url(&'c str),
    /// The issuer, whose discovery document names the URL.
    Issuer(&'c str),
}

impl KeyPlace<'_> {
    /// One name for the place and all that belongs to it.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let (kind, text) = match self.at {
            At::Pem(text) => ("pem", text),
            At::Set(text) => ("set", text),
            At::Url(text) => ("url", text),
            At::Issuer(text) => ("issuer", text),
        };
        let is_private = [u8::from(self.is_private)];
        digest([kind.as_bytes(), text.as_bytes(), self.ca.unwrap_or_default(), &is_private])
    }
}

/// A hash of several parts, each with its length, so that (`a`, `bc`) and (`ab`, `c`) differ.
pub(super) fn digest<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// All sources of keys, each made when it is first needed.
pub(super) struct KeySources {
    egress: Egress,
    allow_plain_loopback: bool,
    known: Mutex<HashMap<[u8; 32], Arc<KeySource>>>,
}

impl KeySources {
    pub(super) fn new(egress: Egress, allow_plain_loopback: bool) -> Self {
        Self { egress, allow_plain_loopback, known: Mutex::default() }
    }

    /// The keys at a place. The same place gives the same keys, with what was fetched of them.
    ///
    /// # Errors
    /// [`JwtError::NoKeys`] if they can never be had.
    pub(super) fn get(&self, place: KeyPlace<'_>) -> Result<Arc<KeySource>, JwtError> {
        let fingerprint = place.fingerprint();
        if let Some(known) = self.known().get(&fingerprint) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.source(place)?);
        let mut known = self.known();
        if known.len() >= SOURCES_MAX {
            known.clear();
        }
        Ok(Arc::clone(known.entry(fingerprint).or_insert(made)))
    }

    fn source(&self, place: KeyPlace<'_>) -> Result<KeySource, JwtError> {
        let http = || {
            IssuerHttp::new(&self.egress, place.ca, place.is_private, self.allow_plain_loopback)
                .map_err(JwtError::NoKeys)
        };
        let url = |text: &str| text.parse::<Url>().map_err(|_| JwtError::NoKeys(FetchError::Refused("only URLs")));
        Ok(match place.at {
            At::Pem(pem) => KeySource::Here(Keys::of_pem(pem).ok_or(JwtError::NoUsableKeys)?),
            At::Set(set) => KeySource::Here(Keys::read(set.as_bytes()).ok_or(JwtError::NoUsableKeys)?),
            At::Url(at) => KeySource::There(Box::new(KeySet::new(url(at)?, http()?))),
            At::Issuer(issuer) => {
                let document = url(&format!("{}{DISCOVERY}", issuer.strip_suffix('/').unwrap_or(issuer)))?;
                KeySource::Discovered(Box::new(Discovery::new(issuer, document, http()?)))
            }
        })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<KeySource>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of one place.
pub(super) enum KeySource {
    Here(Keys),
    There(Box<KeySet<IssuerHttp>>),
    Discovered(Box<Discovery>),
}

impl KeySource {
    /// Verifies a token with these keys, and takes its claims.
    ///
    /// # Errors
    /// [`JwtError`]; [`JwtError::is_temporary`] if the reason is that there are no keys.
    pub(super) async fn verify<T: DeserializeOwned>(&self, token: &str, rules: &Rules) -> Result<T, JwtError> {
        match self {
            Self::Here(keys) => keys.verify(token, rules),
            Self::There(keys) => keys.verify(token, rules).await,
            Self::Discovered(discovery) => discovery.keys().await?.verify(token, rules).await,
        }
    }
}

/// An issuer whose keys are where its discovery document says.
pub(super) struct Discovery {
    issuer: String,
    document: Url,
    http: IssuerHttp,
    state: Mutex<Found>,
    /// The lock of the request that fetches.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Found {
    keys: Option<(Arc<KeySet<IssuerHttp>>, Instant)>,
    failed: Option<(JwtError, Instant)>,
}

/// The members of a discovery document that count here.
#[derive(Deserialize)]
struct DiscoveryDocument {
    issuer: String,
    jwks_uri: Url,
}

impl Discovery {
    fn new(issuer: &str, document: Url, http: IssuerHttp) -> Self {
        Self { issuer: issuer.to_owned(), document, http, state: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    async fn keys(&self) -> Result<Arc<KeySet<IssuerHttp>>, JwtError> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.turn.lock().await;
        // Somebody else may have fetched while this one waited.
        if let Some(known) = self.known() {
            return known;
        }
        let fetched = self.discover().await;
        let now = Instant::now();
        let mut state = self.state();
        match fetched {
            Ok(url) => {
                let before = state.keys.take().map(|(keys, _)| keys).filter(|keys| *keys.url() == url);
                let keys = before.unwrap_or_else(|| Arc::new(KeySet::new(url, self.http.clone())));
                *state = Found { keys: Some((Arc::clone(&keys), now)), failed: None };
                Ok(keys)
            }
            Err(error) => {
                state.failed = Some((error.clone(), now));
                let usable = state.keys.as_ref().filter(|(_, at)| now - *at < STALE);
                usable.map(|(keys, _)| Arc::clone(keys)).ok_or(error)
            }
        }
    }

    /// What is known without a fetch; none if it is time for one.
    fn known(&self) -> Option<Result<Arc<KeySet<IssuerHttp>>, JwtError>> {
        let (state, now) = (self.state(), Instant::now());
        let has_just_failed = state.failed.as_ref().filter(|(_, at)| now - *at < RETRY_PAUSE);
        match (&state.keys, has_just_failed) {
            (Some((keys, at)), _) if now - *at < FRESH => Some(Ok(Arc::clone(keys))),
            (Some((keys, at)), Some(_)) if now - *at < STALE => Some(Ok(Arc::clone(keys))),
            (_, Some((error, _))) => Some(Err(error.clone())),
            (_, None) => None,
        }
    }

    /// Fetches the document, and takes the URL of the keys if the document is this issuer's.
    async fn discover(&self) -> Result<Url, JwtError> {
        let fetched = self.http.fetch(&self.document).await.map_err(|error| {
            tracing::warn!(url = %self.document, "discovery document of an issuer not fetched: {error}");
            JwtError::NoKeys(error)
        })?;
        let document: DiscoveryDocument = serde_json::from_slice(&fetched.body).map_err(|error| {
            tracing::warn!(url = %self.document, "no discovery document of an issuer: {error}");
            JwtError::NoUsableKeys
        })?;
        if document.issuer != self.issuer {
            tracing::warn!(url = %self.document, named = document.issuer, "the discovery document is of another issuer: write `issuer` as it has it");
            return Err(JwtError::NoUsableKeys);
        }
        Ok(document.jwks_uri)
    }

    fn state(&self) -> MutexGuard<'_, Found> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
