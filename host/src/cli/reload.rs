//! Applying a changed configuration to a running server.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::logging::LogLevel;
use super::observing::LastRead;
use crate::config::{About, Config, Credentials, Environment, Invocation, Provider, Setup, ValueFiles};
use crate::grants::PluginGrants;
use crate::operator;
use crate::state::{Secrets, StateDir};
use crate::supervisor::Supervisor;
use crate::switches::Switches;

/// The interval between looks at the files, a call of `stat` for each. Editors, `ConfigMap` mounts and network file
/// systems replace files in so many ways that polling is simpler than events, and this is soon enough for a person.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the rest of the server hears of.
pub(super) struct Published {
    pub(super) config: watch::Sender<Arc<Config>>,
    /// With the values of variables, which may change where no key does.
    pub(super) grants: watch::Sender<Arc<PluginGrants>>,
    /// With what files say, which may change where no key does.
    pub(super) about: watch::Sender<Arc<About>>,
    /// The same of declared clients and workloads.
    pub(super) credentials: watch::Sender<Arc<Credentials>>,
    pub(super) keys: Keys,
}

/// What follows a changed `TINYMCP_SECRET`.
pub(super) struct Keys {
    pub(super) state: StateDir,
    pub(super) switches: Switches,
}

/// What a new configuration is compared with.
pub(super) struct Watched {
    /// The provider of the start.
    pub(super) provider: Option<Provider>,
    /// All values that were last read.
    pub(super) last_read: LastRead,
}

/// Watches the configuration file, `.env` and the files that `NAME_FILE` variables name until `stop`, and publishes every
/// new configuration without problems. One with problems is logged, and the old one stays in force. They are read at once,
/// changed or not, when somebody asks for it.
pub(super) async fn watch(
    invocation: Invocation,
    mut value_files: ValueFiles,
    published: Published,
    mut watched: Watched,
    log: LogLevel,
    mut asked: Asked,
    stop: CancellationToken,
) {
    let own = [invocation.path().to_owned(), invocation.directory().join(".env")];
    let mut files: Vec<PathBuf> = own.iter().cloned().chain(value_files.paths().map(Path::to_owned)).collect();
    let mut seen = stamps(&files);
    loop {
        let is_asked = tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => false,
            Ok(()) = asked.reopen.changed() => true,
        };
        let now = stamps(&files);
        if now == seen && !is_asked {
            continue;
        }
        if is_asked {
            asked.supervisor.reloading();
        }
        let before = std::mem::replace(&mut seen, now);
        if let Some(problem) = obstacle(&files, &before, &seen) {
            tracing::error!("configuration not reloaded: {problem}");
            watched.last_read.refused();
            asked.done(is_asked, "the configuration was not reloaded");
            continue;
        }
        let loading = load(invocation.clone(), value_files.clone());
        let Some(Loading { loaded, kept, files: read }) = stop.run_until_cancelled(loading).await else { return };
        value_files = read;
        // As they were before they were read: what changes since is seen at the next look. A file that is new among
        // them was read just now.
        let known: BTreeMap<PathBuf, FileStamp> = files.drain(..).zip(seen.drain(..)).collect();
        files.extend(own.iter().cloned().chain(value_files.paths().map(Path::to_owned)));
        seen.extend(files.iter().map(|file| known.get(file).copied().unwrap_or_else(|| FileStamp::of(file))));
        for line in kept {
            tracing::warn!("{line}");
        }
        match loaded {
            Ok(setup) => {
                apply(setup, &published, &mut watched, &log);
                asked.done(is_asked, "the configuration was read anew");
            }
            Err(problems) => {
                watched.last_read.refused();
                for problem in problems.lines() {
                    tracing::error!("configuration not reloaded: {problem}");
                }
                asked.done(is_asked, "the configuration was not reloaded");
            }
        }
    }
}

/// The wish to read everything anew at once, and who is told when that is done.
pub(super) struct Asked {
    pub(super) reopen: watch::Receiver<()>,
    pub(super) supervisor: Supervisor,
}

