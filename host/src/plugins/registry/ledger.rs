//! The owners of names, kept over restarts, so that no scan order hands a name to another file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::versions::Versions;
use crate::atomic_file;
use crate::state::{StateDir, StateUse};

const FILE: &str = "names.json";

/// Claims (see `registry::entry::claims`) and the files that hold them.
///
/// A claim belongs to the file that first published it, for as long as that file exists and is not switched off.
#[derive(Debug, Default)]
pub(in crate::plugins) struct Ledger {
    /// Its place on disk; none to remember names until the process ends.
    path: Option<PathBuf>,
    owners: BTreeMap<String, String>,
    /// What was served last.
    pub(super) versions: Versions,
}

impl Ledger {
    /// Reads the ledger in a state directory; without one, names are remembered until the process ends.
    /// A damaged ledger is an empty one, with a warning: it only decides between files that claim one name.
    pub(in crate::plugins) fn open(state: Option<&StateDir>) -> Self {
        let path = state.map(|state| state.path().join(FILE));
        let text = path.as_deref().and_then(|path| fs::read_to_string(path).ok());
        let path = path.filter(|_| state.is_some_and(|state| state.access() == StateUse::Own));
        let owners = text.map(|text| serde_json::from_str(&text)).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "`{FILE}` in the state directory is damaged; tool names are remembered anew");
            None
        });
        Self { path, owners: owners.unwrap_or_default(), versions: Versions::open(state) }
    }

    /// The file that this claim belongs to.
    pub(in crate::plugins) fn owner(&self, claim: &str) -> Option<&str> {
        self.owners.get(claim).map(String::as_str)
    }

    /// Records the claims that each file holds now, and keeps those of files that exist but do not serve.
    pub(in crate::plugins) fn update(&mut self, holding: &BTreeMap<String, Vec<String>>, existing: &BTreeSet<String>) {
        let is_kept = |file: &String| existing.contains(file) && !holding.contains_key(file);
        let mut owners = self.owners.clone();
        owners.retain(|_, file| is_kept(file));
        for (file, claims) in holding {
            owners.extend(claims.iter().map(|claim| (claim.clone(), file.clone())));
        }
        if owners != self.owners {
            self.owners = owners;
            self.write();
        }
    }

    fn write(&self) {
        let Some(path) = &self.path else { return };
        let text = serde_json::to_string_pretty(&self.owners).expect("names are strings");
        if let Err(error) = atomic_file::replace_private(path, text.as_bytes()) {
            tracing::warn!(%error, "tool names not recorded in the state directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Secrets;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        pairs.iter().map(|(claim, file)| ((*file).to_owned(), vec![(*claim).to_owned()])).collect()
    }

    #[test]
    fn a_name_is_kept_while_the_file_exists() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), &Secrets::default()).unwrap();
        let mut ledger = Ledger::open(Some(&state));
        ledger.update(&map(&[("add", "maths")]), &set(&["maths"]));
        let look = StateDir::open_existing(dir.path(), &Secrets::default()).unwrap();
        Ledger::open(look.as_ref()).update(&map(&[]), &set(&[]));
        let mut ledger = Ledger::open(Some(&state));
        ledger.update(&map(&[]), &set(&["maths", "other"]));
        assert_eq!(ledger.owner("add"), Some("maths"));
        ledger.update(&map(&[]), &set(&["other"]));
        assert_eq!(ledger.owner("add"), None);
    }

    #[test]
    fn a_damaged_ledger_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        let state = StateDir::open(dir.path(), &Secrets::default()).unwrap();
        assert_eq!(Ledger::open(Some(&state)).owner("add"), None);
    }
}
