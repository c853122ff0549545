//! The provider's metadata (OpenID Connect Discovery 1.0, RFC 8414), kept up to date in the background.
//!
//! The server starts without it. The last good document is kept in the state directory, so that a provider which is
//! down when the server starts costs nobody a login. A document that names another issuer, or endpoints without TLS,
//! is never used.

mod members;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::members::Members;
use super::id_token::fits_template;
use crate::atomic_file;
use crate::auth::failures::provider::DiscoveryError;
use crate::config::Provider;
use crate::config::provider::{DiscoveryUrl, Endpoint};
use crate::fetch::{Fetch, ProviderHttp};
use crate::jwks::KeySet;
use crate::loopback::is_loopback_url;
use crate::state::StateDir;

/// The interval at which a known document is read again; endpoints hardly ever change, and keys have a cache of their
/// own.
const REFRESH_EVERY: Duration = Duration::from_secs(60 * 60);

/// The first wait after a failure, and the longest: a login must work ten seconds after the provider is back.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Wait after a failed refresh of a document that is known: nobody waits for it.
const RETRY_KNOWN: Duration = Duration::from_secs(60);

/// The state of discovery.
#[derive(Clone)]
pub(super) enum Knowledge {
    /// Nothing yet; the first look is under way.
    Looking,
    /// All that logins need.
    Known(Arc<ProviderMetadata>),
    /// Nothing, since this is wrong.
    Failed(Arc<DiscoveryError>),
}

/// A provider that people can be sent to.
pub(super) struct ProviderMetadata {
    pub(super) issuer: String,
    /// True if the issuer is a template: each token names the one of its own tenant.
    pub(super) has_tenants: bool,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) introspection_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    pub(super) scopes_supported: Vec<String>,
    pub(super) auth_methods: Option<Vec<String>>,
    /// The methods of PKCE (RFC 7636), if it names any.
    pub(super) challenge_methods: Option<Vec<String>>,
    /// True if it names itself at the callback (RFC 9207).
    pub(super) names_itself: bool,
    pub(super) keys: Option<Arc<KeySet<ProviderHttp>>>,
    /// Members of its document that are left out because they are wrong, each with the reason.
    pub(super) slips: Vec<String>,
}

/// A document on the disk, with the URL that it came from.
#[derive(Serialize, Deserialize)]
struct StoredDocument {
    url: String,
    document: Box<RawValue>,
}

/// Reads the provider's document, again and again.
pub(super) struct Discovery {
    provider: Arc<Provider>,
    http: ProviderHttp,
    allow_plain: bool,
    file: Option<PathBuf>,
    knowledge: watch::Sender<Knowledge>,
    /// True once a document of this run was looked at: slips of an earlier run's are warned of anew.
    has_looked: AtomicBool,
}

impl Discovery {
    /// Begins with the document of an earlier run, or with the provider's data where there is no document.
    pub(super) fn new(
        provider: Arc<Provider>,
        http: ProviderHttp,
        allow_plain: bool,
        state: Option<&StateDir>,
    ) -> (Self, watch::Receiver<Knowledge>) {
        let file = state.and_then(|state| {
            let directory = state.subdirectory("providers").inspect_err(|error| {
                tracing::warn!("what is known of the provider is not kept: {error}");
            });
            Some(directory.ok()?.join(format!("{}.json", provider.name())))
        });
        let (knowledge, receiver) = watch::channel(Knowledge::Looking);
        let discovery = Self { provider, http, allow_plain, file, knowledge, has_looked: AtomicBool::new(false) };
        let known = match discovery.provider.discovery() {
            Some(url) => discovery.kept(&url),
            None => discovery.without_document(),
        };
        if let Some(known) = known {
            discovery.knowledge.send_replace(Knowledge::Known(Arc::new(known)));
        }
        (discovery, receiver)
    }

