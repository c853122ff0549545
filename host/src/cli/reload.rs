//! Applying a changed configuration to a running server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::logging::LogLevel;
use crate::config::environment::Environment;
use crate::config::{Config, Invocation};

/// How often the files are looked at: two calls of `stat`. Editors, `ConfigMap` mounts and network file systems replace
/// files in so many ways that looking is simpler than being told, and this is soon enough for a person.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks at the configuration file and `.env` until `stop`, and publishes every new configuration that has no problem.
/// One that has leaves the old one in force and says why in the log.
pub(super) async fn watch(
    invocation: Invocation,
    config: watch::Sender<Arc<Config>>,
    log: LogLevel,
    stop: CancellationToken,
) {
    let files = [invocation.path().to_owned(), invocation.directory().join(".env")];
    let mut seen = files.each_ref().map(|file| stamp(file));
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let now = files.each_ref().map(|file: &PathBuf| stamp(file));
        if now == seen {
            continue;
        }
        seen = now;
        apply(&invocation, &config, &log);
    }
}

fn apply(invocation: &Invocation, config: &watch::Sender<Arc<Config>>, log: &LogLevel) {
    let environment = Environment::read(invocation.directory());
    let loaded = match Config::load(invocation, &environment) {
        Ok(loaded) => loaded,
        Err(error) => {
            for problem in error.to_string().lines() {
                tracing::error!("configuration not reloaded: {problem}");
            }
            return;
        }
    };
    let old = Arc::clone(&config.borrow());
    let mut new = loaded.config;
    let waiting = old.restart_needed(&new);
    if !waiting.is_empty() {
        let keys: Vec<String> = waiting.iter().map(ToString::to_string).collect();
        tracing::warn!("changed keys that need a restart: {}", keys.join(", "));
    }
    // What needs a restart stays as it was, so that the next change is compared with what is in force.
    new = Config { limits: new.limits, plugin: new.plugin, log: new.log, ..(*old).clone() };
    if new == *old {
        return;
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    log.set(&new.log);
    config.send_replace(Arc::new(new));
    tracing::info!("configuration reloaded");
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
