//! Clients: registered with us, described by a document of their own, or declared in `tinymcp.toml`.
//!
//! - [`registration`]: `POST /register`. [`id`]: the ids that it gives out, which are the registration itself.
//! - [`document`]: clients whose id is the URL of their metadata.
//! - [`declared`]: clients of `[auth.clients]`.
//! - [`redirect`]: the URIs that any of them may be sent back to.

pub(in crate::auth) mod declared;
pub mod document;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(in crate::auth) mod id;
pub(in crate::auth) mod redirect;
pub(in crate::auth) mod registration;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use self::declared::{DeclaredClient, DeclaredClients, DeclaredProof};
use self::document::{DocumentError, Documents};
use self::id::{ClientAuthMethod, Registration};
use self::redirect::{RedirectKind, Unacceptable};
use super::pages::{self, Applicant};
use super::people::People;
use super::sessions::browser;
use crate::config::Config;
use crate::config::names::UnknownClients;
use crate::config::provider::Secret;
use crate::vault::{self, Vault};

/// The longest id that is looked at.
const ID_BYTES_MAX: usize = 4096;

/// All clients.
pub(super) struct Clients {
    vault: Vault,
    documents: Documents,
    declared: DeclaredClients,
    /// Our own id at the provider, which people paste into their client's configuration.
    own_id_at_provider: Option<String>,
    unknown: UnknownClients,
    people: People,
    /// `auth.redirect_schemes` changes while the server runs.
    config: watch::Receiver<Arc<Config>>,
}

/// A client that is known.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) id: String,
    /// Its name, by its own account.
    pub(super) name: Option<String>,
    standing: ClientKind,
    redirects: Redirects,
    proof: Proof,
    /// The `scope` of its registration (RFC 7591 §2), which counts where a request has none.
    pub(super) scope: Option<String>,
}

/// The source of the facts about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientKind {
    Registered,
    Document,
    Declared,
}

#[derive(Debug, Clone)]
enum Redirects {
    Registered(Vec<String>),
    /// All URIs that could be registered: the client's registration is not known (`unknown_clients = "adopt"`).
    Acceptable,
}

/// The proof by which a client authenticates.
#[derive(Debug, Clone)]
enum Proof {
    /// It has nothing to prove it with (RFC 6749 §2.1, public clients).
    Public,
    /// A secret that is a MAC of its id. It may be sent in either way: real clients send it in another than they
    /// registered.
    Derived,
    /// A secret from the configuration, sent in either way.
    Declared(Secret),
    /// An assertion under its own key (RFC 7523).
    Assertion,
}

