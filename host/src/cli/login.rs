//! Putting login together: from a configuration to an [`Auth`].

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::clients::DeclaredClient;
use crate::auth::clients::document::Documents;
use crate::auth::upstream::Upstream;
use crate::auth::upstream::local::Local;
use crate::auth::upstream::remote::Remote;
use crate::auth::{Auth, AuthorizationServer, ServerParts};
use crate::config::provider::{LOCAL, NONE, Secret};
use crate::config::{Config, Egress, Provider};
use crate::fetch::Strangers;
use crate::state::StateDir;
use crate::store::Store;
use crate::switches::Switches;
use crate::vault::Vault;

/// The purpose of the built-in login's key.
const LOCAL_CODES: &str = "tinymcp 2026 built-in login";

/// The parts of login.
pub(super) struct Login<'a> {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) switches: &'a Switches,
    /// The provider that was chosen; none for those that are built in.
    pub(super) provider: Option<Provider>,
    /// The way to the provider.
    pub(super) egress: Egress,
    pub(super) client_secrets: BTreeMap<String, Secret>,
    pub(super) state: &'a StateDir,
    pub(super) tasks: &'a TaskTracker,
    /// Requests that are finished even if their clients have gone away: the store is closed after them.
    pub(super) in_flight: &'a TaskTracker,
    /// Cancelled when the server begins to stop: the provider is not asked any more.
    pub(super) draining: CancellationToken,
    /// Cancelled when it has stopped: the last requests still need the store.
    pub(super) closed: CancellationToken,
}

impl Login<'_> {
    /// Opens the store and begins to get to know the provider, unless nobody has to log in.
    pub(super) fn start(self) -> anyhow::Result<Auth> {
        let Self { config, switches, provider, egress, mut client_secrets, state, tasks, in_flight, draining, closed } =
            self;
        let current = Arc::clone(&config.borrow());
        let base_url = &current.server.base_url;
        if current.auth.provider.as_str() == NONE {
            return Ok(Auth::none());
        }
        // First, since it is refused while another server has it: then nothing else may have begun.
        let store = Store::open(state, tasks, closed)?;
        let upstream = match (current.auth.provider.as_str(), provider) {
            (LOCAL, _) => Upstream::Local(Local::new(base_url, Vault::of(state, LOCAL_CODES))),
            (_, Some(provider)) => {
                tracing::info!(
                    "allow the callback URL {}/auth/callback in the application at {}",
                    base_url.as_str(),
                    provider.display_name(),
                );
                Upstream::Remote(Remote::start(provider, base_url, &egress, Some(state), tasks, draining)?)
            }
            (name, None) => anyhow::bail!("provider `{name}` was not read"),
        };
        let upstream = Arc::new(upstream);
        let declared = |(id, client): (&String, &crate::config::keys::Client)| {
            let redirect_uris = client.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect();
            let declared =
                DeclaredClient { name: client.name.clone(), redirect_uris, secret: client_secrets.remove(id) };
            (id.clone(), declared)
        };
        let clients = current.auth.clients.iter().map(declared).collect();
        let parameters = ServerParts {
            clients,
            upstream,
            documents: Documents::new(Strangers::default()),
            state,
            store,
            tasks,
            in_flight,
            config,
            switched_off: switches.subscribe(),
        };
        Ok(Auth::Login(Arc::new(AuthorizationServer::new(parameters))))
    }
}
