//! The size that a folder had when a quota for it was first served. A quota is for what comes on top, also after a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::places::Id;
use crate::state::StateDir;
use crate::state::record::RecordFile;

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
    file: RecordFile,
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
        let (file, folders) = RecordFile::open(state, FILE, "quotas of folders begin with what these hold now");
        Self { file, folders: Mutex::new(folders) }
    }

    /// The size that counts as this plugin's beginning: that of now if the folder is new.
    pub(super) fn of(&self, plugin: &str, folder: &Path, (device, inode): Id, now: Count) -> Count {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{plugin} {}", folder.display());
        if let Some(known) = folders.get(&key).filter(|known| (known.device, known.inode) == (device, inode)) {
            return Count { bytes: known.bytes, files: known.files };
        }
        folders.insert(key, Baseline { device, inode, bytes: now.bytes, files: now.files });
        self.file.write(&*folders, "the size of a folder was not recorded");
        now
    }
}
