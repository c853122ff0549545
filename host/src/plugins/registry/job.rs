//! One load: reading one state of one file, and making a plugin of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::LoadId;
use crate::plugins::loading::compile::Allowance;
use crate::plugins::loading::error::LoadError;
use crate::plugins::loading::lists;
use crate::plugins::loading::loader::Loader;
use crate::plugins::plugin::{Digest, Plugin};
use crate::plugins::registry::directory::{self, PluginFile, ReadError, Stamp};
use crate::plugins::sandbox::runtime::Runtime;
use crate::plugins::served::{Served, Terms};
use crate::sanitize;

/// The outcome of a load.
pub(super) struct LoadOutcome {
    pub(super) id: LoadId,
    pub(super) file: String,
    /// The state of the file that was read; none if another look at the same may end otherwise.
    pub(super) stamp: Option<Stamp>,
    pub(super) digest: Option<Digest>,
    pub(super) outcome: Result<Option<Plugin>, String>,
    /// The file may still be growing: see `SETTLE` in [`super`].
    pub(super) is_unsettled: bool,
    pub(super) elapsed: Duration,
}

/// Reading and loading one state of one file.
pub(super) struct LoadJob {
    pub(super) id: LoadId,
    pub(super) found: PluginFile,
    pub(super) name: String,
    /// The terms for the plugin.
    pub(super) terms: Arc<Terms>,
    /// The digest of this file's last load: the same bytes need no second look.
    pub(super) known: Option<Digest>,
    pub(super) is_settled: bool,
}

impl LoadJob {
    /// Reads and loads, on the loader's threads.
    pub(super) async fn run(self, runtime: Arc<Runtime>, loader: Arc<Loader>) -> LoadOutcome {
        let started = Instant::now();
        let Self { id, found, name, terms, known, is_settled } = self;
        let limit = *terms.limits.file;
        let path = found.path.clone();
        let room = loader.room_for(&name, found.stamp.size()).await;
        let reading = path.clone();
        let read = loader
            .threads()
            .run(0, move || directory::read(&reading, limit).map(|(bytes, stamp)| (Digest::of(&bytes), bytes, stamp)))
            .await;
        let mut loaded = LoadOutcome {
            id,
            file: found.file,
            stamp: Some(found.stamp),
            digest: None,
            outcome: Ok(None),
            is_unsettled: !is_settled,
            elapsed: Duration::ZERO,
        };
        let (digest, bytes, stamp) = match read {
            Some(Ok(read)) => read,
            Some(Err(error)) => {
                // What changes under our eyes is not done; looking again is free of charge.
                loaded.is_unsettled |= matches!(error, ReadError::Changed);
                loaded.outcome = Err(error.to_string());
                return loaded;
            }
            None => {
                loaded.outcome = Err("the host failed while it read the file".to_owned());
                return loaded;
            }
        };
        loaded.stamp = Some(stamp);
        loaded.digest = Some(digest);
        if known == Some(digest) {
            return loaded;
        }
        let is_own = directory::is_own(&path, &stamp);
        let made = loader.load(&name, bytes, Allowance::of(&terms.limits)).await;
        drop(room);
        loaded.outcome = match made {
            Ok(plugin) => with_lists(&runtime, Arc::new(plugin), terms).await.map(Some),
            Err(error) => {
                if error.is_passing() {
                    (loaded.stamp, loaded.digest) = (None, None);
                }
                Err(in_words(&error, is_own))
            }
        };
        loaded.elapsed = started.elapsed();
        loaded
    }
}

/// The problem of a file that gives no plugin. Of a link's target nothing is shown, not even its start: it may be a key.
pub(super) fn in_words(error: &LoadError, is_own: bool) -> String {
    match error {
        LoadError::NotWasm(..) if !is_own => "a link to what is not a WebAssembly file".to_owned(),
        // It quotes names of the component.
        error => sanitize::escape(&error.to_string()),
    }
}

/// The plugin with the lists that it gives now.
///
/// # Errors
/// Why it gives none.
pub(super) async fn with_lists(runtime: &Runtime, plugin: Arc<Plugin>, terms: Arc<Terms>) -> Result<Plugin, String> {
    // Those of the file may be under what an older version of it declares.
    let terms = terms.of_needs(&plugin.needs);
    let served = Served::new(plugin, terms);
    let read = lists::read(runtime, &served).await;
    read.map_err(|error| {
        let cause = error.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
        format!("it gives no lists of its tools, prompts or resources: {error}{cause}")
    })
}
