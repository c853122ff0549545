//! Putting login together: from a configuration to an [`Auth`].

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::clients::document::Documents;
use crate::auth::upstream::Upstream;
use crate::auth::upstream::local::Local;
use crate::auth::upstream::remote::Remote;
use crate::auth::{Auth, AuthorizationServer, ServerParts};
use crate::config::provider::{LOCAL, NONE};
use crate::config::{Config, Credentials, Egress, Provider};
use crate::fetch::Strangers;
use crate::plugins::observers::Observers;
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
    pub(super) credentials: watch::Receiver<Arc<Credentials>>,
    pub(super) state: &'a StateDir,
    /// The store of several servers, in place of the one in the state directory.
    pub(super) shared: Option<Store>,
    pub(super) tasks: &'a TaskTracker,
    /// Requests that are finished even if their clients have gone away: the store is closed after them.
    pub(super) in_flight: &'a TaskTracker,
    /// Cancelled when the server begins to stop: the provider is not asked any more.
    pub(super) draining: CancellationToken,
    /// Cancelled when it has stopped: the last requests still need the store.
    pub(super) closed: CancellationToken,
    pub(super) observers: &'a Observers,
}

impl Login<'_> {
    /// Opens the store and begins to get to know the provider, unless nobody has to log in.
    pub(super) fn start(self) -> anyhow::Result<Auth> {
        let Self {
            config,
            switches,
            provider,
            egress,
            credentials,
            state,
            shared,
            tasks,
            in_flight,
            draining,
            closed,
            observers,
        } = self;
        let current = Arc::clone(&config.borrow());
        let base_url = &current.server.base_url;
        if current.auth.provider.as_str() == NONE {
            return Ok(Auth::none());
        }
        // First, since it is refused while another server has it: then nothing else may have begun.
        let store = match shared {
            Some(store) => store,
            None => Store::open(state, tasks, closed)?.counted_in(observers.metrics.clone()),
        };
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
        let parameters = ServerParts {
            credentials,
            egress,
            upstream,
            documents: Documents::new(Strangers::default()),
            state,
            store,
            tasks,
            in_flight,
            config,
            audit: observers.audit.clone(),
            switched_off: switches.subscribe(),
        };
        Ok(Auth::Login(Arc::new(AuthorizationServer::new(parameters))))
    }
}
