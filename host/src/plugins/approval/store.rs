//! What was approved, kept over restarts: `approved/` in the state directory.
//!
//! `NAME.json` has one plugin's approval, `SHA256.wasm` the approved bytes, `signed-versions.json` the highest version of
//! each plugin that was signed, `turned-on.json` the places of the configuration that have asked for approval so far.
//! Names of plugins have no `-`, so that none is called like one of these.
//!
//! Several servers of one store keep records there (`registry/sharing.rs`), and only bytes here: nobody gets code from
//! another server.
//!
//! Invariant: it fails closed. What is damaged counts as not approved, and never as not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::face::Face;
use super::sealed_file;
use super::trust::{Highest, Signed};
use crate::atomic_file;
use crate::file_lock::{self, FileLock, Taken};
use crate::plugins::digest::Sha256;
use crate::state::{StateDir, StateUse};
use crate::vault::Vault;

const FOLDER: &str = "approved";
const PURPOSE: &str = "tinymcp 2026 approved plugins";
const LOCK: &str = "lock";
const SIGNED: &str = "signed-versions";
const TURNED_ON: &str = "turned-on";

/// Files that are kept of a plugin beside the one in force: an operator may want one of them back.
const KEPT_BEFORE: usize = 3;

/// Plugins with an approval on record. Each was looked at by a person.
const MAX_PLUGINS: usize = 4096;

/// The place of the configuration that stands for all plugins.
const ALL: &str = "*";

/// One plugin's approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct Approval {
    /// The file.
    pub(in crate::plugins) sha256: Sha256,
    /// Everything that it showed.
    pub(in crate::plugins) face: Face,
    /// Who approved it, or why nobody had to.
    pub(in crate::plugins) by: String,
    /// Seconds since 1970.
    pub(in crate::plugins) at: u64,
    /// Earlier files, the last one first.
    pub(in crate::plugins) before: Vec<Sha256>,
}

impl Approval {
    /// That of a file, in place of another one.
    pub(in crate::plugins) fn after(old: Option<&Self>, sha256: Sha256, face: Face, by: &str) -> Self {
        let before = old.iter().flat_map(|old| std::iter::once(&old.sha256).chain(&old.before));
        let mut before: Vec<Sha256> = before.copied().filter(|old| *old != sha256).collect();
        before.truncate(KEPT_BEFORE);
        Self { sha256, face, by: by.to_owned(), at: crate::clock::now_s(), before }
    }
}

/// A record: what it says, or why it cannot be read.
pub(in crate::plugins) type Record = Result<Arc<Approval>, String>;

/// All records.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::plugins) struct Records {
    /// By plugin.
    pub(in crate::plugins) approvals: BTreeMap<String, Record>,
    /// The highest version of each plugin that was served under a signature.
    pub(in crate::plugins) signed: Result<BTreeMap<String, Signed>, String>,
    /// Places of the configuration that have asked for approval.
    pub(in crate::plugins) turned_on: Result<BTreeSet<String>, String>,
}

impl Default for Records {
    fn default() -> Self {
        Self { approvals: BTreeMap::new(), signed: Ok(BTreeMap::new()), turned_on: Ok(BTreeSet::new()) }
    }
}

/// All approvals.
pub(in crate::plugins) struct Store {
    place: Option<Place>,
    records: BTreeMap<String, Record>,
    signed: Result<BTreeMap<String, Signed>, String>,
    turned_on: Result<BTreeSet<String>, String>,
    /// The folder cannot be read: nothing is known of any plugin.
    damage: Option<String>,
    /// Records are those of several servers, and are not written here.
    is_shared: bool,
}

/// The folder.
struct Place {
    folder: PathBuf,
    vault: Vault,
    may_write: bool,
    /// Of whoever changes approvals: a server, or a command where none is running.
    lock: Option<FileLock>,
}

/// Where approved bytes are kept, for the threads that read files.
#[derive(Debug, Clone)]
pub(in crate::plugins) struct Keeper(PathBuf);

impl Keeper {
    /// The file of approved bytes.
    pub(in crate::plugins) fn file(&self, sha256: &Sha256) -> PathBuf {
        self.0.join(format!("{sha256}.wasm"))
    }

    /// Keeps bytes, and the signature that they came with. They are on the disk when this returns.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::plugins) fn keep(&self, sha256: &Sha256, bytes: &[u8], signature: Option<&str>) -> io::Result<()> {
        let file = self.file(sha256);
        if let Some(signature) = signature {
            atomic_file::replace_durably(&signature_of(&file), signature.as_bytes())?;
        }
        match fs::read(&file) {
            Ok(kept) if kept == bytes => Ok(()),
            _ => atomic_file::replace_durably(&file, bytes),
        }
    }
}

/// The place of a file's signature.
pub(in crate::plugins) fn signature_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

