//! Plugins that come from registries: from the configuration and the lock to files that may run.
//!
//! Only the lock decides. The way of one plugin: its entry in the lock (none: it is not served); the file in the cache, hashed
//! again ([`at_hand`]); otherwise it is pulled; its signature is verified, if `trust` asks for one ([`signatures`]); it is compiled
//! ahead, while the version before goes on. Then it is *prepared*, and [`Supply::switch`] puts it *in force*: it hands the file to
//! the registry of plugins, which has nothing left to do that takes time. On a server alone each plugin is switched as soon as it
//! is prepared; servers of one store switch everything at once, and together ([`together`]).
//!
//! A start needs no registry where the cache has everything. What cannot be pulled is tried again, and says why meanwhile.

mod moved;
mod settings;
mod signatures;
mod together;
mod unlocked;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::settings::{client, wanted};
pub(crate) use self::signatures::verify;
use self::signatures::{NO_SIGNER, signed};
use self::unlocked::{Unlocked, locked};
use crate::config::trust::Cosign;
use crate::config::{Config, Egress};
use crate::oci::cache::{Cache, Kept, NotKept};
use crate::oci::client::Client;
use crate::oci::lock::{Lock, Locked};
use crate::plugins::Plugins;
use crate::plugins::sources::{Source, SourceState, Sources};
use crate::replicas::Replicas;

/// The interval between looks at the lock, a call of `stat`.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The interval between looks at the files that are in force: one that is damaged is pulled again.
const HEAL_EVERY: Duration = Duration::from_secs(60);

/// The interval between looks while something goes on that is not locked.
const UNLOCKED_EVERY: Duration = Duration::from_secs(1);

/// Waits between two tries of what could not be pulled.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Plugins that are pulled at once.
const PULLS: usize = 4;

/// What has changed when a file is another one.
type Stamp = Option<([u64; 3], [i64; 4])>;

/// The task that brings the files.
pub(crate) struct Supply {
    config: watch::Receiver<Arc<Config>>,
    egress: Egress,
    /// The directory with Docker's `config.json`.
    docker: Option<PathBuf>,
    cache: Cache,
    sources: watch::Sender<Arc<Sources>>,
    plugins: Plugins,
    /// What was hashed, and the state of the file then.
    hashed: BTreeMap<String, (Locked, Stamp, Kept)>,
    moved: moved::Moved,
    together: together::Together,
    unlocked: Unlocked,
    /// Deletes what is in no lock: of one process for a state directory.
    sweeps: bool,
}

/// What is to be done for one plugin.
struct Order {
    plugin: String,
    from: String,
    locked: Locked,
}

impl Order {
    /// Says what is wanted: the same on every server that wants the same.
    fn line(&self) -> String {
        format!("{} {} {}", self.plugin, self.from, self.locked.manifest)
    }
}

/// A plugin whose file is there, verified and compiled; or why it is not.
struct Prepared {
    order: Order,
    outcome: Result<(Kept, Result<Cosign, String>), Failed>,
}

struct Failed {
    problem: String,
    may_pass: bool,
}

/// The files that are there, without asking any registry: for commands.
pub(crate) fn at_hand(config: &Config) -> Sources {
    let wanted = wanted(config);
    if wanted.is_empty() {
        return Sources::new();
    }
    let cache = Cache::of_state(&config.state.dir);
    let lock = Lock::read(&config.plugins.lock);
    let of = |(plugin, from): (String, String)| {
        let state = match lock.as_ref().map(|lock| locked(lock, &plugin, &from)) {
            // One that cannot be read takes nothing away that is served, as a configuration with mistakes does not either.
            Err(problem) => SourceState::Missing(problem.clone()),
            Ok(Err(reason)) => SourceState::NotLocked(reason),
            Ok(Ok(locked)) => match cache.get(&plugin, locked) {
                Ok(kept) => {
                    let cosign = signed(config, &plugin, locked, &kept).unwrap_or_else(|| Err(NO_SIGNER.to_owned()));
                    SourceState::File { path: kept.path, sha256: kept.sha256, cosign }
                }
                Err(NotKept::Absent) => SourceState::Coming(
                    "it is not pulled yet: a running server pulls it, and so does `tinymcp update`".to_owned(),
                ),
                Err(NotKept::Damaged(why)) => SourceState::Coming(format!(
                    "what was pulled of it is damaged ({why}): a running server pulls it again, and so does `tinymcp update`"
                )),
            },
        };
        (plugin, Source { from, state, note: None })
    };
    wanted.into_iter().map(of).collect()
}

