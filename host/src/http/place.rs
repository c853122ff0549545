//! The place of a request at the endpoint: `/mcp` itself, or a view of the configuration with what it demands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;

use crate::config::Config;
use crate::config::names::Scope;
use crate::plugins::Plugins;
use crate::principal::{Access, Principal};
use crate::view::View;

/// The time for which a stream goes on when its view has gone: so that who listens is told of the end, as the protocol has
/// it.
const END_GRACE: Duration = Duration::from_secs(1);

/// The place of a request.
pub(super) struct Place {
    pub(super) view: View,
    /// The scopes of which a caller must hold all for any request here.
    scopes: Vec<Scope>,
}

/// What a caller lacks for a view.
pub(super) enum Lack {
    /// Their token lacks scopes. They could get another one with all of these.
    Token(BTreeSet<String>),
    /// They can never hold its scopes.
    Person,
}

impl Place {
    /// The place of a path; none if there is nothing there.
    pub(super) fn of(config: &watch::Receiver<Arc<Config>>, uri: &Uri) -> Option<Self> {
        match View::in_path(uri.path())? {
            None => Some(Self { view: View::default(), scopes: Vec::new() }),
            Some(name) => {
                let config = config.borrow();
                let scopes = config.view.get(name)?.scopes.clone();
                Some(Self { view: View::named(name), scopes })
            }
        }
    }

    /// Every scope that something here needs: a client asks for all of them at one login.
    pub(super) fn needed_scopes(&self, plugins: &Plugins) -> BTreeSet<String> {
        let catalog = plugins.catalog_of(&self.view);
        let of_plugins = catalog.served().flat_map(|served| served.scopes());
        of_plugins.chain(&self.scopes).map(|scope| scope.as_str().to_owned()).collect()
    }

    /// What a caller lacks for any request here, if they lack something.
    pub(super) fn lack(&self, principal: &Principal) -> Option<Lack> {
        match principal.access(&self.scopes) {
            Access::Granted => None,
            Access::Possible => {
                let needed = self.scopes.iter().map(|scope| scope.as_str()).chain(principal.scopes());
                Some(Lack::Token(needed.map(str::to_owned).collect()))
            }
            Access::Never => Some(Lack::Person),
        }
    }

    /// Waits until this view is gone, or demands what the caller does not hold, by the rules of then.
    pub(super) async fn ended(&self, mut config: watch::Receiver<Arc<Config>>, principal: &Principal) {
        let Some(name) = self.view.name() else { return std::future::pending().await };
        let is_over = |config: &Arc<Config>| match config.view.get(name) {
            Some(view) => !principal.holds(&view.scopes),
            None => true,
        };
        let withdrawn = async {
            // Nobody changes a configuration whose sender is gone.
            if config.wait_for(is_over).await.map(drop).is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = withdrawn => {}
            () = principal.turned_away(&self.scopes) => {}
        }
        tokio::time::sleep(END_GRACE).await;
    }
}