impl Store {
    /// Reads everything. Without a state directory, approvals last until the process ends.
    pub(in crate::plugins) fn open(state: Option<&StateDir>) -> Self {
        let mut store = Self {
            place: None,
            records: BTreeMap::new(),
            signed: Ok(BTreeMap::new()),
            turned_on: Ok(BTreeSet::new()),
            damage: None,
            is_shared: false,
        };
        let Some(state) = state else { return store };
        let (folder, vault) = (state.path().join(FOLDER), Vault::of(state, PURPOSE));
        match names(&folder) {
            Ok(names) => {
                for name in names {
                    let file = record_file(&folder, &name);
                    let damaged = |why: String| format!("`{}`: {why}", file.display());
                    match name.as_str() {
                        SIGNED => store.signed = read(&file, &vault, &name).map_err(damaged),
                        TURNED_ON => store.turned_on = read(&file, &vault, &name).map_err(damaged),
                        _ => {
                            let record: Result<Option<Approval>, String> = sealed_file::read(&file, &vault, &name);
                            if let Some(record) = record.map_err(damaged).transpose() {
                                store.records.insert(name, record.map(Arc::new));
                            }
                        }
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => store.damage = Some(format!("`{}`: {error}", folder.display())),
        }
        store.place = Some(Place { folder, vault, may_write: state.access() == StateUse::Own, lock: None });
        store
    }

    /// The bytes of a state directory, with the records of several servers, which [`Store::take`] brings.
    pub(in crate::plugins) fn of_shared(state: Option<&StateDir>) -> Self {
        let store = Self::open(None);
        let place = state.map(|state| Place {
            folder: state.path().join(FOLDER),
            vault: Vault::of(state, PURPOSE),
            may_write: state.access() == StateUse::Own,
            lock: None,
        });
        Self { place, is_shared: true, ..store }
    }

    /// Takes records in place of those that are here, and tells which plugins have another approval.
    pub(in crate::plugins) fn take(&mut self, records: &Records) -> BTreeSet<String> {
        let Records { approvals, signed, turned_on } = records;
        let before = std::mem::replace(&mut self.records, approvals.clone());
        (self.signed, self.turned_on) = (signed.clone(), turned_on.clone());
        let names = before.keys().chain(approvals.keys());
        names.filter(|name| before.get(*name) != approvals.get(*name)).cloned().collect()
    }

    /// All records, for several servers that begin with them. A damaged approval is left out: what it was of waits.
    ///
    /// # Errors
    /// What else is damaged; in words, for the operator.
    pub(in crate::plugins) fn into_records(self) -> Result<Records, String> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        let approvals = self.records.into_iter().filter(|(_, record)| record.is_ok()).collect();
        Ok(Records { approvals, signed: Ok(self.signed?), turned_on: Ok(self.turned_on?) })
    }

    /// True for a process that may change records.
    pub(in crate::plugins) fn may_write(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.may_write)
    }

    /// Whose approval is asked for, as it is on record.
    pub(in crate::plugins) fn asks_of(&self, asked: &BTreeSet<String>) -> bool {
        self.turned_on.as_ref() == Ok(asked)
    }

    /// The places of the configuration that ask: these plugins, and all others if `of_all`.
    pub(in crate::plugins) fn places(plugins: impl Iterator<Item = String>, of_all: bool) -> BTreeSet<String> {
        plugins.chain(of_all.then(|| ALL.to_owned())).collect()
    }

    /// What was approved of a plugin; none if nothing was.
    ///
    /// # Errors
    /// Nobody can tell; in words, for a sentence.
    pub(in crate::plugins) fn of(&self, plugin: &str) -> Result<Option<&Arc<Approval>>, String> {
        match (&self.damage, self.records.get(plugin)) {
            (Some(damage), _) | (None, Some(Err(damage))) => Err(damage.clone()),
            (None, Some(Ok(approval))) => Ok(Some(approval)),
            (None, None) => Ok(None),
        }
    }

    /// Records an approval, in place of one that was there. It is on the disk when this returns.
    ///
    /// # Errors
    /// It is not on record; in words, for the operator.
    pub(in crate::plugins) fn approve(
        &mut self,
        plugin: &str,
        sha256: Sha256,
        face: Face,
        by: &str,
    ) -> Result<(), String> {
        if !self.records.contains_key(plugin) && self.records.len() >= MAX_PLUGINS {
            return Err(format!("more than {MAX_PLUGINS} plugins were approved already"));
        }
        let old = self.records.get(plugin).and_then(|record| record.as_ref().ok());
        let approval = Approval::after(old.map(Arc::as_ref), sha256, face, by);
        self.write(plugin, &approval)?;
        self.records.insert(plugin.to_owned(), Ok(Arc::new(approval)));
        // The folder can be read, or it could not have been written to: of the others nothing is known even so.
        Ok(())
    }

    /// Forgets what was approved of a plugin of which nothing has to be approved any more.
    pub(in crate::plugins) fn forget(&mut self, plugin: &str) {
        // Another server may ask for approval still.
        if self.is_shared || self.records.remove(plugin).is_none() {
            return;
        }
        let Some(place) = &self.place else { return };
        if place.may_write {
            let _ = fs::remove_file(record_file(&place.folder, plugin));
        }
    }

    /// Where approved bytes are kept; none where nothing is, or another process does it.
    pub(in crate::plugins) fn keeper(&mut self) -> Option<Keeper> {
        self.lock().ok()?;
        self.place.as_ref().filter(|place| place.may_write).map(|place| Keeper(place.folder.clone()))
    }

    /// The approved bytes of a file, if they are there.
    pub(in crate::plugins) fn bytes_of(&self, sha256: &Sha256) -> Option<PathBuf> {
        let file = Keeper(self.place.as_ref()?.folder.clone()).file(sha256);
        file.is_file().then_some(file)
    }

    /// Deletes bytes that no approval names. Nobody may be keeping some meanwhile.
    pub(in crate::plugins) fn sweep(&self) {
        let Some(place) = self.place.as_ref().filter(|place| place.may_write && place.lock.is_some()) else { return };
        // What a damaged record names is not known.
        if self.damage.is_some() || self.records.values().any(Result::is_err) {
            return;
        }
        let named: BTreeSet<String> = self
            .records
            .values()
            .flatten()
            .flat_map(|approval| std::iter::once(&approval.sha256).chain(&approval.before).map(ToString::to_string))
            .collect();
        for entry in fs::read_dir(&place.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let stem = name.strip_suffix(".minisig").unwrap_or(name).strip_suffix(".wasm");
            if stem.is_some_and(|stem| !named.contains(stem)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The highest version of a plugin that was served under a signature.
    pub(in crate::plugins) fn highest(&self, plugin: &str) -> Highest {
        match (&self.damage, &self.signed) {
            (None, Ok(signed)) => Ok(signed.get(plugin).cloned()),
            (Some(damage), _) | (None, Err(damage)) => Err(format!(
                "the versions that were served cannot be read ({damage}): restore them from a backup, or delete them, which lets an older signed file in once"
            )),
        }
    }

    /// Records that a signed file is served.
    ///
    /// # Errors
    /// It is not on record; in words, for the operator.
    pub(in crate::plugins) fn serve_signed(&mut self, plugin: &str, signed: &Signed) -> Result<(), String> {
        let Ok(versions) = &self.signed else { return Err("the versions that were served cannot be read".to_owned()) };
        if versions.get(plugin).is_some_and(|served| served.key == signed.key && served.version == signed.version) {
            return Ok(());
        }
        let mut versions = versions.clone();
        versions.insert(plugin.to_owned(), signed.clone());
        self.write(SIGNED, &versions)?;
        self.signed = Ok(versions);
        Ok(())
    }

    /// True if a plugin's approval was never asked for before, by its own table or for all: what was served last counts
    /// as approved then.
    pub(in crate::plugins) fn is_first_asked(&self, plugin: &str) -> bool {
        let is_new = |turned_on: &BTreeSet<String>| !turned_on.contains(ALL) && !turned_on.contains(plugin);
        self.damage.is_none() && self.turned_on.as_ref().is_ok_and(is_new)
    }

    /// Records whose approval is asked for now ([`Store::places`]).
    pub(in crate::plugins) fn ask_of(&mut self, asked: BTreeSet<String>) {
        if self.asks_of(&asked) {
            return;
        }
        match self.write(TURNED_ON, &asked) {
            Ok(()) => self.turned_on = Ok(asked),
            Err(error) => tracing::warn!("it is not on record that plugins have to be approved: {error}"),
        }
    }

    /// Writes a file, if there is a state directory and this process may change it.
    fn write<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), String> {
        self.lock()?;
        let Some(place) = self.place.as_ref().filter(|place| place.may_write) else { return Ok(()) };
        let file = record_file(&place.folder, name);
        let written = sealed_file::write(&file, &place.vault, name, value);
        written.map_err(|error| format!("`{}` cannot be written: {error}", file.display()))
    }

    /// Takes the lock of whoever changes approvals, and makes the folder.
    ///
    /// # Errors
    /// Another process has it, or the system refuses it; in words, for the operator.
    pub(in crate::plugins) fn lock(&mut self) -> Result<(), String> {
        let Some(place) = self.place.as_mut().filter(|place| place.may_write && place.lock.is_none()) else {
            return Ok(());
        };
        let failed = |error: io::Error| format!("`{}` cannot be used: {error}", place.folder.display());
        let taken = make_private(&place.folder).and_then(|()| file_lock::take(&place.folder.join(LOCK)));
        match taken.map_err(failed)? {
            Taken::Now(lock) => place.lock = Some(lock),
            Taken::Before(pid) => {
                let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
                return Err(format!(
                    "another process{pid} keeps the approvals of this state directory: ask the server that has it"
                ));
            }
        }
        Ok(())
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn record_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// The names of the files of records.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().filter(|name| !name.starts_with('.')).and_then(|name| name.strip_suffix(".json"));
        names.extend(name.map(str::to_owned));
    }
    Ok(names)
}

fn read<T: Default + serde::de::DeserializeOwned>(file: &Path, vault: &Vault, name: &str) -> Result<T, String> {
    sealed_file::read(file, vault, name).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