impl Supply {
    pub(crate) fn new(
        config: watch::Receiver<Arc<Config>>,
        (egress, docker): (Egress, Option<PathBuf>),
        state: &Path,
        sources: watch::Sender<Arc<Sources>>,
        plugins: Plugins,
    ) -> Self {
        Self {
            config,
            egress,
            docker,
            cache: Cache::of_state(state),
            sources,
            plugins,
            hashed: BTreeMap::new(),
            moved: moved::Moved::default(),
            together: together::Together::with(Replicas::default()),
            unlocked: Unlocked::default(),
            sweeps: true,
        }
    }

    /// Others of the same store change over together with this one.
    #[must_use]
    pub(crate) fn among(mut self, replicas: Replicas) -> Self {
        self.together = together::Together::with(replicas);
        self
    }

    /// Another process has the same state directory, and sweeps.
    #[must_use]
    pub(crate) fn beside_another(mut self) -> Self {
        self.sweeps = false;
        self
    }

    /// Follows the configuration and the lock until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut retry = RETRY_FIRST;
        loop {
            let config = Arc::clone(&self.config.borrow_and_update());
            let seen = stamp(&config.plugins.lock);
            // Without a plugin that wants it, nobody looks at the lock.
            let is_wanted = !wanted(&config).is_empty();
            let mut changes = self.config.clone();
            let changed = async {
                loop {
                    tokio::select! {
                        changed = changes.changed() => return changed.is_ok(),
                        () = tokio::time::sleep(LOOK_EVERY), if is_wanted => {}
                    }
                    if stamp(&config.plugins.lock) != seen {
                        return true;
                    }
                }
            };
            tokio::pin!(changed);
            let goes_on = tokio::select! {
                () = stop.cancelled() => return,
                goes_on = &mut changed => {
                    // What was being pulled may not be wanted any more.
                    retry = RETRY_FIRST;
                    goes_on
                }
                is_whole = self.bring(&config) => {
                    let wait = match is_whole {
                        _ if self.unlocked.any() => UNLOCKED_EVERY,
                        true => HEAL_EVERY,
                        false => retry,
                    };
                    retry = if is_whole { RETRY_FIRST } else { (retry * 2).min(RETRY_LAST) };
                    let until = Instant::now() + wait;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        goes_on = &mut changed => {
                            retry = RETRY_FIRST;
                            goes_on
                        }
                        () = tokio::time::sleep_until(until) => true,
                    }
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Brings everything that the configuration and the lock want. Returns whether nothing is left to be tried again.
    async fn bring(&mut self, config: &Arc<Config>) -> bool {
        let (path, wanted) = (config.plugins.lock.clone(), wanted(config));
        let patience = config.plugins.update_wait.duration();
        if wanted.is_empty() {
            self.publish(|sources| sources.clear());
            self.together.want(std::iter::empty(), BTreeSet::new(), patience).await;
            self.together.serves().await;
            return true;
        }
        let read = tokio::task::spawn_blocking(move || Lock::read(&path)).await;
        let lock = match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(lock) => lock,
            Err(problem) => {
                // It takes nothing away that is served, as a configuration with mistakes does not either.
                let missing = |from| Source { from, state: SourceState::Missing(problem.clone()), note: None };
                self.publish(|sources| {
                    *sources = wanted.into_iter().map(|(plugin, from)| (plugin, missing(from))).collect();
                });
                self.together.wants_something_unknown().await;
                return true;
            }
        };
        let is_unlocked = |(plugin, from): &&(String, String)| locked(&lock, plugin, from).is_err();
        let unlocked = wanted.iter().filter(is_unlocked).map(|(plugin, _)| plugin.clone()).collect();
        let orders = self.take_orders(&lock, wanted, patience);
        let client = match client(config, &self.egress, self.docker.clone()) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!("no registry can be reached: {error}");
                return true;
            }
        };
        let lines = orders.iter().map(Order::line);
        let mut held_until = self.together.want(lines, unlocked, patience).await;
        let (held, is_whole) = self.prepare_all(&client, config, orders, &mut held_until).await;
        if let Some(until) = held_until {
            if !is_whole {
                // What is at hand is found there at the next try.
                return false;
            }
            self.together.turn(until).await;
            self.switch(held);
        }
        if is_whole {
            // Who asks whether this server is ready wants to find them.
            let sources = Arc::clone(&self.sources.borrow());
            self.plugins.take(&sources).await;
            self.together.serves().await;
        }
        if self.sweeps {
            self.tidy(&client, config, lock, is_whole).await;
        }
        is_whole
    }

    /// Prepares everything, and switches what is not held back. Returns what is held back until the end, and whether nothing is
    /// left to be tried again.
    async fn prepare_all(
        &mut self,
        client: &Client,
        config: &Config,
        orders: Vec<Order>,
        held_until: &mut Option<Instant>,
    ) -> (Vec<Prepared>, bool) {
        let hashed = std::mem::take(&mut self.hashed);
        let (cache, plugins) = (self.cache.clone(), self.plugins.clone());
        let preparing = orders.into_iter().map(|order| {
            let known = hashed.get(&order.plugin).filter(|(locked, ..)| *locked == order.locked).cloned();
            prepare(client, &cache, &plugins, config, order, known)
        });
        let mut preparing = stream::iter(preparing).buffer_unordered(PULLS);
        let (mut held, mut is_whole) = (Vec::new(), true);
        loop {
            let prepared = tokio::select! {
                biased;
                // What is at hand does not wait for what cannot be had.
                () = tokio::time::sleep_until(held_until.unwrap_or_else(Instant::now)), if held_until.is_some() => {
                    self.together.release();
                    *held_until = None;
                    self.switch(std::mem::take(&mut held));
                    continue;
                }
                prepared = preparing.next() => prepared,
            };
            let Some(prepared) = prepared else { return (held, is_whole) };
            is_whole &= !prepared.outcome.as_ref().is_err_and(|failed| failed.may_pass);
            match held_until.is_some() && prepared.outcome.is_ok() {
                true => held.push(prepared),
                // A problem takes nothing away that is served.
                false => self.switch(vec![prepared]),
            }
        }
    }

    /// Deletes what is in no lock, and looks from time to time where tags have moved.
    async fn tidy(&mut self, client: &Client, config: &Config, lock: Lock, is_whole: bool) {
        let (cache, locked) = (self.cache.clone(), lock.clone());
        let sweep = move || cache.sweep(locked.plugins.iter().map(|(name, locked)| (name.as_str(), &locked.manifest)));
        let _ = tokio::task::spawn_blocking(sweep).await;
        if !is_whole {
            return;
        }
        let notes = self.moved.look(client, config, &lock).await.clone();
        self.publish(|sources| {
            for (plugin, source) in sources {
                source.note = notes.get(plugin).cloned();
            }
        });
    }

    /// What is to be done for plugins that are locked. Of the others it is published why not.
    fn take_orders(&mut self, lock: &Lock, wanted: Vec<(String, String)>, patience: Duration) -> Vec<Order> {
        let before = Arc::clone(&self.sources.borrow());
        let mut sources = Sources::clone(&before);
        sources.retain(|plugin, source| wanted.iter().any(|(name, from)| name == plugin && *from == source.from));
        self.unlocked
            .keep(|plugin| wanted.iter().any(|(name, from)| name == plugin && locked(lock, plugin, from).is_err()));
        // On servers of one store the lock may come to this one later than to others.
        let elsewhere_after = match self.together.is_alone() {
            true => unlocked::ELSEWHERE_AFTER,
            false => patience.max(unlocked::ELSEWHERE_AFTER),
        };
        let mut orders = Vec::new();
        for (plugin, from) in wanted {
            match locked(lock, &plugin, &from) {
                Ok(locked) => orders.push(Order { plugin, from, locked: locked.clone() }),
                Err(reason) => {
                    let before = before.get(&plugin).map(|source| &source.state);
                    let state = self.unlocked.state(&plugin, reason, before, (lock, elsewhere_after));
                    sources.insert(plugin, Source { from, state, note: None });
                }
            }
        }
        self.publish(|published| *published = sources);
        orders
    }

    /// Puts what is prepared in force, all of it at once, or says why it is not.
    fn switch(&mut self, prepared: Vec<Prepared>) {
        let mut sources = Sources::clone(&self.sources.borrow());
        for Prepared { order: Order { plugin, from, locked }, outcome } in prepared {
            let state = match outcome {
                Ok((kept, cosign)) => {
                    let file = SourceState::File { path: kept.path.clone(), sha256: kept.sha256.clone(), cosign };
                    self.hashed.insert(plugin.clone(), (locked, stamp(&kept.path), kept));
                    file
                }
                Err(failed) => SourceState::Missing(failed.problem),
            };
            let note = sources.get(&plugin).and_then(|source| source.note.clone());
            sources.insert(plugin, Source { from, state, note });
        }
        self.publish(|published| *published = sources);
    }

    /// Changes what is published, if there is a change.
    fn publish(&self, change: impl FnOnce(&mut Sources)) {
        self.sources.send_if_modified(|published| {
            let mut sources = Sources::clone(published);
            change(&mut sources);
            let is_other = **published != sources;
            *published = Arc::new(sources);
            is_other
        });
    }
}

