//! Client ID metadata documents: clients whose id is the https URL of a document about them
//! (draft-ietf-oauth-client-id-metadata-document; MCP Authorization, client registration).
//!
//! The document is fetched anew within the bounds of the cache. Nothing of it is stored.

mod cache;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod metadata;
mod shipped;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::clock;
use crate::fetch::{Fetch, FetchError, Strangers};
use crate::jwks::{Audience, Issuer, JwtError, KeySet, Rules};
use cache::DocumentCache;
use metadata::{KeyPlace, Metadata, document_url, is_web_url};

/// The longest life of an assertion. Its `jti` has to be remembered until the end of it.
const MAX_ASSERTION_LIFE: Duration = Duration::from_secs(5 * 60);

/// The difference that is allowed between a client's clock and ours.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// The largest assertion: strangers send it.
pub(super) const ASSERTION_BYTES_MAX: usize = 8 * 1024;

/// Values of `typ` in an assertion's header.
pub(super) const ASSERTION_TYPES: &[&str] = &["JWT", "client-authentication+jwt"];

/// The largest `jti` of an assertion.
const MAX_JTI_BYTES: usize = 256;

/// Metadata documents by client id, fetched when they are needed.
pub struct Documents<F = Strangers> {
    fetch: F,
    cache: Mutex<DocumentCache<F>>,
}

/// A client that a document describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentClient {
    /// The document's URL.
    pub client_id: String,
    /// The name that it gives itself. Nobody has checked it.
    pub name: Option<String>,
    /// The redirect URIs, word for word; at least one.
    pub redirect_uris: Vec<String>,
    /// True if the client must authenticate by assertion. Otherwise it may do so: [`Documents::verify_assertion`].
    pub needs_assertion: bool,
}

/// An assertion whose signature and claims are fine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Its id. The caller accepts no second assertion of the client with the same id.
    pub jti: String,
    /// The end of its life: from then on it would not be accepted anyway.
    pub expires: SystemTime,
}

/// The reason why a client is not known, or its assertion not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The client id is not a URL at which a document can be: it breaks this rule.
    #[error("not the URL of a client metadata document: {0}")]
    Url(&'static str),
    /// There is no document to be had.
    #[error("client metadata document not fetched: {0}")]
    Fetch(FetchError),
    /// There is something else than a document.
    #[error("client metadata document not accepted: it is not a JSON object")]
    NotJson,
    /// The document breaks a rule.
    #[error("client metadata document not accepted: {0}")]
    Invalid(&'static str),
    /// The client has no keys, and so no assertions.
    #[error("client assertion not accepted: the client's metadata document has no keys")]
    NoKeys,
    /// The assertion is not valid.
    #[error("client assertion not accepted: {0}")]
    Token(JwtError),
    /// The assertion is valid, but not what RFC 7523 §3 and this server ask for.
    #[error("client assertion not accepted: {0}")]
    Assertion(&'static str),
}

impl DocumentError {
    /// The text for the client or the person. It names the rule that was broken, and nothing that a fetch found.
    pub fn outward(&self) -> String {
        match self {
            Self::Fetch(_) | Self::NotJson => format!("client metadata document: {}", FetchError::OUTWARD),
            Self::NoKeys | Self::Token(_) | Self::Assertion(_) => "client assertion not accepted".to_owned(),
            Self::Url(_) | Self::Invalid(_) => self.to_string(),
        }
    }

    /// True if the same request may succeed a little later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Fetch(FetchError::Status(status)) => status.is_server_error() || status.as_u16() == 429,
            Self::Fetch(error) => !matches!(error, FetchError::Refused(_)),
            Self::Token(error) => error.is_temporary(),
            Self::NotJson => true,
            Self::Url(_) | Self::Invalid(_) | Self::NoKeys | Self::Assertion(_) => false,
        }
    }
}

/// A document, with the keys of the client.
struct DocumentWithKeys<F> {
    metadata: Metadata,
    /// The key set at the document's `jwks_uri`.
    remote_keys: Option<Arc<KeySet<F>>>,
}

/// The claims of an assertion (RFC 7523 §3) beyond those that every token has.
#[derive(Deserialize)]
pub(super) struct AssertionClaims {
    sub: String,
    /// Seconds since 1970, with a fraction if the client likes.
    exp: f64,
    #[serde(default)]
    iat: Option<f64>,
    jti: Option<String>,
}

impl Documents {
    /// True if a client id is the URL of a document, and one that may be fetched.
    pub fn is_document_url(client_id: &str) -> bool {
        document_url(client_id).is_ok()
    }

    /// The rule that a client id breaks which is a URL, and not one at which a document can be. None for ids that are
    /// something else.
    pub fn broken_rule(client_id: &str) -> Option<&'static str> {
        document_url(client_id).err().filter(|_| is_web_url(client_id))
    }
}

impl<F: Fetch + Clone> Documents<F> {
    /// An empty cache: no document is fetched before it is needed.
    pub fn new(fetch: F) -> Self {
        Self { fetch, cache: Mutex::default() }
    }

