//! Plugins for a command: loaded once, without anything that outlives it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Failure, egress, shared};
use crate::config::{Config, Egress};
use crate::folders::Folders;
use crate::folders::places::Places;
use crate::grants::PluginGrants;
use crate::oci::client::Client;
use crate::plugins::Plugins;
use crate::plugins::registry::likely;
use crate::plugins::services::Services;
use crate::state::{Secrets, StateDir};
use crate::supply;

/// Loads plugins for a command.
pub(super) struct PluginLoader {
    pub(super) config: Config,
    /// What plugins may touch.
    pub(super) grants: PluginGrants,
    /// The way out.
    pub(super) egress: Egress,
    /// What none of them sees.
    pub(super) places: Places,
    /// The secrets of the state directory's root key.
    pub(super) secrets: Secrets,
    /// The user's cache directory.
    pub(super) user_cache: Option<PathBuf>,
    /// The directory with Docker's `config.json`.
    pub(super) docker: Option<PathBuf>,
    /// What plugins find; nothing for commands that call none.
    pub(super) services: Services,
}

impl PluginLoader {
    /// The way to registries.
    pub(super) fn registries(&self) -> Result<Client, Failure> {
        supply::client(&self.config, &self.egress, self.docker.clone()).map_err(Failure::at_start)
    }

    /// Loads the plugins of the configured directory, and waits for all of them.
    pub(super) async fn load_directory(&self) -> Result<Plugins, Failure> {
        self.load(None).await
    }

    /// Loads what has a tool of this name. Others are loaded too if the file that the name speaks of has none: each may take
    /// many seconds to compile.
    pub(super) async fn load_tool(&self, name: &str) -> Result<Plugins, Failure> {
        let likely = likely::files_of_tool(&self.config, name);
        if !likely.is_empty() {
            let plugins = self.load(Some(likely)).await?;
            if plugins.catalog().tool(name).is_some() {
                return Ok(plugins);
            }
        }
        self.load_directory().await
    }

    async fn load(&self, only: Option<BTreeSet<String>>) -> Result<Plugins, Failure> {
        require_directory(&self.config)?;
        let (state, cache) = self.directories()?;
        let services = self.services(state.as_ref());
        let of = (self.config.clone(), self.grants.clone(), supply::at_hand(&self.config));
        let records = match &state {
            Some(state) => shared::records_beside(&self.config, state).await.map_err(Failure::start)?,
            None => None,
        };
        Plugins::of_directory(of, services, state.as_ref(), cache.as_ref(), only, records).await.map_err(Failure::start)
    }

    /// Loads the plugin of one file.
    pub(super) fn load_file(&self, file: &Path) -> Result<Plugins, Failure> {
        let (state, cache) = self.directories()?;
        let services = self.services(state.as_ref());
        let failed = |error| Failure::failed(format!("{}: {error}", file.display()));
        Plugins::of_file((&self.config, &self.grants), services, cache.as_ref(), file).map_err(failed)
    }

    /// The directory of compiled code, for one that loads the same plugins again and again.
    pub(super) fn cache(&self) -> Result<Option<StateDir>, Failure> {
        self.directories().map(|(_, cache)| cache)
    }

    /// What the host provides. A server of the same configuration may be running beside the command.
    fn services(&self, state: Option<&StateDir>) -> Services {
        let egress = egress::start(&self.config, &self.egress, &self.config.server.listen.addresses());
        let folders = Folders::new(self.places.clone(), state);
        Services { folders, egress: Some(egress), ..self.services.clone() }
    }

    /// The state directory, and the directory of compiled code.
    ///
    /// The state directory is read if it exists, and never created, since a server may be using it. If it belongs to this
    /// user, compiled code is kept there too, so that server and commands compile for each other; otherwise in the user's
    /// cache, because code that others have compiled is not run.
    fn directories(&self) -> Result<(Option<StateDir>, Option<StateDir>), Failure> {
        let state = StateDir::open_existing(&self.config.state.dir, &self.secrets).map_err(Failure::start)?;
        let user_cache = || StateDir::open_scratch(&self.user_cache.as_ref()?.join(env!("CARGO_PKG_NAME")));
        let cache = state.clone().filter(StateDir::is_mine).or_else(user_cache);
        Ok((state, cache))
    }
}

/// Refuses to start without a plugins directory. Later it may come and go.
pub(super) fn require_directory(config: &Config) -> Result<(), Failure> {
    let dir = &config.plugins.dir;
    if dir.is_dir() {
        return Ok(());
    }
    let found = if dir.exists() { "is not a directory" } else { "does not exist" };
    Err(Failure::start(format!(
        "plugins directory `{}` {found}: create it, or name another with `plugins.dir`",
        dir.display()
    )))
}
