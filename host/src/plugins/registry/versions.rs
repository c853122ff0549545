//! The last version of each plugin that was served, kept over restarts: whoever replaces a file takes over what was
//! granted to the plugin, and an operator should read of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::grants::needs::{Need, Needs};
use crate::plugins::plugin::Plugin;
use crate::state::StateDir;
use crate::state::record::RecordFile;

const FILE: &str = "versions.json";

/// Plugins that are remembered. Files of more would be another's doing.
const MAX_PLUGINS: usize = 4096;

/// Versions by the name of their plugin.
#[derive(Debug, Default)]
pub(in crate::plugins) struct Versions {
    file: RecordFile,
    versions: BTreeMap<String, Version>,
    is_written: bool,
    /// Plugins whose record has changed since [`Versions::changed`] told of them.
    changed: BTreeSet<String>,
}

/// The record of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::plugins) struct Version {
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
        let (file, versions) = RecordFile::open(state, FILE, "versions of plugins are remembered anew");
        Self { file, versions, is_written: true, changed: BTreeSet::new() }
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
            self.changed.insert(plugin.name.to_string());
            self.is_written = false;
        }
        change
    }

    /// The digest of the version that was served last.
    pub(super) fn last(&self, plugin: &str) -> Option<&str> {
        self.versions.get(plugin).map(|version| version.digest.as_str())
    }

    /// What the version that is served may have that the one before it could not.
    pub(super) fn widened(&self, plugin: &str) -> Option<&str> {
        self.versions.get(plugin)?.widened.as_deref()
    }

    /// The records themselves.
    pub(super) fn all(&self) -> &BTreeMap<String, Version> {
        &self.versions
    }

    /// Takes records of several servers in place of those that are here, but for those that are on their way there.
    pub(super) fn take(&mut self, versions: &BTreeMap<String, Version>) {
        let own = std::mem::replace(&mut self.versions, versions.clone());
        self.versions.extend(own.into_iter().filter(|(name, _)| self.changed.contains(name)));
    }

    /// What has changed since the last time, for several servers.
    pub(super) fn changed(&mut self) -> Vec<(String, Version)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.filter_map(|name| Some((name.clone(), self.versions.get(&name)?.clone()))).collect()
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self) {
        if !std::mem::replace(&mut self.is_written, true) {
            self.file.write(&self.versions, "versions of plugins not recorded");
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
