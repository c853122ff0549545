//! The last version of each plugin that was served, kept over restarts: whoever replaces a file takes over what was
//! granted to the plugin, and an operator should read of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::grants::needs::{Need, Needs};
use crate::plugins::plugin::Plugin;
use crate::state::{StateDir, StateUse};

const FILE: &str = "versions.json";

/// Plugins that are remembered. Files of more would be another's doing.
const MAX_PLUGINS: usize = 4096;

/// Versions by the name of their plugin.
#[derive(Debug, Default)]
pub(in crate::plugins) struct Versions {
    /// Its place on disk; none to remember versions until the process ends.
    path: Option<PathBuf>,
    versions: BTreeMap<String, Version>,
    is_written: bool,
}

/// The record of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    /// BLAKE3 of the file, in hex.
    digest: String,
    /// What it declares; none for nothing at all.
    needs: Option<Vec<String>>,
    /// What it may have that the version before it could not, in words.
    widened: Option<String>,
}

/// What is different in a version from the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The digest of the version before.
    pub(super) before: String,
    /// What this one may have that the other could not, as far as declarations go.
    pub(super) widened: Option<String>,
}

impl Versions {
    /// Reads the record in a state directory. A damaged one is an empty one, with a warning.
    pub(super) fn open(state: Option<&StateDir>) -> Self {
        let path = state.map(|state| state.path().join(FILE));
        let text = path.as_deref().and_then(|path| fs::read_to_string(path).ok());
        let path = path.filter(|_| state.is_some_and(|state| state.access() == StateUse::Own));
        let versions = text.map(|text| serde_json::from_str(&text)).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "`{FILE}` in the state directory is damaged; versions of plugins are remembered anew");
            None
        });
        Self { path, versions: versions.unwrap_or_default(), is_written: true }
    }

    /// Records the version that is served now, and tells if there was another one before.
    pub(super) fn serve(&mut self, plugin: &Plugin) -> Option<Change> {
        let digest = plugin.digest.to_string();
        let before = self.versions.get(&*plugin.name);
        if before.is_some_and(|before| before.digest == digest) {
            return None;
        }
        let change = before.map(|before| {
            let old = before.needs();
            let widening = plugin.needs.beyond(&old);
            let widened = (!widening.is_none()).then(|| widening.to_string());
            Change { before: before.digest.clone(), widened }
        });
        let needs = plugin.needs.are_declared().then(|| plugin.needs.iter().map(Need::to_string).collect());
        let version = Version { digest, needs, widened: change.as_ref().and_then(|change| change.widened.clone()) };
        if self.versions.len() < MAX_PLUGINS || before.is_some() {
            self.versions.insert(plugin.name.to_string(), version);
            self.is_written = false;
        }
        change
    }

    /// What the version that is served may have that the one before it could not.
    pub(super) fn widened(&self, plugin: &str) -> Option<&str> {
        self.versions.get(plugin)?.widened.as_deref()
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self) {
        if std::mem::replace(&mut self.is_written, true) {
            return;
        }
        let Some(path) = &self.path else { return };
        let text = serde_json::to_string_pretty(&self.versions).expect("digests and needs are strings");
        if let Err(error) = atomic_file::replace_private(path, text.as_bytes()) {
            tracing::warn!(%error, "versions of plugins not recorded in the state directory");
        }
    }
}

impl Version {
    fn needs(&self) -> Needs {
        match &self.needs {
            Some(needs) => Needs::read(needs.iter().map(String::as_str)).0.with_unreadable(),
            None => Needs::default(),
        }
    }
}