/// Gets one plugin to where it can be put in force: in the cache, verified and compiled.
async fn prepare(
    client: &Client,
    cache: &Cache,
    plugins: &Plugins,
    config: &Config,
    order: Order,
    known: Option<(Locked, Stamp, Kept)>,
) -> Prepared {
    let unchanged = known.filter(|(_, before, kept)| before.is_some() && stamp(&kept.path) == *before);
    let is_new = unchanged.is_none();
    let kept = match unchanged {
        Some((_, _, kept)) => Ok(kept),
        None => get(client, cache, config, &order).await,
    };
    let mut kept = match kept {
        Ok(kept) => kept,
        Err(failed) => return Prepared { order, outcome: Err(failed) },
    };
    let cosign = verify(client, cache, config, (&order.plugin, &order.locked), &mut kept).await;
    // What is not trusted is not compiled.
    if is_new && !matches!(cosign, Some(Err(_))) {
        let limits = config.limits(&order.plugin);
        if let Err(problem) = plugins.compile_ahead(&order.plugin, &kept.path, &limits).await {
            tracing::debug!(plugin = order.plugin, "plugin `{}` cannot be compiled ahead: {problem}", order.plugin);
        }
    }
    let cosign = cosign.unwrap_or_else(|| Err(NO_SIGNER.to_owned()));
    Prepared { order, outcome: Ok((kept, cosign)) }
}

