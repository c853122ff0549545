//! What several servers of one store know of plugins together: approvals, signed versions, the versions that were served
//! last, and the owners of names.
//!
//! It is one table of the store, each row sealed for its place. Whoever changes a row tells the others in the same step,
//! and they read the table again, as after each moment in which they may have missed something. What a state directory
//! has is taken over once, by the first server of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::ledger::Ledger;
use super::versions::Version;
use crate::plugins::approval::store::{Approval, Records, Store};
use crate::plugins::approval::trust::Signed;
use crate::records::{LATER, RecordVault, Unread};
use crate::redis::{Kept, Redis};
use crate::replicas::{Hint, News, Replicas, Told};
use crate::state::StateDir;
use crate::vault::Vault;

const TABLE: &str = "plugins";
const PURPOSE: &str = "tinymcp 2026 what servers know of plugins";

/// Tries of a change that others make at the same time.
const TRIES: usize = 32;

/// Time between two tries to read the table again.
const READ_AGAIN: Duration = Duration::from_millis(200);

/// The interval between looks for rows that are sealed under an earlier root key. By then all servers have the new one.
const RESEAL_EVERY: Duration = Duration::from_secs(3600);

/// A row of the table.
#[derive(Debug, Clone)]
pub(super) enum Row {
    /// What was approved of a plugin.
    Approval(String),
    /// Its highest version that was served under a signature.
    Signed(String),
    /// Its version that was served last.
    Version(String),
    /// The places of the configuration that have asked for approval.
    TurnedOn,
    /// The files that names belong to.
    Owners,
    /// There once a state directory was taken over.
    Begun,
}

impl Row {
    fn name(&self) -> String {
        match self {
            Self::Approval(plugin) => format!("approval {plugin}"),
            Self::Signed(plugin) => format!("signed {plugin}"),
            Self::Version(plugin) => format!("version {plugin}"),
            Self::TurnedOn => "turned on".to_owned(),
            Self::Owners => "owners".to_owned(),
            Self::Begun => "begun".to_owned(),
        }
    }

    fn of(name: &str) -> Option<Self> {
        Some(match name.split_once(' ') {
            Some(("approval", plugin)) => Self::Approval(plugin.to_owned()),
            Some(("signed", plugin)) => Self::Signed(plugin.to_owned()),
            Some(("version", plugin)) => Self::Version(plugin.to_owned()),
            _ if name == "turned on" => Self::TurnedOn,
            None if name == "owners" => Self::Owners,
            None if name == "begun" => Self::Begun,
            _ => return None,
        })
    }
}

/// Everything in the table.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) records: Records,
    pub(super) versions: BTreeMap<String, Version>,
    pub(super) owners: BTreeMap<String, String>,
}

/// The way to it. Clones lead to the same.
#[derive(Clone)]
pub struct SharedRecords(Arc<Inner>);

struct Inner {
    redis: Redis,
    vault: RecordVault,
    replicas: OnceLock<Replicas>,
    now: watch::Sender<Arc<Known>>,
    /// One reads at a time, so that nothing older comes after what is newer.
    reading: tokio::sync::Mutex<()>,
}

/// The reason that what servers know of plugins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharingError {
    /// It cannot be read from the store, or written there.
    #[error("what is known of plugins cannot be read from the shared store: {0}")]
    Store(String),
    /// The state directory has something that cannot be taken over.
    #[error(
        "what this state directory knows of plugins cannot be taken into the shared store: {0}: restore it from a backup, or delete it, which lets an older signed file in once"
    )]
    Directory(String),
}

impl SharedRecords {
    /// That of a store. A server takes over what its state directory has, if nobody has done so before.
    ///
    /// # Errors
    /// [`SharingError`].
    pub async fn open(redis: Redis, state: &StateDir, is_server: bool) -> Result<Self, SharingError> {
        let vault = RecordVault::shared(Vault::of(state, PURPOSE), &redis);
        let (now, reading) = (watch::Sender::default(), Default::default());
        let this = Self(Arc::new(Inner { redis, vault, replicas: OnceLock::new(), now, reading }));
        let begun: Option<()> = this.row(&Row::Begun).await.map_err(SharingError::Store)?.1.unwrap_or(Some(()));
        if is_server && begun.is_none() {
            this.take_over(state).await?;
        }
        this.refresh().await.map_err(SharingError::Store)?;
        Ok(this)
    }

