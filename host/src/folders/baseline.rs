//! The size that a folder had when a quota for it was first served. A quota is for what comes on top, also after a restart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::places::Id;
use crate::atomic_file;
use crate::state::{StateDir, StateUse};

const FILE: &str = "folders.json";

/// The contents of a folder, all that is below it included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) bytes: u64,
    /// Files, folders and links.
    pub(super) files: u64,
}

/// The sizes of all folders with a quota, and the file that keeps them.
#[derive(Default)]
pub(super) struct Baselines {
    /// None to remember them until the process ends.
    file: Option<PathBuf>,
    folders: Mutex<BTreeMap<String, Baseline>>,
}

/// One folder of one plugin.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Baseline {
    device: u64,
    inode: u64,
    bytes: u64,
    files: u64,
}

impl Baselines {
    /// Reads those of a state directory. Commands beside a server write nothing.
    pub(super) fn open(state: Option<&StateDir>) -> Self {
        let file = state.map(|state| state.path().join(FILE));
        let text = file.as_deref().and_then(|file| fs::read_to_string(file).ok());
        let folders = text.map(|text| serde_json::from_str(&text)).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "`{FILE}` in the state directory is damaged; quotas of folders begin with what these hold now");
            None
        });
        let file = file.filter(|_| state.is_some_and(|state| state.access() == StateUse::Own));
        Self { file, folders: Mutex::new(folders.unwrap_or_default()) }
    }

    /// The size that counts as this plugin's beginning: that of now if the folder is new.
    pub(super) fn of(&self, plugin: &str, folder: &Path, (device, inode): Id, now: Count) -> Count {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{plugin} {}", folder.display());
        if let Some(known) = folders.get(&key).filter(|known| (known.device, known.inode) == (device, inode)) {
            return Count { bytes: known.bytes, files: known.files };
        }
        folders.insert(key, Baseline { device, inode, bytes: now.bytes, files: now.files });
        if let Some(file) = &self.file {
            let text = serde_json::to_string_pretty(&*folders).expect("keys are texts");
            if let Err(error) = atomic_file::replace_private(file, text.as_bytes()) {
                tracing::warn!(%error, "the size of a folder was not recorded in the state directory");
            }
        }
        now
    }
}