impl Asked {
    fn done(&self, is_asked: bool, status: &str) {
        if is_asked {
            self.supervisor.ready(status);
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<FileStamp> {
    files.iter().map(|file| FileStamp::of(file)).collect()
}

/// The reason for which the files are not even read. Only the first two count, which are the server's own: one that a
/// variable names keeps its last value.
fn obstacle(files: &[PathBuf], before: &[FileStamp], now: &[FileStamp]) -> Option<String> {
    let own = files.iter().zip(now).take(2);
    if let Some((file, _)) = own.into_iter().find(|(_, stamp)| **stamp == FileStamp::Other) {
        return Some(format!("`{}` is no regular file", file.display()));
    }
    // Without the file, all that it grants and limits would go back to the defaults: more likely somebody is about to
    // put another one in its place.
    let is_gone = matches!((before[0], now[0]), (FileStamp::File { .. }, FileStamp::Absent));
    is_gone.then(|| format!("`{}` is gone; the last configuration stays in force", files[0].display()))
}

/// Reads on a thread of its own, not on those that serve requests: network file systems may be slow.
async fn load(invocation: Invocation, last: ValueFiles) -> Loading {
    let before = last.clone();
    let load = move || {
        let environment = Environment::read(invocation.directory()).keeping(last);
        let loaded = Config::load(&invocation, &environment).map_err(|error| error.to_string());
        Loading { loaded, kept: environment.kept().collect(), files: environment.value_files() }
    };
    let failed =
        |failed: tokio::task::JoinError| Loading { loaded: Err(failed.to_string()), kept: Vec::new(), files: before };
    tokio::task::spawn_blocking(load).await.unwrap_or_else(failed)
}

/// A configuration that was read, perhaps with problems.
struct Loading {
    loaded: Result<Setup, String>,
    /// Lines for the log on files that keep their last value.
    kept: Vec<String>,
    /// The files that were read for values.
    files: ValueFiles,
}

fn apply(setup: Setup, published: &Published, watched: &mut Watched, log: &LogLevel) {
    reload_keys(&published.keys, &setup.secrets);
    let old = Arc::clone(&published.config.borrow());
    // Keys that need a restart keep their values, so that the next change is compared with the effective ones.
    let (new, waiting) = old.reloaded(setup.config);
    let keys: Vec<String> = waiting.iter().map(ToString::to_string).collect();
    if !waiting.is_empty() {
        tracing::warn!("changed keys that need a restart: {}", keys.join(", "));
    }
    // Also where its variables have changed, and no key.
    if setup.provider != watched.provider && waiting.is_empty() {
        tracing::warn!("the identity provider's settings have changed: they need a restart");
    }
    let is_granted_alike = **published.grants.borrow() == setup.grants;
    let is_said_alike = **published.about.borrow() == setup.about;
    let has_same_credentials = **published.credentials.borrow() == setup.credentials;
    if new == *old && is_granted_alike && has_same_credentials && is_said_alike {
        if !keys.is_empty() {
            watched.last_read.applied(setup.effective, &keys);
        }
        return;
    }
    for warning in &setup.warnings {
        tracing::warn!("{warning}");
    }
    log.set(&new.log);
    if !is_granted_alike {
        published.grants.send_replace(Arc::new(setup.grants));
    }
    if !is_said_alike {
        published.about.send_replace(Arc::new(setup.about));
    }
    // Before the tables: a client without its secret is nobody, and one with another's could be anybody.
    if !has_same_credentials {
        published.credentials.send_replace(Arc::new(setup.credentials));
    }
    published.config.send_replace(Arc::new(new));
    watched.last_read.applied(setup.effective, &keys);
    tracing::info!("configuration reloaded");
}

/// Takes over root keys of variables that have changed.
fn reload_keys(keys: &Keys, secrets: &Secrets) {
    match keys.state.reload_secrets(secrets) {
        Ok(false) => {}
        Ok(true) => {
            tracing::warn!("the root key has changed; those before it still read");
            let (state, switches) = (keys.state.clone(), keys.switches.clone());
            tokio::spawn(async move { operator::reseal(&state, &switches).await });
        }
        Err(error) => tracing::error!("root keys not reloaded: {error}"),
    }
}

/// The state of a file, as far as it can be told without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileStamp {
    Absent,
    /// A regular file, or a link to one.
    File {
        inode: u64,
        bytes: u64,
        modified: Option<SystemTime>,
    },
    /// A pipe, a directory, a device: reading it could take forever.
    Other,
}

impl FileStamp {
    fn of(file: &Path) -> Self {
        match std::fs::metadata(file) {
            Err(_) => Self::Absent,
            Ok(metadata) if metadata.is_file() => {
                Self::File { inode: metadata.ino(), bytes: metadata.len(), modified: metadata.modified().ok() }
            }
            Ok(_) => Self::Other,
        }
    }
}