    /// Rows that are there stay as they are.
    async fn take_over(&self, state: &StateDir) -> Result<(), SharingError> {
        let records = Store::open(Some(state)).into_records().map_err(SharingError::Directory)?;
        let ledger = Ledger::open(Some(state));
        let keep = async |row: Row, value: Result<Vec<u8>, serde_json::Error>| {
            let value = value.map_err(|error| SharingError::Store(error.to_string()))?;
            let kept = self.keep(&row, &Kept::default(), &value).await;
            kept.map(drop).map_err(SharingError::Store)
        };
        for (plugin, approval) in
            records.approvals.iter().filter_map(|(name, record)| Some((name, record.as_ref().ok()?)))
        {
            keep(Row::Approval(plugin.clone()), serde_json::to_vec(&**approval)).await?;
        }
        for (plugin, signed) in records.signed.iter().flatten() {
            keep(Row::Signed(plugin.clone()), serde_json::to_vec(signed)).await?;
        }
        for (plugin, version) in ledger.versions.all() {
            keep(Row::Version(plugin.clone()), serde_json::to_vec(version)).await?;
        }
        if let Some(turned_on) = records.turned_on.as_ref().ok().filter(|turned_on| !turned_on.is_empty()) {
            keep(Row::TurnedOn, serde_json::to_vec(turned_on)).await?;
        }
        if !ledger.owners().is_empty() {
            keep(Row::Owners, serde_json::to_vec(ledger.owners())).await?;
        }
        keep(Row::Begun, serde_json::to_vec(&())).await
    }

    /// Tells other servers of changes that are made here from now on.
    pub fn tell(&self, replicas: &Replicas) {
        drop(self.0.replicas.set(replicas.clone()));
    }

    /// The other servers; nobody for one that has not joined them.
    pub(super) fn replicas(&self) -> Replicas {
        self.0.replicas.get().cloned().unwrap_or_default()
    }

    /// Follows the changes that other servers make, and tells them of those that are made here.
    pub fn follow(&self, replicas: &Replicas, tracker: &TaskTracker) {
        let Some(news) = replicas.news() else { return };
        self.tell(replicas);
        let (this, left) = (self.clone(), news.left());
        tracker.spawn(async move { left.run_until_cancelled(this.listen(news)).await });
    }

    async fn listen(self, mut news: News) {
        let mut keys = tokio::time::interval(RESEAL_EVERY);
        keys.reset();
        loop {
            tokio::select! {
                heard = news.next() => match heard {
                    Some(Told::Gap | Told::Hint(Hint::Plugins)) => {}
                    Some(Told::Hint(_)) => continue,
                    None => return,
                },
                _ = keys.tick() => {
                    if let Err(error) = self.reseal().await {
                        tracing::warn!("what servers know of plugins is still sealed under an earlier root key: {error}");
                    }
                    continue;
                }
            }
            while let Err(error) = self.refresh().await {
                tracing::warn!(error, "what other servers know of plugins could not be read again yet");
                tokio::time::sleep(READ_AGAIN).await;
            }
        }
    }

    /// What the registry begins with: what is known now, and bytes of this state directory.
    pub(in crate::plugins) fn opened_with(&self, state: Option<&StateDir>) -> (Ledger, Store) {
        let known = self.now();
        let (mut ledger, mut store) = (Ledger::of_shared(), Store::of_shared(state));
        store.take(&known.records);
        ledger.take(&known.owners, &known.versions);
        (ledger, store)
    }

