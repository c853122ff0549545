//! What the calls of one plugin share: the threads on which files are read, the descriptors, and the measures of quotas.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::baseline::Baselines;
use super::folder::{Descriptors, Directory, Folder};
use super::places::Hidden;
use super::usage::Usage;
use crate::grants::DirGrant;

/// Threads that the calls of one plugin may block at once. A disk that does not answer keeps them until it does, and must
/// not keep those of others: a runtime has 512.
const THREADS: usize = 8;

/// Files and folders that the calls of one plugin may hold open at once: connections of people need descriptors too.
const DESCRIPTORS: usize = 256;

/// The folders of one plugin.
pub struct PluginFolders {
    plugin: Arc<str>,
    hidden: Arc<Hidden>,
    baselines: Arc<Baselines>,
    threads: Arc<Semaphore>,
    descriptors: Descriptors,
    usages: Mutex<BTreeMap<PathBuf, Arc<Usage>>>,
}

impl PluginFolders {
    pub(super) fn new(plugin: Arc<str>, hidden: Arc<Hidden>, baselines: Arc<Baselines>) -> Self {
        let (threads, descriptors) = (Arc::new(Semaphore::new(THREADS)), Descriptors::new(DESCRIPTORS));
        Self { plugin, hidden, baselines, threads, descriptors, usages: Mutex::default() }
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Runs work that blocks, on one of the plugin's threads. Work that has begun goes on to its end if nobody waits for
    /// it any more, and keeps its thread so long.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(io::Error::other)?;
        let work = move || {
            let _thread = thread;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// Opens a granted folder. Blocks.
    ///
    /// # Errors
    /// The system's, and the reason in words if the folder holds what no plugin sees, or lies in it.
    pub fn open(&self, grant: &DirGrant) -> io::Result<Directory> {
        // It is judged where it is now: a link may have been changed since the start.
        self.hidden.places.judge(&grant.host)?.map_err(|refused| io::Error::other(refused.to_string()))?;
        let quota = grant.quota_bytes.map(|bytes| (self.usage(grant), bytes));
        Folder::open(grant, Arc::clone(&self.hidden), quota, self.descriptors.clone())
    }

    fn usage(&self, grant: &DirGrant) -> Arc<Usage> {
        let mut usages = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Usage::new(Arc::clone(&self.plugin), grant.host.clone(), Arc::clone(&self.baselines)));
        Arc::clone(usages.entry(grant.host.clone()).or_insert_with(new))
    }
}
