//! The owners of names, kept over restarts, so that no scan order hands a name to another file.

use std::collections::{BTreeMap, BTreeSet};

use super::versions::{Version, Versions};
use crate::state::StateDir;
use crate::state::record::RecordFile;

const FILE: &str = "names.json";

/// Claims (see `registry::entry::claims`) and the files that hold them.
///
/// A claim belongs to the file that first published it, for as long as that file exists and is not switched off.
#[derive(Debug, Default)]
pub(in crate::plugins) struct Ledger {
    file: RecordFile,
    owners: BTreeMap<String, String>,
    /// What was served last.
    pub(super) versions: Versions,
}

impl Ledger {
    /// Reads the ledger in a state directory; without one, names are remembered until the process ends.
    /// A damaged ledger is an empty one, with a warning: it only decides between files that claim one name.
    pub(in crate::plugins) fn open(state: Option<&StateDir>) -> Self {
        let (file, owners) = RecordFile::open(state, FILE, "tool names are remembered anew");
        Self { file, owners, versions: Versions::open(state) }
    }

    /// The claims of several servers, which [`Ledger::take`] brings.
    pub(super) fn of_shared() -> Self {
        Self::default()
    }

    /// Takes what several servers know in place of what is here.
    pub(super) fn take(&mut self, owners: &BTreeMap<String, String>, versions: &BTreeMap<String, Version>) {
        self.owners = owners.clone();
        self.versions.take(versions);
    }

    /// All claims, with the files that they belong to.
    pub(super) fn owners(&self) -> &BTreeMap<String, String> {
        &self.owners
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
            self.file.write(&self.owners, "tool names not recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