    /// The client that the document at `client_id` describes. A fetch counts against the address of who asks.
    ///
    /// # Errors
    /// [`DocumentError`] if there is no such document, or it breaks a rule.
    pub async fn client(&self, client_id: &str, asker: IpAddr) -> Result<DocumentClient, DocumentError> {
        let client = self.document(client_id, asker).await?;
        Ok(DocumentClient {
            client_id: client_id.to_owned(),
            name: client.metadata.name.clone(),
            redirect_uris: client.metadata.redirect_uris.clone(),
            needs_assertion: client.metadata.needs_assertion,
        })
    }

    /// The name in a document that was fetched before, or of which there is a copy. Nothing is fetched.
    pub fn known_name(&self, client_id: &str) -> Option<String> {
        let fetched = self.cache().last_good(client_id);
        fetched.map_or_else(|| shipped::copy(client_id)?.name, |document| document.metadata.name.clone())
    }

    /// Verifies that an assertion is the client's (`private_key_jwt`; RFC 7523 §3): signed with one of its keys,
    /// issued by and about it, for one of `audiences`, and short-lived.
    ///
    /// # Errors
    /// [`DocumentError`]; [`DocumentError::is_temporary`] if the document or the keys cannot be had.
    pub async fn verify_assertion(
        &self,
        client_id: &str,
        assertion: &str,
        audiences: &[&str],
        asker: IpAddr,
    ) -> Result<Assertion, DocumentError> {
        let client = self.document(client_id, asker).await?;
        let rules = Rules {
            algorithms: client.metadata.algorithms.clone(),
            issuer: Issuer::Is(client_id.to_owned()),
            audience: Audience::OneOf(audiences.iter().map(|audience| (*audience).to_owned()).collect()),
            types: ASSERTION_TYPES,
            leeway: LEEWAY,
            max_bytes: ASSERTION_BYTES_MAX,
        };
        let claims = match (&client.remote_keys, &client.metadata.keys) {
            (Some(keys), _) => keys.verify(assertion, &rules).await,
            (None, Some(KeyPlace::Here(keys))) => keys.verify(assertion, &rules),
            (None, _) => return Err(DocumentError::NoKeys),
        };
        accept(claims.map_err(DocumentError::Token)?, client_id)
    }

    async fn document(&self, client_id: &str, asker: IpAddr) -> Result<Arc<DocumentWithKeys<F>>, DocumentError> {
        let url = document_url(client_id).map_err(DocumentError::Url)?;
        if let Some(known) = self.cache().fresh(client_id, Instant::now()) {
            return known;
        }
        let fetched = self.fetch.fetch_for(asker, &url).await.map_err(DocumentError::Fetch);
        let fetched = fetched.and_then(|document| Ok((Metadata::read(client_id, &document.body)?, document)));
        let mut cache = self.cache();
        let now = Instant::now();
        match fetched {
            Ok((metadata, document)) => {
                let client = self.with_keys(metadata, cache.last_good(client_id).as_deref());
                cache.keep(client_id, client.clone(), &document, now);
                Ok(client)
            }
            Err(failure) => {
                match failure {
                    // Strangers decide how often this happens.
                    DocumentError::Fetch(FetchError::Limited) => tracing::debug!(client.id = client_id, "{failure}"),
                    _ => tracing::warn!(client.id = client_id, "{failure}"),
                }
                let copy = || shipped::copy(client_id).map(|copy| self.with_keys(copy, None));
                cache.fail(client_id, failure, copy, now)
            }
        }
    }

    /// Keys that are known stay known when their document is fetched again.
    fn with_keys(&self, metadata: Metadata, before: Option<&DocumentWithKeys<F>>) -> Arc<DocumentWithKeys<F>> {
        let remote_keys = match &metadata.keys {
            Some(KeyPlace::At(url)) => {
                let known = before.and_then(|before| before.remote_keys.clone()).filter(|keys| keys.url() == url);
                Some(known.unwrap_or_else(|| Arc::new(KeySet::new(url.clone(), self.fetch.clone()))))
            }
            Some(KeyPlace::Here(_)) | None => None,
        };
        Arc::new(DocumentWithKeys { metadata, remote_keys })
    }

    fn cache(&self) -> MutexGuard<'_, DocumentCache<F>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks what RFC 7523 asks of an assertion beyond a valid signature.
pub(super) fn accept(claims: AssertionClaims, client_id: &str) -> Result<Assertion, DocumentError> {
    if claims.sub != client_id {
        return Err(DocumentError::Assertion("`sub` is not the client"));
    }
    let life = Duration::try_from_secs_f64(claims.exp).ok();
    let end = life.and_then(|life| UNIX_EPOCH.checked_add(life)).and_then(|end| end.checked_add(LEEWAY));
    let latest = clock::now() + MAX_ASSERTION_LIFE + LEEWAY + LEEWAY;
    let Some(expires) = end.filter(|end| *end <= latest) else {
        return Err(DocumentError::Assertion("`exp` is more than five minutes ahead"));
    };
    let now = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if claims.iat.is_some_and(|made| made > (now + LEEWAY).as_secs_f64()) {
        return Err(DocumentError::Assertion("`iat` is more than a minute ahead: one of the two clocks is wrong"));
    }
    match claims.jti.filter(|jti| !jti.is_empty() && jti.len() <= MAX_JTI_BYTES) {
        Some(jti) => Ok(Assertion { jti, expires }),
        None => Err(DocumentError::Assertion("`jti` is missing, empty or too long")),
    }
}