/// The credentials of a request at the token endpoint. An empty secret is none.
#[derive(Clone)]
pub(super) enum Credentials<'r> {
    Nothing,
    Secret(&'r str),
    /// An assertion under its own key, which only its document can prove.
    Assertion(&'r str),
}

/// The reason why there is no such client.
#[derive(Debug)]
pub(super) enum UnknownClient {
    /// The id was never given out here, or its key is gone.
    NotRegistered,
    /// The id is ours, at the provider.
    OwnIdAtProvider,
    /// The id is a URL at which no document can be, by this rule.
    Url(&'static str),
    /// The id is a URL without a usable document behind it.
    Document(DocumentError),
}

impl Clients {
    pub(super) fn new(
        vault: Vault,
        documents: Documents,
        declared: DeclaredClients,
        own_id_at_provider: Option<String>,
        unknown: UnknownClients,
        people: People,
        config: watch::Receiver<Arc<Config>>,
    ) -> Self {
        Self { vault, documents, declared, own_id_at_provider, unknown, people, config }
    }

    /// Finds a client by its id, for somebody at an address.
    pub(super) async fn find(&self, id: &str, asker: IpAddr) -> Result<Client, UnknownClient> {
        if id.is_empty() || id.len() > ID_BYTES_MAX || self.people.denies_client(id) {
            return Err(UnknownClient::NotRegistered);
        }
        if let Some(declared) = self.declared.get(id) {
            return Ok(Client::declared(id, declared));
        }
        // Its secret is not there yet, a moment after the configuration has changed.
        if self.is_declared(id) {
            return Err(UnknownClient::NotRegistered);
        }
        if let Some(registration) = Registration::open(&self.vault, id) {
            return Ok(Client::registered(id, registration));
        }
        if self.own_id_at_provider.as_deref() == Some(id) {
            return Err(UnknownClient::OwnIdAtProvider);
        }
        if Documents::is_document_url(id) {
            let document = self.documents.client(id, asker).await.map_err(UnknownClient::Document)?;
            return Ok(Client {
                id: document.client_id,
                name: document.name,
                standing: ClientKind::Document,
                redirects: Redirects::Registered(document.redirect_uris),
                proof: if document.needs_assertion { Proof::Assertion } else { Proof::Public },
                scope: None,
            });
        }
        match self.unknown {
            UnknownClients::Adopt if id.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Client::adopted(id)),
            UnknownClients::Adopt | UnknownClients::Refuse => Err(match Documents::broken_rule(id) {
                Some(rule) => UnknownClient::Url(rule),
                None => UnknownClient::NotRegistered,
            }),
        }
    }

    /// Tells whether credentials prove that they are the client's. A public client has none; a secret of
    /// a client that has none is a mistake of its configuration, and refused.
    pub(super) fn has_proved(&self, client: &Client, shown: &Credentials<'_>) -> bool {
        match (&client.proof, shown) {
            (Proof::Public, Credentials::Nothing) => true,
            (Proof::Derived, Credentials::Secret(secret)) => id::is_secret_of(&self.vault, &client.id, secret),
            (Proof::Declared(expected), Credentials::Secret(secret)) => {
                vault::is_equal(expected.reveal().as_bytes(), secret.as_bytes())
            }
            (Proof::Public | Proof::Derived | Proof::Declared(_) | Proof::Assertion, _) => false,
        }
    }

    pub(super) fn documents(&self) -> &Documents {
        &self.documents
    }

    pub(super) fn declared(&self) -> &DeclaredClients {
        &self.declared
    }

    /// Decides by the current rules whether any client may use a redirect URI.
    pub(super) fn accept(&self, uri: &str) -> Result<RedirectKind, Unacceptable> {
        redirect::accept(uri, &self.config.borrow().auth.redirect_schemes)
    }

    /// Tells whether this client may use a redirect URI.
    pub(super) fn may_send(&self, client: &Client, uri: &str) -> bool {
        let is_its_own = match &client.redirects {
            Redirects::Registered(registered) => redirect::matches(registered, uri),
            Redirects::Acceptable => true,
        };
        is_its_own && self.accept(uri).is_ok()
    }

    /// The name of a client by whoever vouches for it, and its place in words that it cannot choose: the host of its
    /// document, or else the place to which a person was sent back. Nobody is asked for it.
    pub(super) fn called(&self, id: &str, redirect_uri: Option<&str>) -> (Option<String>, Option<String>) {
        let place = redirect_uri.map(pages::place_of);
        if let Some(declared) = self.declared.get(id) {
            let name = declared.name.clone().unwrap_or_else(|| id.to_owned());
            return (Some(name), place);
        }
        if let Some(registration) = Registration::open(&self.vault, id) {
            return (registration.name, place);
        }
        if Documents::is_document_url(id) {
            return (self.documents.known_name(id), Some(pages::host_of(id)));
        }
        (None, place)
    }

    /// The name of a client, as far as its id or the configuration has it: nothing is fetched for it.
    pub(super) fn name_of(&self, id: &str) -> Option<String> {
        match self.declared.get(id) {
            Some(declared) => declared.name.clone(),
            None => registered_name(&self.vault, id),
        }
    }

    /// Tells whether the operator has declared a client. All others describe themselves.
    pub(super) fn is_declared(&self, id: &str) -> bool {
        self.declared.contains(id)
    }
}

/// The name that a client's id carries, or is known by.
pub(super) fn registered_name(vault: &Vault, id: &str) -> Option<String> {
    if id == browser::CLIENT {
        return Some("a browser on this server's own pages".to_owned());
    }
    Registration::open(vault, id).and_then(|registration| registration.name)
}

impl Client {
    fn declared(id: &str, declared: DeclaredClient) -> Self {
        let proof = match declared.proof {
            DeclaredProof::Public => Proof::Public,
            DeclaredProof::Secret(secret) => Proof::Declared(secret),
            DeclaredProof::Keys => Proof::Assertion,
        };
        Self {
            id: id.to_owned(),
            name: Some(declared.name.unwrap_or_else(|| id.to_owned())),
            standing: ClientKind::Declared,
            redirects: Redirects::Registered(declared.redirect_uris),
            proof,
            scope: None,
        }
    }

    fn registered(id: &str, registration: Registration) -> Self {
        let proof = match registration.method {
            ClientAuthMethod::None => Proof::Public,
            ClientAuthMethod::Post | ClientAuthMethod::Basic => Proof::Derived,
        };
        Self {
            id: id.to_owned(),
            name: registration.name,
            standing: ClientKind::Registered,
            redirects: Redirects::Registered(registration.redirect_uris),
            proof,
            scope: registration.scope,
        }
    }

    fn adopted(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: None,
            standing: ClientKind::Registered,
            redirects: Redirects::Acceptable,
            proof: Proof::Public,
            scope: None,
        }
    }

    /// The URIs that it registered.
    pub(super) fn redirect_uris(&self) -> &[String] {
        match &self.redirects {
            Redirects::Registered(registered) => registered,
            Redirects::Acceptable => &[],
        }
    }

    /// The client, as the consent page shows it.
    pub(super) fn asking(&self) -> Applicant {
        match self.standing {
            ClientKind::Registered => Applicant::Registered { name: self.name.clone() },
            ClientKind::Document => Applicant::Document { client_id: self.id.clone(), name: self.name.clone() },
            ClientKind::Declared => Applicant::Declared { name: self.name.clone().unwrap_or_else(|| self.id.clone()) },
        }
    }

    /// A client that registered these.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn for_tests(id: &str, redirect_uris: &[&str]) -> Self {
        Self {
            redirects: Redirects::Registered(redirect_uris.iter().map(|uri| (*uri).to_owned()).collect()),
            ..Self::adopted(id)
        }
    }

    /// Tells whether a document describes the client, and names its keys.
    pub(super) fn is_document(&self) -> bool {
        self.standing == ClientKind::Document
    }

    /// Tells whether the operator has declared the client, with keys.
    pub(super) fn is_declared_with_keys(&self) -> bool {
        self.standing == ClientKind::Declared && matches!(self.proof, Proof::Assertion)
    }

    /// Tells whether the client cannot prove who it is.
    pub(super) fn is_public(&self) -> bool {
        matches!(self.proof, Proof::Public)
    }
}