/// The file of the cache, or of the registry.
async fn get(client: &Client, cache: &Cache, config: &Config, order: &Order) -> Result<Kept, Failed> {
    let Order { plugin, from, locked } = order;
    match look_up(cache, plugin, locked).await {
        Ok(kept) => return Ok(kept),
        Err(NotKept::Absent) => {}
        Err(NotKept::Damaged(why)) => {
            tracing::warn!(plugin, "what was pulled of plugin `{plugin}` is damaged and is pulled again: {why}");
        }
    }
    let limit = config.limits(plugin).file.bytes();
    let pulled = async {
        let resolved = client.resolve_digest(&locked.repository, &locked.manifest).await?;
        cache.pull(client, plugin, &resolved, limit).await
    };
    if let Err(error) = pulled.await {
        let may_pass = error.may_pass();
        let again = if may_pass { "; it is tried again" } else { "" };
        return Err(Failed { problem: format!("it cannot be pulled from `{from}`: {error}{again}"), may_pass });
    }
    tracing::info!(plugin, manifest = %locked.manifest, "plugin `{plugin}` pulled from {from}");
    look_up(cache, plugin, locked).await.map_err(|not_kept| Failed {
        problem: match not_kept {
            NotKept::Damaged(why) => format!("`{from}` is not what the lock says ({why}): `tinymcp update {plugin}`"),
            NotKept::Absent => "what was pulled is gone again; it is tried again".to_owned(),
        },
        may_pass: true,
    })
}

/// Hashes on a thread of its own.
async fn look_up(cache: &Cache, plugin: &str, locked: &Locked) -> Result<Kept, NotKept> {
    let (cache, plugin, locked) = (cache.clone(), plugin.to_owned(), locked.clone());
    let looked = tokio::task::spawn_blocking(move || cache.get(&plugin, &locked)).await;
    looked.unwrap_or(Err(NotKept::Damaged("it cannot be looked at")))
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Some(([metadata.dev(), metadata.ino(), metadata.size()], times))
}
