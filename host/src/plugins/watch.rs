//! Noticing that something happened in the plugins directory. What happened is found out by looking.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A file that is open for writing is left alone until it is closed, or has not been written to for so long:
/// a program that was killed never closes.
const ABANDONED_AFTER: Duration = Duration::from_secs(2);

/// Watches the plugins directory, its parent (in which it may be replaced), and where its links lead.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Option<(u64, u64)>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    happened: Notify,
    hints: Mutex<Hints>,
}

/// What the events said about files, by file name. Hints only save time: without them nothing is wrong but later.
#[derive(Default)]
struct Hints {
    being_written: BTreeMap<String, Instant>,
    renamed: BTreeSet<String>,
}

impl Watch {
    /// Starts without watching anything yet. Where the system offers no events, or `use_events` is false,
    /// only the regular looks find changes.
    pub(super) fn new(dir: &Path, use_events: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let sink = Arc::clone(&shared);
        // Events name files by the path that is watched.
        let dir = absolute(dir);
        let watcher = use_events.then(|| {
            notify::recommended_watcher(move |event: notify::Result<Event>| match event {
                Ok(event) => sink.note(&event, &dir),
                Err(_lost) => sink.happened.notify_one(),
            })
        });
        let watcher = watcher.and_then(|watcher| {
            let warn = |error: &notify::Error| {
                tracing::warn!(%error, "no file events; changes are found by the regular looks (`plugins.rescan`)");
            };
            watcher.inspect_err(warn).ok()
        });
        Self { watcher, watched: BTreeMap::new(), shared }
    }

    /// Watches exactly these directories, each anew if another one has taken its place.
    pub(super) fn set(&mut self, dirs: impl IntoIterator<Item = PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, Option<(u64, u64)>> =
            dirs.into_iter().map(|dir| (absolute(&dir), super::directory::identity(&dir))).collect();
        for (dir, identity) in &self.watched {
            if wanted.get(dir) != Some(identity) {
                let _ = watcher.unwatch(dir);
            }
        }
        for (dir, identity) in &wanted {
            if identity.is_none() || self.watched.get(dir) == Some(identity) {
                continue;
            }
            if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) {
                tracing::warn!(dir = %dir.display(), %error, "directory not watched; changes are found by the regular looks (`plugins.rescan`)");
            }
        }
        self.watched = wanted;
    }

    /// Waits until something happened since the last time.
    pub(super) async fn happened(&self) {
        self.shared.happened.notified().await;
    }

    /// How long to leave a file alone because somebody is writing to it; `None` if nobody is.
    pub(super) fn being_written(&self, file: &str) -> Option<Duration> {
        let mut hints = self.shared.hints();
        let left = ABANDONED_AFTER.checked_sub(hints.being_written.get(file)?.elapsed());
        if left.is_none() {
            hints.being_written.remove(file);
        }
        left
    }

    /// Forgets what was said about files that are not there.
    pub(super) fn keep_hints_of(&self, is_there: impl Fn(&str) -> bool) {
        let mut hints = self.shared.hints();
        hints.being_written.retain(|file, _| is_there(file));
        hints.renamed.retain(|file| is_there(file));
    }

    /// Whether the file came by a rename, so that it is whole, since this was last asked.
    pub(super) fn take_renamed(&self, file: &str) -> bool {
        self.shared.hints().renamed.remove(file)
    }
}

impl Shared {
    fn hints(&self) -> std::sync::MutexGuard<'_, Hints> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &Event, dir: &Path) {
        // The parent, and directories that links lead to, may be busy with other things.
        let concerns_us = |path: &PathBuf| path == dir || path.parent() == Some(dir) || file_name(path).is_some();
        if !event.need_rescan() && !event.paths.iter().any(concerns_us) {
            return;
        }
        let files = event.paths.iter().filter_map(|path| file_name(path));
        let mut hints = self.hints();
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                hints.being_written.extend(files.map(|file| (file, Instant::now())));
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                for file in files {
                    hints.being_written.remove(&file);
                }
            }
            EventKind::Modify(ModifyKind::Name(_)) => {
                for file in files {
                    hints.being_written.remove(&file);
                    hints.renamed.insert(file);
                }
            }
            // Somebody reads, us for example.
            EventKind::Access(_) => return,
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => {}
        }
        drop(hints);
        self.happened.notify_one();
    }
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

fn file_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    name.ends_with(".wasm").then(|| name.to_owned())
}