    /// What is known now, as it changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Known>> {
        self.0.now.subscribe()
    }

    /// What is known now.
    pub(super) fn now(&self) -> Arc<Known> {
        Arc::clone(&self.0.now.borrow())
    }

    /// Changes a row, which is there, or not, or cannot be read; none leaves it as it is. What is known then is read
    /// before this returns.
    ///
    /// # Errors
    /// In words, for a sentence: it was not changed, or perhaps it was.
    pub(super) async fn change<T: Serialize + DeserializeOwned>(
        &self,
        row: &Row,
        change: impl Fn(Result<Option<T>, String>) -> Option<T>,
    ) -> Result<(), String> {
        for _ in 0..TRIES {
            let (before, read) = self.row(row).await?;
            let is_done = match change(read) {
                Some(after) => {
                    let after = serde_json::to_vec(&after).map_err(|error| error.to_string())?;
                    self.keep(row, &before, &after).await?
                }
                None => true,
            };
            if is_done {
                return self.refresh().await;
            }
        }
        Err("others change it again and again".to_owned())
    }

    /// Seals all rows anew, under the current root key, so that an earlier one is not needed for them.
    ///
    /// # Errors
    /// In words, for a sentence. Some rows may be as they were.
    async fn reseal(&self) -> Result<(), String> {
        let rows = self.0.redis.kept_rows(TABLE, None).await.map_err(|fault| fault.to_string())?;
        for (name, kept) in rows {
            let (Some(row), Some(sealed)) = (Row::of(&name), &kept.value) else { continue };
            if !self.0.vault.has_current_key_of(sealed)
                && let Ok(plain) = self.0.vault.open(name.as_bytes(), sealed)
            {
                // Whoever changes it at the same time seals it so, too.
                self.keep(&row, &kept, &plain).await?;
            }
        }
        Ok(())
    }

    async fn row<T: DeserializeOwned>(&self, row: &Row) -> Result<(Kept, Result<Option<T>, String>), String> {
        let name = row.name();
        let mut rows = self.0.redis.kept_rows(TABLE, Some(&name)).await.map_err(|fault| fault.to_string())?;
        let kept = rows.remove(&name).unwrap_or_default();
        if let Some(record) = &kept.value
            && self.0.vault.open(name.as_bytes(), record) == Err(Unread::Later)
        {
            // Nobody puts another in the place of what is only not known here.
            return Err(format!("`{name}` in the shared store {LATER}"));
        }
        let read = kept.value.as_deref().map(|sealed| self.opened(&name, sealed)).transpose();
        Ok((kept, read))
    }

    async fn keep(&self, row: &Row, before: &Kept, value: &[u8]) -> Result<bool, String> {
        let name = row.name();
        let sealed = self.0.vault.seal(name.as_bytes(), value);
        let told = self.0.replicas.get().and_then(|replicas| replicas.message(Hint::Plugins));
        let kept = self.0.redis.keep_row((TABLE, &name), before, &sealed, told).await;
        kept.map_err(|fault| fault.to_string())
    }

    async fn refresh(&self) -> Result<(), String> {
        let _turn = self.0.reading.lock().await;
        let rows = self.0.redis.kept_rows(TABLE, None).await.map_err(|fault| fault.to_string())?;
        let mut known = Known::default();
        for (name, kept) in rows {
            if let (Some(row), Some(sealed)) = (Row::of(&name), kept.value) {
                self.put(&mut known, row, &name, &sealed);
            }
        }
        self.0.now.send_replace(Arc::new(known));
        Ok(())
    }

    /// Puts a row where it belongs. What decides about files is never taken for nothing if it cannot be read.
    fn put(&self, known: &mut Known, row: Row, name: &str, sealed: &[u8]) {
        let records = &mut known.records;
        match row {
            Row::Approval(plugin) => {
                let approval = self.opened::<Approval>(name, sealed);
                records.approvals.insert(plugin, approval.map(Arc::new));
            }
            Row::Signed(plugin) => match (self.opened::<Signed>(name, sealed), &mut records.signed) {
                (Ok(signed), Ok(all)) => drop(all.insert(plugin, signed)),
                (Err(damage), Ok(_)) => records.signed = Err(damage),
                (_, Err(_)) => {}
            },
            Row::TurnedOn => records.turned_on = self.opened::<BTreeSet<String>>(name, sealed),
            Row::Version(plugin) => match self.opened(name, sealed) {
                Ok(version) => drop(known.versions.insert(plugin, version)),
                Err(damage) => tracing::warn!("{damage}; this version of the plugin is remembered anew"),
            },
            Row::Owners => match self.opened(name, sealed) {
                Ok(owners) => known.owners = owners,
                Err(damage) => tracing::warn!("{damage}; tool names are remembered anew"),
            },
            Row::Begun => {}
        }
    }

    fn opened<T: DeserializeOwned>(&self, name: &str, sealed: &[u8]) -> Result<T, String> {
        let opened = self.0.vault.open(name.as_bytes(), sealed).map_err(Unread::words);
        let read = opened.and_then(|plain| serde_json::from_slice::<T>(&plain).map_err(|_| LATER));
        read.map_err(|fault| format!("`{name}` in the shared store {fault}"))
    }
}

#[cfg(test)]
mod tests;
