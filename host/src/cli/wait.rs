//! Plugins for a command: loaded once, without anything that outlives it.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::Config;
use crate::plugins::Plugins;
use crate::state::{Secrets, StateDir};

/// What a command knows before it loads plugins.
pub(super) struct Looked {
    pub(super) config: Config,
    /// What the state directory's key is made of.
    pub(super) secrets: Secrets,
    /// Where the user's programs keep what they can make again.
    pub(super) user_cache: Option<PathBuf>,
}

/// The plugins of the configured directory, when all that load have been loaded.
pub(super) async fn loaded_plugins(looked: Looked) -> Result<Plugins, Failure> {
    require_directory(&looked.config)?;
    let (state, cache) = looked.directories()?;
    Plugins::of_directory(looked.config, state.as_ref(), cache.as_ref()).await.map_err(Failure::start)
}

/// The plugins of one file.
pub(super) fn plugins_of_file(looked: &Looked, file: &Path) -> Result<Plugins, Failure> {
    let (_, cache) = looked.directories()?;
    let failed = |error| Failure::failed(format!("{}: {error}", file.display()));
    Plugins::of_file(&looked.config, cache.as_ref(), file).map_err(failed)
}

impl Looked {
    /// The state directory, which is read if it is there and never made, since a server may be using it; and the one for
    /// compiled code. That is the same if it is this user's, so that server and commands compile for each other, and
    /// the user's own cache otherwise: what others have compiled is not run.
    fn directories(&self) -> Result<(Option<StateDir>, Option<StateDir>), Failure> {
        let state = StateDir::open_existing(&self.config.state.dir, &self.secrets).map_err(Failure::start)?;
        let user_cache = || StateDir::open_scratch(&self.user_cache.as_ref()?.join(env!("CARGO_PKG_NAME")));
        let cache = state.clone().filter(StateDir::is_mine).or_else(user_cache);
        Ok((state, cache))
    }
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
