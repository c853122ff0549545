//! Plugins for a command: loaded once, without anything that outlives it.

use std::path::Path;

use super::Failure;
use crate::config::Config;
use crate::plugins::Plugins;
use crate::state::{Secrets, StateDir};

/// The plugins of the configured directory, when all that load have been loaded.
///
/// The state directory is read if it is there, and never made: a server may be using it.
pub(super) async fn loaded_plugins(config: Config) -> Result<Plugins, Failure> {
    require_directory(&config)?;
    let state = StateDir::open_existing(&config.state.dir, &Secrets::default()).map_err(Failure::start)?;
    Plugins::of_directory(config, state.as_ref()).await.map_err(Failure::start)
}

/// The plugins of one file.
pub(super) fn plugins_of_file(config: &Config, file: &Path) -> Result<Plugins, Failure> {
    let state = StateDir::open_existing(&config.state.dir, &Secrets::default()).map_err(Failure::start)?;
    let failed = |error| Failure::failed(format!("{}: {error}", file.display()));
    Plugins::of_file(config, state.as_ref(), file).map_err(failed)
}

/// The directory must be there at the start; later it may come and go.
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
