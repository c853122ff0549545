//! Folders of this machine that plugins were granted: opened, kept within, and measured. Nothing here knows of WebAssembly.
//!
//! - `places`: what no plugin sees, by device and inode.
//! - `plugin`: what the calls of one plugin share: threads, descriptors and measures.
//! - `folder`: a granted folder that is open, and all that is done in it. `file`: an open file in it.
//! - `usage`: the quota, with the sizes that it begins with in `baseline`. `measure`: the size of a folder.
//!
//! Paths are followed by `cap-primitives`, which leaves no folder: by `openat2` where the system has it, and otherwise one
//! component at a time. Everything blocks, and runs on a few threads of each plugin.

mod baseline;
mod file;
mod folder;
mod measure;
pub mod places;
mod plugin;
mod usage;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use self::baseline::Baselines;
pub use self::file::OpenFile;
pub use self::folder::{Directory, Entry, Listing, Node, Opening, Times};
use self::places::{Hidden, Places};
pub use self::plugin::PluginFolders;
use crate::state::StateDir;

/// The folders of all plugins.
#[derive(Clone, Default)]
pub struct Folders {
    hidden: Arc<Hidden>,
    baselines: Arc<Baselines>,
    plugins: Arc<Mutex<BTreeMap<Arc<str>, Arc<PluginFolders>>>>,
}

impl Folders {
    /// Folders that lie apart from these places. Sizes that quotas begin with are kept in the state directory; without
    /// one, until the process ends.
    pub fn new(places: Places, state: Option<&StateDir>) -> Self {
        Self {
            hidden: Arc::new(Hidden::new(places)),
            baselines: Arc::new(Baselines::open(state)),
            plugins: Arc::default(),
        }
    }

    /// Those of one plugin.
    pub fn of(&self, plugin: &Arc<str>) -> Arc<PluginFolders> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let folders = plugins.entry(Arc::clone(plugin)).or_insert_with(|| {
            let (hidden, baselines) = (Arc::clone(&self.hidden), Arc::clone(&self.baselines));
            Arc::new(PluginFolders::new(Arc::clone(plugin), hidden, baselines))
        });
        Arc::clone(folders)
    }
}

impl fmt::Debug for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Folders(..)")
    }
}

#[cfg(test)]
mod tests;