    /// Reads the document until `stop`. Without a discovery URL there is none.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Some(url) = self.provider.discovery() else { return };
        let mut failures = 0;
        loop {
            let Some(found) = stop.run_until_cancelled(self.look(&url)).await else { return };
            let wait = match found {
                Ok(known) => {
                    if failures > 0 {
                        tracing::info!("provider `{}` is back", self.provider.name());
                    }
                    failures = 0;
                    self.warn_of_slips(&known);
                    self.knowledge.send_replace(Knowledge::Known(Arc::new(known)));
                    REFRESH_EVERY
                }
                Err(error) => {
                    failures += 1;
                    self.failed(error, failures)
                }
            };
            // Servers that start together do not ask together.
            let wait = wait.mul_f64(rand::random_range(0.5..1.0));
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Warns of each slip once, and not every hour.
    fn warn_of_slips(&self, known: &ProviderMetadata) {
        let before = match &*self.knowledge.borrow() {
            Knowledge::Known(before) if self.has_looked.swap(true, Ordering::Relaxed) => before.slips.clone(),
            _ => {
                self.has_looked.store(true, Ordering::Relaxed);
                Vec::new()
            }
        };
        for slip in known.slips.iter().filter(|slip| !before.contains(slip)) {
            tracing::warn!("provider `{}`: {slip}", self.provider.name());
        }
    }

    /// Notes a failure, and returns the wait before the next try. Metadata that is known stays known.
    fn failed(&self, error: DiscoveryError, failures: u32) -> Duration {
        let is_known = matches!(*self.knowledge.borrow(), Knowledge::Known(_));
        if failures == 1 {
            tracing::warn!("provider `{}`: {error}", self.provider.name());
        } else {
            tracing::debug!("provider `{}`: {error}", self.provider.name());
        }
        if is_known {
            return RETRY_KNOWN;
        }
        self.knowledge.send_replace(Knowledge::Failed(Arc::new(error)));
        RETRY_FIRST.saturating_mul(1 << failures.min(8)).min(RETRY_MAX)
    }

    async fn look(&self, url: &DiscoveryUrl) -> Result<ProviderMetadata, DiscoveryError> {
        let fetched = self.http.fetch(url.url()).await;
        let document = fetched.map_err(|cause| DiscoveryError::of(url, cause))?;
        let known = self.read(url, &document.body)?;
        self.keep(url, &document.body);
        Ok(known)
    }

    /// Reads a document, as it comes from the provider or from the state directory.
    pub(super) fn read(&self, url: &DiscoveryUrl, body: &[u8]) -> Result<ProviderMetadata, DiscoveryError> {
        let unreadable = |reason: String| DiscoveryError::Unreadable { url: url.to_string(), reason };
        let members = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        let mut document = Members { members, slips: Vec::new() };
        let issuer = document.text("issuer").map_err(|reason| unreadable(format!("`issuer`: {reason}")))?;
        let issuer = issuer.ok_or_else(|| unreadable("`issuer` is missing".to_owned()))?;
        let has_tenants = self.check_issuer(url, &issuer)?;
        let keys = &self.provider;
        let authorization =
            self.required(url, &mut document, &keys.authorization_endpoint, "authorization_endpoint")?;
        let token = self.required(url, &mut document, &keys.token_endpoint, "token_endpoint")?;
        let jwks_uri = self.required(url, &mut document, &keys.jwks_uri, "jwks_uri")?;
        let needed = |member: &str| unreadable(format!("`{member}` is missing"));
        let known = ProviderMetadata {
            issuer,
            has_tenants,
            authorization_endpoint: authorization.ok_or_else(|| needed("authorization_endpoint"))?,
            token_endpoint: token.ok_or_else(|| needed("token_endpoint"))?,
            userinfo_endpoint: self.optional(&mut document, &keys.userinfo_endpoint, "userinfo_endpoint"),
            introspection_endpoint: self.optional(
                &mut document,
                &keys.introspection_endpoint,
                "introspection_endpoint",
            ),
            revocation_endpoint: self.optional(&mut document, &keys.revocation_endpoint, "revocation_endpoint"),
            scopes_supported: document.list("scopes_supported").unwrap_or_default(),
            auth_methods: document.list("token_endpoint_auth_methods_supported"),
            challenge_methods: document.list("code_challenge_methods_supported"),
            names_itself: document.boolean("authorization_response_iss_parameter_supported"),
            keys: jwks_uri.map(|url| self.key_set(url)),
            slips: document.slips,
        };
        Ok(known)
    }

    /// An endpoint without which nobody could log in; one that the configuration has counts in place of the document's.
    fn required(
        &self,
        url: &DiscoveryUrl,
        document: &mut Members,
        configured: &Option<Endpoint>,
        member: &'static str,
    ) -> Result<Option<Url>, DiscoveryError> {
        if let Some(endpoint) = configured {
            return Ok(Some(endpoint.url().clone()));
        }
        let unreadable = |reason: String| DiscoveryError::Unreadable {
            url: url.to_string(),
            reason: format!("`{member}`: {reason}"),
        };
        let Some(found) = document.text(member).map_err(unreadable)? else { return Ok(None) };
        let endpoint = Url::parse(&found).map_err(|error| unreadable(error.to_string()))?;
        if !self.is_allowed(&endpoint) {
            return Err(DiscoveryError::Plain { url: url.to_string(), member, endpoint: found });
        }
        Ok(Some(endpoint))
    }

    /// An endpoint that a login can do without. One that cannot be used is left out.
    fn optional(&self, document: &mut Members, configured: &Option<Endpoint>, member: &'static str) -> Option<Url> {
        if let Some(endpoint) = configured {
            return Some(endpoint.url().clone());
        }
        let found = document.text(member).and_then(|found| {
            let Some(found) = found else { return Ok(None) };
            match Url::parse(&found) {
                Err(error) => Err(format!("{found:?} is no URL: {error}")),
                Ok(endpoint) if !self.is_allowed(&endpoint) => Err(format!("{found:?} is without TLS")),
                Ok(endpoint) => Ok(Some(endpoint)),
            }
        });
        found.unwrap_or_else(|reason| {
            document.slip(member, &reason);
            None
        })
    }

    fn is_allowed(&self, endpoint: &Url) -> bool {
        let is_plain = endpoint.scheme() == "http" && self.allow_plain && is_loopback_url(endpoint);
        endpoint.host_str().is_some() && (endpoint.scheme() == "https" || is_plain)
    }

    /// Checks that the issuer is the configured one, the one that the document's URL belongs to, or a template for
    /// tenants. True for the last.
    fn check_issuer(&self, url: &DiscoveryUrl, found: &str) -> Result<bool, DiscoveryError> {
        let wrong = |expected: &str| DiscoveryError::Issuer {
            url: url.to_string(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        if let Some(expected) = &self.provider.issuer {
            return if found == expected { Ok(false) } else { Err(wrong(expected)) };
        }
        if let Some(template) = self.provider.issuer_template.as_deref().filter(|_| self.provider.discovery.is_some()) {
            // Entra names its own placeholder where one document stands for many tenants.
            let has_tenants = found.replace("{tenantid}", "{tid}") == template;
            if has_tenants || fits_template(found, template) {
                return Ok(has_tenants);
            }
        }
        if url.may_name(found) { Ok(false) } else { Err(wrong(&url.issuer())) }
    }

    pub(super) fn without_document(&self) -> Option<ProviderMetadata> {
        let keys = &self.provider;
        let url = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|endpoint| endpoint.url().clone());
        Some(ProviderMetadata {
            issuer: keys.issuer.clone()?,
            has_tenants: false,
            authorization_endpoint: url(&keys.authorization_endpoint)?,
            token_endpoint: url(&keys.token_endpoint)?,
            userinfo_endpoint: url(&keys.userinfo_endpoint),
            introspection_endpoint: url(&keys.introspection_endpoint),
            revocation_endpoint: url(&keys.revocation_endpoint),
            scopes_supported: Vec::new(),
            auth_methods: None,
            challenge_methods: None,
            names_itself: false,
            keys: url(&keys.jwks_uri).map(|url| self.key_set(url)),
            slips: Vec::new(),
        })
    }

    /// The key set at a URL: the one of before, with its keys, if the URL is the same.
    fn key_set(&self, url: Url) -> Arc<KeySet<ProviderHttp>> {
        if let Knowledge::Known(known) = &*self.knowledge.borrow()
            && let Some(keys) = known.keys.as_ref().filter(|keys| *keys.url() == url)
        {
            return Arc::clone(keys);
        }
        Arc::new(KeySet::new(url, self.http.clone()))
    }

    /// The metadata that an earlier run has read from the same place.
    fn kept(&self, url: &DiscoveryUrl) -> Option<ProviderMetadata> {
        let text = fs::read(self.file.as_ref()?).ok()?;
        let kept: StoredDocument = serde_json::from_slice(&text).ok()?;
        if kept.url != url.to_string() {
            return None;
        }
        self.read(url, kept.document.get().as_bytes()).ok()
    }

    /// Keeps a good document.
    fn keep(&self, url: &DiscoveryUrl, body: &[u8]) {
        let Some(file) = &self.file else { return };
        let write = || -> io::Result<()> {
            let kept = StoredDocument { url: url.to_string(), document: serde_json::from_slice(body)? };
            let text = serde_json::to_vec(&kept)?;
            if fs::read(file).is_ok_and(|old| old == text) {
                return Ok(());
            }
            atomic_file::replace_private(file, &text)
        };
        if let Err(error) = write() {
            tracing::warn!("what is known of the provider is not kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
