//! A strict stand-in for an identity provider, in this process and on loopback.
//!
//! It checks what a real one checks: redirect URIs byte for byte, PKCE, one-use codes, client authentication, scopes. It
//! remembers everything that it was sent, and fails on demand.
//!
//! - [`settings`]: which provider it resembles, and its switches. [`grants`]: codes and tokens, and their rules.
//! - [`endpoints`]: what it answers. [`wire`]: HTTP, and the faults of a network. [`keys`]: what it signs with.

mod endpoints;
pub mod grants;
mod keys;
pub mod settings;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::encoding::{random, unix_seconds};
use grants::Grants;
use settings::{Flavour, Settings, Signature};

/// A fault on the way to an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// This status with a page that nobody expects.
    Status(u16),
    /// 429 with `Retry-After`.
    TooMany,
    /// Status 200, and no JSON.
    Garbage,
    /// Status 200, and 8 MiB of it.
    Huge,
    /// The right answer, late.
    Slow(Duration),
    /// The connection is cut.
    Cut,
}

/// A request as it came, and the status of its answer.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The parameters of query and form.
    pub parameters: Vec<(String, String)>,
    /// Name and value of each header.
    pub headers: Vec<(String, String)>,
    /// The status of the answer.
    pub status: u16,
}

impl RecordedRequest {
    /// A parameter; `None` without it.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// The provider. It is gone when it is dropped.
pub struct Provider {
    /// Scheme, host and port.
    pub url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// The state that its connections share.
struct Shared {
    url: String,
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    grants: Grants,
    faults: Vec<(String, Fault)>,
    is_down: bool,
    held: usize,
    sent: Vec<RecordedRequest>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider {
    /// Starts it on a port of its own.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start(settings: Settings) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let state = State {
            settings,
            grants: Grants::default(),
            faults: Vec::new(),
            is_down: false,
            held: 0,
            sent: Vec::new(),
        };
        let shared = Arc::new(Shared { url: url.clone(), state: Mutex::new(state) });
        let server = tokio::spawn(wire::serve(listener, Arc::clone(&shared)));
        Self { url, shared, server }
    }

    /// Its issuer.
    pub fn issuer(&self) -> String {
        self.shared.state().settings.issuer(&self.url)
    }

    /// Its discovery document's URL.
    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.url)
    }

    /// The provider that it resembles.
    pub fn flavour(&self) -> Flavour {
        self.shared.state().settings.flavour
    }

    /// Changes its settings from the next request on.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.state().settings);
    }

    /// Lets everything at paths that begin so fail, until [`Provider::mend`].
    pub fn fail(&self, path: &str, fault: Fault) {
        self.shared.state().faults.push((path.to_owned(), fault));
    }

    /// Cuts every connection, until [`Provider::mend`].
    pub fn go_down(&self) {
        self.shared.state().is_down = true;
    }

    /// Ends all faults.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        state.faults.clear();
        state.is_down = false;
    }

    /// The number of requests that were answered late, or will be: [`Fault::Slow`].
    pub fn held(&self) -> usize {
        self.shared.state().held
    }

    /// The requests at paths that begin so.
    pub fn sent(&self, path: &str) -> Vec<RecordedRequest> {
        self.shared.state().sent.iter().filter(|sent| sent.path.starts_with(path)).cloned().collect()
    }

    /// The requests at the token endpoint with a grant type.
    pub fn token_calls(&self, grant_type: &str) -> Vec<RecordedRequest> {
        let state = self.shared.state();
        let is_such = |sent: &&RecordedRequest| sent.parameter("grant_type") == Some(grant_type);
        state.sent.iter().filter(is_such).cloned().collect()
    }

    /// Forgets what it was sent, and codes and tokens that are of no more use: for servers that run for hours.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.sent.clear();
        state.grants.forget();
    }

    /// Everything that it was sent, as one text to search.
    pub fn transcript(&self) -> String {
        format!("{:#?}", self.shared.state().sent)
    }

    /// Ends every refresh token, as an administrator does who locks an account.
    pub fn lock_out(&self) {
        self.shared.state().grants.revoke_all();
    }

    /// Every secret that it has given away: codes and tokens.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.state().grants.secrets()
    }

    /// Claims signed in one of the ways, right or wrong, as the tokens of a platform's jobs are.
    pub fn signed(&self, signature: Signature, claims: &Value) -> String {
        keys::sign_as(&self.shared.state().settings, signature, claims)
    }

    /// A logout token of now (OpenID Connect Back-Channel Logout 1.0 §2.4) with these claims beside those that each has;
    /// `null` takes one away.
    pub fn logout_token(&self, signature: Signature, claims: &Value) -> String {
        let settings = &self.shared.state().settings;
        let now = unix_seconds();
        let mut all = json!({
            "iss": settings.issuer(&self.url), "aud": settings.client_id, "iat": now, "exp": now + 120,
            "jti": random("logout"), "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        for (name, value) in claims.as_object().into_iter().flatten() {
            match value {
                Value::Null => drop(all.as_object_mut().expect("it is one").remove(name)),
                value => all[name] = value.clone(),
            }
        }
        keys::sign_as(settings, signature, &all)
    }

    /// The key set as it is published now.
    pub fn key_set(&self) -> Value {
        keys::set(&self.shared.state().settings)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[cfg(test)]
mod tests;
