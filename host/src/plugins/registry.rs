//! The owner of all loaded plugins: looks at the directory, loads files that changed, and publishes catalogs.
//!
//! Invariants: one task owns the entries; everybody else sees the last published [`Catalog`]. A file that does not
//! load, or whose names belong to another, changes nothing but its entry's problem. Loads run beside this task,
//! so that a runtime that compiles for seconds holds up nobody.

mod admission;
mod approving;
mod claims;
pub(super) mod directory;
mod entry;
mod job;
pub(super) mod ledger;
pub mod likely;
mod links;
mod offer;
mod owners;
mod pending_approvals;
mod pending_lists;
mod pending_records;
mod publication;
mod publisher;
mod relisting;
mod resources;
pub mod sharing;
pub(super) mod single_file;
mod supplied;
mod together;
pub mod unknown;
mod vacancies;
mod versions;
pub(super) mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::directory::{PluginFile, Stamp};
use self::entry::{Entry, Load, LoadId, WaitingPart};
use self::job::{LoadJob, LoadOutcome};
use self::ledger::Ledger;
use self::offer::Names;
use self::pending_approvals::Approving;
use self::pending_lists::{Relisting, Step};
use self::pending_records::Sharing;
use self::publisher::Publisher;
use self::watch::Watch;
use super::announcements::Announced;
use super::approval::request::Requests;
use super::approval::store::Store;
use super::catalog::Catalog;
use super::loading::cache::Cache;
use super::loading::loader::Loader;
use super::rules::Rules;
use super::sandbox::runtime::Runtime;
use super::sources::Sources;
use crate::config::Config;

/// Events within so long are looked at together: a copy program makes several for each file.
const GATHER: Duration = Duration::from_millis(15);

/// The same after a rename, which makes one event: for what is moved together with the file, such as its signature.
const GATHER_WHOLE: Duration = Duration::from_millis(3);

/// A file that was written to within this time, and not renamed into place, may be a part of what it will be:
/// one that looks broken, or has lost tools, is looked at again when it has been quiet for so long.
const SETTLE: Duration = Duration::from_secs(1);

/// Time that a change waits for other loads under way, so that many files dropped at once are few changes of the list.
const PUBLISH_WITHIN: Duration = Duration::from_millis(150);

/// Time between two looks while the directory is missing.
const MISSING_RETRY: Duration = Duration::from_millis(500);

/// The task's state: what it knows, and what it waits for.
pub(super) struct Registry {
    runtime: Arc<Runtime>,
    cache: Option<Cache>,
    loader: Arc<Loader>,
    rules: Rules,
    ledger: Ledger,
    approving: Approving,
    sharing: Sharing,
    /// By file name.
    entries: BTreeMap<String, Entry>,
    loads: JoinSet<LoadOutcome>,
    relisting: Relisting,
    /// Lists that plugins announced since the last catalog.
    announced: Announced,
    last_load: LoadId,
    publisher: Publisher<Catalog>,
    /// Set while there is something to publish.
    publish_by: Option<Instant>,
    is_missing: bool,
    /// Time that the first scan waits for files that compile; `None` for as long as it takes.
    patience: Option<Duration>,
    /// The end of that time, set at the first look at the directory.
    ready_by: Option<Instant>,
    /// Every file of the first scan has been loaded or refused.
    is_settled: bool,
    /// Code may have been added to the cache since it was swept.
    is_code_new: bool,
    /// Claims may have become free since the last catalog.
    retry_refused: bool,
    settle: Duration,
    /// The only files that are looked at, for a command that is about these.
    only: Option<BTreeSet<String>>,
    /// The files from elsewhere, at the last look.
    supplied: supplied::Supplied,
}

impl Registry {
    pub(super) fn new(
        runtime: Arc<Runtime>,
        cache: Option<Cache>,
        (ledger, approvals, requests): (Ledger, Store, Requests),
        rules: Rules,
        catalog: channel::Sender<Arc<Catalog>>,
        ready: channel::Sender<bool>,
    ) -> std::io::Result<Self> {
        let loader = Arc::new(Loader::new(Arc::clone(&runtime), cache.clone())?);
        let sharing = Sharing::of(rules.records.clone());
        let patience = Some(rules.config.borrow().plugins.wait.duration());
        Ok(Self {
            runtime,
            cache,
            loader,
            rules,
            ledger,
            approving: Approving::new(approvals, requests),
            sharing,
            entries: BTreeMap::new(),
            loads: JoinSet::new(),
            relisting: Relisting::default(),
            announced: Announced::new(),
            last_load: 0,
            publisher: Publisher::new(catalog, ready),
            publish_by: None,
            is_missing: false,
            patience,
            ready_by: None,
            is_settled: false,
            // That of earlier processes.
            is_code_new: true,
            retry_refused: false,
            settle: SETTLE,
            only: None,
            supplied: supplied::Supplied::default(),
        })
    }

