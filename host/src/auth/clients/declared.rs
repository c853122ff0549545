//! The clients of `[auth.clients]`, as the configuration has them at any moment.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::document::{self, Assertion, AssertionClaims, DocumentError};
use crate::algorithms::ALGORITHMS;
use crate::auth::key_source::{At, KeyPlace, KeySources};
use crate::config::keys::Client;
use crate::config::machines::ClientGrant;
use crate::config::provider::Secret;
use crate::config::{Config, Credentials};
use crate::jwks::{Audience, Issuer, JwtError, Rules};

/// A client of `[auth.clients.ID]`.
pub(in crate::auth) struct DeclaredClient {
    /// Its name on the consent page.
    pub(super) name: Option<String>,
    /// The URIs that the browser may be sent back to.
    pub(super) redirect_uris: Vec<String>,
    pub(super) proof: DeclaredProof,
}

/// The proof by which such a client authenticates.
pub(super) enum DeclaredProof {
    Public,
    Secret(Secret),
    Keys,
}

/// All declared clients.
pub(in crate::auth) struct DeclaredClients {
    config: watch::Receiver<Arc<Config>>,
    credentials: watch::Receiver<Arc<Credentials>>,
    sources: Arc<KeySources>,
}

impl DeclaredClients {
    pub(in crate::auth) fn new(
        config: watch::Receiver<Arc<Config>>,
        credentials: watch::Receiver<Arc<Credentials>>,
        sources: Arc<KeySources>,
    ) -> Self {
        Self { config, credentials, sources }
    }

    /// True for a client that the operator has declared.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.config.borrow().auth.clients.contains_key(id)
    }

    /// The client with this id. One whose secret is not known yet is nobody: it is never taken for a public client.
    pub(super) fn get(&self, id: &str) -> Option<DeclaredClient> {
        let config = self.config.borrow();
        let client = config.auth.clients.get(id)?;
        let proof = match &client.secret {
            Some(_) => DeclaredProof::Secret(self.credentials.borrow().secrets.get(id)?.clone()),
            None if client.has_keys() => DeclaredProof::Keys,
            None => DeclaredProof::Public,
        };
        let has_browser = client.may(ClientGrant::AuthorizationCode);
        let redirect_uris = client.redirect_uris.iter().filter(|_| has_browser);
        Some(DeclaredClient {
            name: client.name.clone(),
            redirect_uris: redirect_uris.map(|uri| uri.as_str().to_owned()).collect(),
            proof,
        })
    }

    /// True if a client gets tokens in this way.
    pub(in crate::auth) fn may(&self, id: &str, grant: ClientGrant) -> bool {
        self.config.borrow().auth.clients.get(id).is_some_and(|client| client.may(grant))
    }

    /// Verifies that an assertion is the client's (`private_key_jwt`, RFC 7523 §3): signed with its key, issued by and
    /// about it, short-lived, and for this server alone, whose issuer is the one `aud`. A list may name others, to whom
    /// the same assertion could be sent.
    ///
    /// # Errors
    /// [`DocumentError`]; temporary if the keys cannot be had.
    pub(in crate::auth) async fn verify_assertion(
        &self,
        id: &str,
        assertion: &str,
        audience: &str,
    ) -> Result<Assertion, DocumentError> {
        let source = {
            let config = self.config.borrow();
            let place = config.auth.clients.get(id).and_then(key_place).ok_or(DocumentError::NoKeys)?;
            self.sources.get(place).map_err(DocumentError::Token)?
        };
        let rules = Rules {
            algorithms: ALGORITHMS.to_vec(),
            issuer: Issuer::Is(id.to_owned()),
            audience: Audience::OneOf(vec![audience.to_owned()]),
            types: document::ASSERTION_TYPES,
            leeway: document::LEEWAY,
            max_bytes: document::ASSERTION_BYTES_MAX,
        };
        let claims: Map<String, Value> = source.verify(assertion, &rules).await.map_err(DocumentError::Token)?;
        if claims.get("aud").and_then(Value::as_str) != Some(audience) {
            return Err(DocumentError::Assertion("`aud` is not this server's issuer as one string"));
        }
        let claims: AssertionClaims = serde_json::from_value(Value::Object(claims))
            .map_err(|error| DocumentError::Token(JwtError::Claims(error.to_string())))?;
        document::accept(claims, id)
    }
}

/// The place of a client's keys.
pub(in crate::auth) fn key_place(client: &Client) -> Option<KeyPlace<'_>> {
    let pem = client.public_key.as_deref().map(At::Pem);
    let set = || client.jwks.as_ref().map(|set| At::Set(set.as_str()));
    let url = || client.jwks_uri.as_ref().map(|url| At::Url(url.as_str()));
    Some(KeyPlace { at: pem.or_else(set).or_else(url)?, ca: None, is_private: client.private })
}
