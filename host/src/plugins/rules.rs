//! What the operator has written about plugins, as it changes.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;

use crate::config::Config;
use crate::grants::PluginGrants;

/// The configuration and the grants of now. Who changes both sends the grants first.
#[derive(Clone)]
pub struct Rules {
    /// The configuration.
    pub config: watch::Receiver<Arc<Config>>,
    /// The grants of every plugin.
    pub grants: watch::Receiver<Arc<PluginGrants>>,
}

impl Rules {
    /// Rules that change when these are sent.
    pub fn of(config: &watch::Sender<Arc<Config>>, grants: &watch::Sender<Arc<PluginGrants>>) -> Self {
        Self { config: config.subscribe(), grants: grants.subscribe() }
    }

    /// Waits for a change of either.
    ///
    /// # Errors
    /// Nobody changes them any more.
    pub(super) async fn changed(&mut self) -> Result<(), RecvError> {
        tokio::select! {
            changed = self.config.changed() => changed,
            changed = self.grants.changed() => changed,
        }?;
        self.config.mark_unchanged();
        self.grants.mark_unchanged();
        Ok(())
    }
}
