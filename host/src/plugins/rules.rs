//! What the operator has written about plugins, as it changes.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;

use crate::config::Config;
use crate::grants::PluginGrants;
use crate::plugins::registry::sharing::SharedRecords;
use crate::plugins::sources::Sources;
use crate::switches::{SwitchedOff, Switches};

/// The configuration and the grants of now. Who changes both sends the grants first.
#[derive(Clone)]
pub struct Rules {
    /// The configuration.
    pub config: watch::Receiver<Arc<Config>>,
    /// The grants of every plugin.
    pub grants: watch::Receiver<Arc<PluginGrants>>,
    /// The plugins that a command has switched off.
    pub switched_off: watch::Receiver<Arc<SwitchedOff>>,
    /// The files of plugins that come from elsewhere.
    pub sources: watch::Receiver<Arc<Sources>>,
    /// What is known of plugins together with other servers; none for a server alone.
    pub records: Option<SharedRecords>,
}

impl Rules {
    /// Rules that change when these are sent, with nothing switched off.
    pub fn of(config: &watch::Sender<Arc<Config>>, grants: &watch::Sender<Arc<PluginGrants>>) -> Self {
        let switched_off = Switches::default().subscribe();
        let sources = watch::Sender::default().subscribe();
        Self { config: config.subscribe(), grants: grants.subscribe(), switched_off, sources, records: None }
    }

    /// The same rules, with what is switched off.
    #[must_use]
    pub fn with(self, switches: &Switches) -> Self {
        Self { switched_off: switches.subscribe(), ..self }
    }

    /// The same rules, with files from elsewhere.
    #[must_use]
    pub fn with_sources(self, sources: &watch::Sender<Arc<Sources>>) -> Self {
        Self { sources: sources.subscribe(), ..self }
    }

    /// The same rules, with what is known together with other servers.
    #[must_use]
    pub fn with_records(self, records: Option<SharedRecords>) -> Self {
        Self { records, ..self }
    }

    /// Waits for a change of either.
    ///
    /// # Errors
    /// Nobody changes them any more.
    pub(super) async fn changed(&mut self) -> Result<(), RecvError> {
        tokio::select! {
            changed = self.config.changed() => changed,
            changed = self.grants.changed() => changed,
            // Of its sender's end nobody has to know.
            Ok(()) = self.switched_off.changed() => Ok(()),
            Ok(()) = self.sources.changed() => Ok(()),
        }?;
        self.config.mark_unchanged();
        self.grants.mark_unchanged();
        self.switched_off.mark_unchanged();
        self.sources.mark_unchanged();
        Ok(())
    }
}