    /// The loader, which compiles for others too.
    pub(super) fn loader(&self) -> Arc<Loader> {
        Arc::clone(&self.loader)
    }

    /// What of the files from elsewhere has been taken: it is served, or refused.
    pub(super) fn taken(&self) -> channel::Receiver<Arc<Sources>> {
        self.supplied.taken()
    }

    /// The registry of a command, which looks once: it takes every file as it is, or only some, and waits for all of them.
    #[must_use]
    pub(super) fn at_once(mut self, only: Option<BTreeSet<String>>) -> Self {
        self.only = only;
        self.settle = Duration::ZERO;
        self.patience = None;
        self
    }

    /// Looks, loads and publishes until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut watch = {
            let config = self.config();
            Watch::new(&config.plugins.dir, config.plugins.poll.is_none())
        };
        let runtime = Arc::clone(&self.runtime);
        let (mut look_at, mut looked_at) = (Instant::now(), Instant::now());
        loop {
            if std::mem::take(&mut self.sharing.look_now) {
                look_at = Instant::now();
            }
            if Instant::now() >= look_at {
                looked_at = Instant::now();
                // A file system that does not answer must not hold up the end either.
                let Some(next) = stop.run_until_cancelled(self.look(&mut watch)).await else { break };
                look_at = Instant::now() + next;
            }
            self.settle_first_scan();
            self.note_taken();
            let is_ready = self.publisher.is_ready();
            // Nobody is told of the parts of the first scan.
            let publish_by = self.publish_by.filter(|_| is_ready);
            let publish_at = publish_by.map(|by| if self.loads.is_empty() { Instant::now() } else { by });
            let ready_by = self.ready_by.filter(|_| !is_ready);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(loaded) = self.loads.join_next() => {
                    if let Ok(loaded) = loaded
                        && let Some(again_in) = self.finish(loaded)
                    {
                        look_at = look_at.min(Instant::now() + again_in);
                    }
                }
                Some(step) = self.relisting.steps.join_next() => {
                    match step {
                        Ok(Step::Due(name)) => self.relist_now(name),
                        Ok(Step::Done(answer)) => self.take_lists(*answer),
                        Err(_) => self.relisting.asked.clear(),
                    }
                }
                () = runtime.announcements.list_announced() => self.list_again(),
                Some(asked) = self.approving.requests.recv() => self.asked(asked),
                Some(Ok(kept)) = self.approving.keeping.join_next() => self.bytes_kept(kept),
                Some(Ok(recorded)) = self.sharing.under_way.join_next() => self.recorded(recorded),
                () = pending_records::news(&mut self.sharing.news) => {
                    self.take_news();
                    self.record_again();
                }
                () = sleep_until(self.sharing.names_at) => self.remember(),
                () = sleep_until(publish_at) => self.publish(),
                () = sleep_until(ready_by) => {}
                () = watch.happened() => {
                    // Many files that are moved one after the other are few looks.
                    let gather = if watch.take_news_of_whole_file() { GATHER_WHOLE } else { GATHER };
                    let since_last = looked_at.elapsed();
                    look_at = look_at.min(Instant::now() + gather.max(GATHER.saturating_sub(since_last)));
                }
                changed = self.rules.changed() => {
                    if changed.is_err() { break }
                    self.configure();
                    look_at = Instant::now();
                }
                () = tokio::time::sleep_until(look_at) => {}
            }
        }
    }

    /// True for a command, which looks once.
    fn looks_once(&self) -> bool {
        self.settle.is_zero()
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.rules.config.borrow())
    }

    /// Looks at the directory once: starts loads for files that changed. Returns the time until the next one.
    async fn look(&mut self, watch: &mut Watch) -> Duration {
        // Where nothing changes, this is the only thing that happens from time to time.
        self.runtime.warm.sweep();
        self.expect_files();
        let config = self.config();
        let plugins = &config.plugins;
        let dir = plugins.dir.clone();
        // Network file systems answer when they like.
        let looked = tokio::task::spawn_blocking(move || {
            let found = directory::look(&dir)?;
            let places = links::places(&dir);
            Ok((found, places))
        });
        let looked: std::io::Result<_> = looked.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let (mut found, places) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                if !self.is_missing {
                    tracing::warn!(dir = %plugins.dir.display(), %error, "plugins directory cannot be read; what is loaded goes on");
                }
                self.is_missing = true;
                return MISSING_RETRY;
            }
        };
        self.is_missing = false;
        let missing = self.take_supplied(&mut found, &config);
        if let Some(only) = &self.only {
            found.retain(|found| only.contains(&found.file));
        }
        if self.ready_by.is_none() {
            self.ready_by = self.patience.and_then(|patience| Instant::now().checked_add(patience));
        }
        let parent = plugins.dir.parent().map(PathBuf::from).filter(|parent| parent.as_os_str() != "");
        let dirs = [plugins.dir.clone(), parent.unwrap_or_else(|| PathBuf::from("."))];
        let is_new_watched = watch.set(dirs, places).await;

        let without_file = missing.iter().map(|missing| missing.file.clone());
        let names: BTreeSet<String> = found.iter().map(|found| found.file.clone()).chain(without_file).collect();
        watch.keep_hints_of(|file| names.contains(file));
        self.remove_all_but(&names);
        let mut next = plugins.poll.unwrap_or(plugins.rescan).duration();
        if is_new_watched {
            // Of what happened there before, nobody has told.
            next = next.min(GATHER);
        }
        for missing in missing {
            self.look_at_missing(missing, &config);
        }
        for found in found {
            if let Some(wait) = self.look_at(&found, watch, &config) {
                next = next.min(wait);
            }
        }
        next
    }

    /// Starts a load if the file has changed. Returns how long to wait when it is still being written.
    fn look_at(&mut self, found: &PluginFile, watch: &Watch, config: &Config) -> Option<Duration> {
        self.require_entry(&found.file, config);
        let entry = self.entries.get_mut(&found.file)?;
        // Only some rules look at signatures.
        let signature = found.signature.filter(|_| entry.policy.asks_for_signature());
        let is_loading = entry.load.as_ref().is_some_and(|load| load.of == (found.stamp, signature));
        let is_known = entry.stamp == Some(found.stamp) && entry.signature == signature;
        if is_loading || entry.is_disabled() || is_known {
            return None;
        }
        // A load of what the file was before comes to nothing.
        entry.load = None;
        let name = match &entry.name {
            Ok(name) => name.clone(),
            Err(error) => {
                (entry.stamp, entry.signature) = (Some(found.stamp), signature);
                entry.fail(error.to_string());
                return None;
            }
        };
        if let Some(wait) = watch.being_written(&found.file) {
            return Some(wait);
        }
        let is_settled = watch.take_renamed(&found.file) || found.stamp.is_quiet_for(self.settle);
        self.last_load += 1;
        let (terms, known) = (Arc::clone(entry.terms()), entry.digest);
        let standing = self.entries.get(&found.file).map(|entry| self.standing(entry)).unwrap_or_default();
        let job = LoadJob { id: self.last_load, found: found.clone(), name, terms, known, standing, is_settled };
        let task = self.loads.spawn(job.run(Arc::clone(&self.runtime), Arc::clone(&self.loader)));
        if let Some(entry) = self.entries.get_mut(&found.file) {
            entry.load = Some(Load { id: self.last_load, of: (found.stamp, signature), task });
        }
        None
    }

    /// Has what has changed published in a moment, together with what changes until then.
    fn publish_soon(&mut self) {
        self.publish_by.get_or_insert_with(|| Instant::now() + PUBLISH_WITHIN);
    }

    /// Sees to it that a file has an entry.
    fn require_entry(&mut self, file: &str, config: &Config) {
        if self.entries.contains_key(file) {
            return;
        }
        let grants = self.rules.grants.borrow();
        let mut entry = Entry::new(file, config, &grants);
        if self.rules.switched_off.borrow().has_plugin(&entry.plugin_name()) {
            entry.set_switched_off(true);
            entry.configure(config, &grants);
        }
        drop(grants);
        self.entries.insert(file.to_owned(), entry);
        self.publish_soon();
    }

    /// The place of a file: in the plugins directory, or elsewhere.
    fn path_of(&self, file: &str) -> PathBuf {
        self.supplied.path_of(file).unwrap_or_else(|| self.config().plugins.dir.join(file))
    }

    /// Has a compiler wait for the next file, unless this looks only once.
    fn expect_files(&self) {
        if !self.settle.is_zero() {
            self.loader.keep_ready();
        }
    }

    fn remove_all_but(&mut self, names: &BTreeSet<String>) {
        let before = self.entries.len();
        self.entries.retain(|file, entry| {
            let stays = names.contains(file);
            if !stays && entry.offer().is_some() {
                tracing::info!(plugin = entry.plugin_name(), "plugin `{}` removed", entry.plugin_name());
            }
            stays
        });
        if self.entries.len() != before {
            self.claims_became_free();
        }
    }

    /// Takes the outcome of a load. Returns the time after which the directory is to be looked at again because of it.
    fn finish(&mut self, loaded: LoadOutcome) -> Option<Duration> {
        let is_kept = |entry: &Entry| entry.kept.as_ref().is_some_and(|load| load.id == loaded.id);
        if self.entries.get(&loaded.file).is_some_and(is_kept) {
            self.finish_kept(loaded);
            return None;
        }
        let LoadOutcome { id, file, stamp, digest, outcome, is_untrusted, is_unsettled, elapsed } = loaded;
        self.expect_files();
        // The file may be gone by now, or switched off.
        let entry =
            self.entries.get_mut(&file).filter(|entry| entry.load.as_ref().is_some_and(|load| load.id == id))?;
        let signature = entry.load.take().and_then(|load| load.of.1);
        self.is_code_new = true;
        let lost_tools =
            matches!((&outcome, entry.offer()), (Ok(Some(new)), Some(old)) if old.has_more_than(&new.plugin));
        if is_unsettled && (outcome.is_err() || lost_tools) {
            // What the file will be in a moment does not matter to what was approved.
            self.serve_kept(&file);
            return Some(self.settle);
        }
        (entry.stamp, entry.signature) = (stamp, signature);
        entry.digest = digest;
        if !matches!(outcome, Ok(None)) {
            // The file that waited is there no more.
            entry
                .waiting
                .take_if(|waiting| waiting.part != WaitingPart::Lists && Some(waiting.plugin.digest) != digest);
        }
        match outcome {
            Ok(None) => entry.clear_problem_if_serving(digest),
            Ok(Some(made)) => self.accept_loaded(&file, made, elapsed),
            Err(problem) if is_untrusted => entry.distrust(problem),
            Err(problem) => {
                // A command looks once.
                let is_tried_again = stamp.is_none() && !self.settle.is_zero();
                entry.fail(if is_tried_again { format!("{problem}; it is tried again") } else { problem });
            }
        }
        self.serve_kept(&file);
        self.publish_soon();
        // Without one the next regular look tries again.
        stamp?;
        // A write while this load was under way has not been looked at until now.
        let path = self.path_of(&file);
        let is_same = Stamp::of_file(&path) == self.entries.get(&file).and_then(|entry| entry.stamp);
        (!is_same).then_some(Duration::ZERO)
    }

    /// Applies changed rules: switches, limits, grants, prefixes, and files that were too large before.
    fn configure(&mut self) {
        let (config, grants) = (self.config(), Arc::clone(&self.rules.grants.borrow()));
        let switched_off = Arc::clone(&self.rules.switched_off.borrow());
        let mut renamed = Vec::new();
        let mut set_anew = Vec::new();
        let mut policies = Vec::new();
        for (file, entry) in &mut self.entries {
            let (settings, granted) = (Arc::clone(&entry.terms().settings), Arc::clone(&entry.terms().grants));
            entry.set_switched_off(switched_off.has_plugin(&entry.plugin_name()));
            policies.push((file.clone(), entry.policy.approve));
            entry.configure(&config, &grants);
            approving::refer_anew(entry);
            if entry.terms().grants != granted {
                entry.tell_grants();
            }
            if entry.terms().settings != settings {
                set_anew.push(file.clone());
            }
            let name = entry.plugin_name();
            let Some(offer) = entry.offer() else { continue };
            let names = Names::of(&offer.plugin, &name, &config);
            if names.as_ref() != Ok(&offer.names) {
                renamed.push((file.clone(), Arc::clone(&offer.plugin)));
            }
        }
        self.apply_policies(&policies);
        for (file, plugin) in renamed {
            // Other names are the operator's own doing: what waits goes on waiting.
            let waiting = self.entries.get_mut(&file).and_then(|entry| entry.waiting.take());
            self.accept(&file, plugin, Duration::ZERO);
            if let Some(entry) = self.entries.get_mut(&file) {
                entry.waiting = waiting;
            }
        }
        for file in set_anew {
            self.relist(&file, BTreeSet::new());
        }
        self.claims_became_free();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
