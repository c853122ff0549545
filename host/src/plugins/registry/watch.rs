//! The watcher of the plugins directory: it notices that something happened, and a look finds out the rest.
//!
//! The watcher answers when it has dealt with all events before. It is asked on a thread of its own, so that one that is
//! stuck holds up neither calls nor the end of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, oneshot};

use super::directory::identity;
use crate::descriptors;

/// A file that is open for writing is left alone until it is closed, or has not been written to for so long:
/// a program that was killed never closes.
const ABANDONED_AFTER: Duration = Duration::from_secs(2);

/// Directories and which they are; none where there is none.
type WatchedDirectories = BTreeMap<PathBuf, Option<(u64, u64)>>;

/// Watches the plugins directory, its parent (in which it may be replaced), and where its links lead.
pub(in crate::plugins) struct Watch {
    changes: Option<mpsc::Sender<WatchOrder>>,
    watched: WatchedDirectories,
    shared: Arc<Shared>,
}

/// Directories to watch from now on, and no more.
struct WatchOrder {
    gone: Vec<PathBuf>,
    new: Vec<PathBuf>,
    /// Takes whether there was a new one that can be watched.
    done: oneshot::Sender<bool>,
}

/// Makes changes until nobody asks for them any more.
fn make_changes(mut watcher: RecommendedWatcher, changes: &mpsc::Receiver<WatchOrder>) {
    while let Ok(WatchOrder { gone, new, done }) = changes.recv() {
        for dir in gone {
            let _ = watcher.unwatch(&dir);
        }
        let mut is_any_new = false;
        for dir in new {
            match watcher.watch(&dir, RecursiveMode::NonRecursive) {
                Ok(()) => is_any_new = true,
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), %error, "directory not watched; changes are found by the regular looks (`plugins.rescan`){}", cure(&error));
                }
            }
        }
        let _ = done.send(is_any_new);
    }
}

#[derive(Default)]
struct Shared {
    happened: Notify,
    hints: Mutex<Hints>,
}

/// News from the events about files, by file name. Hints only save time: without them nothing is wrong but later.
#[derive(Default)]
struct Hints {
    being_written: BTreeMap<String, Instant>,
    renamed: BTreeSet<String>,
    /// One was renamed into place since this was last asked.
    is_new_whole: bool,
    /// Places beside the plugins directory in which a change matters.
    places: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts without watching anything yet. Where the system offers no events, or `use_events` is false,
    /// only the regular looks find changes.
    pub(in crate::plugins) fn new(dir: &Path, use_events: bool) -> Self {
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
                tracing::warn!(%error, "no file events; changes are found by the regular looks (`plugins.rescan`){}", cure(error));
            };
            watcher.inspect_err(warn).ok()
        });
        let changes = watcher.and_then(|watcher| {
            let (sender, changes) = mpsc::channel();
            let thread = thread::Builder::new().name("watch".to_owned());
            let started = thread.spawn(move || make_changes(watcher, &changes));
            let warn = |error: &std::io::Error| {
                tracing::warn!(%error, "no thread for file events; changes are found by the regular looks (`plugins.rescan`)");
            };
            started.inspect_err(warn).ok().map(|_| sender)
        });
        Self { changes, watched: BTreeMap::new(), shared }
    }

    /// Watches exactly these directories, and those of the places, each anew if another one has taken its place. Returns
    /// whether any was not watched before.
    pub(in crate::plugins) async fn set(
        &mut self,
        dirs: impl IntoIterator<Item = PathBuf>,
        places: impl IntoIterator<Item = PathBuf>,
    ) -> bool {
        let Some(changes) = &self.changes else { return false };
        let mut wanted = WatchedDirectories::new();
        // The system watches a directory under one name at a time, and names it so in its events.
        let mut named: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
        for dir in dirs {
            let (dir, identity) = (absolute(&dir), identity(&dir));
            let Some(known) = identity else {
                wanted.insert(dir, None);
                continue;
            };
            let name = named.entry(known).or_insert(dir);
            wanted.insert(name.clone(), identity);
        }
        let mut watched_places = BTreeSet::new();
        for place in places {
            let (Some(dir), Some(name)) = (place.parent(), place.file_name()) else { continue };
            let Some(known) = identity(dir) else { continue };
            let dir = named.entry(known).or_insert_with(|| dir.to_owned());
            watched_places.insert(dir.join(name));
            wanted.insert(dir.clone(), Some(known));
        }
        self.shared.hints().places = watched_places;
        let only_in = |these: &WatchedDirectories, those: &WatchedDirectories| -> Vec<PathBuf> {
            these.iter().filter(|(dir, id)| those.get(*dir) != Some(*id)).map(|(dir, _)| dir.clone()).collect()
        };
        let gone = only_in(&self.watched, &wanted);
        let mut new = only_in(&wanted, &self.watched);
        new.retain(|dir| wanted.get(dir).is_some_and(Option::is_some));
        self.watched = wanted;
        if gone.is_empty() && new.is_empty() {
            return false;
        }
        let (done, is_any_new) = oneshot::channel();
        // Where the thread has ended, there are no events either.
        let _ = changes.send(WatchOrder { gone, new, done });
        is_any_new.await.unwrap_or_default()
    }

    /// Waits until something happened since the last time.
    pub(in crate::plugins) async fn happened(&self) {
        self.shared.happened.notified().await;
    }

    /// True if a file came by a rename since this was last asked: there is nothing more to come of it.
    pub(in crate::plugins) fn take_news_of_whole_file(&self) -> bool {
        std::mem::take(&mut self.shared.hints().is_new_whole)
    }

    /// The time to leave a file alone because somebody is writing to it; `None` if nobody is.
    pub(in crate::plugins) fn being_written(&self, file: &str) -> Option<Duration> {
        let mut hints = self.shared.hints();
        let left = ABANDONED_AFTER.checked_sub(hints.being_written.get(file)?.elapsed());
        if left.is_none() {
            hints.being_written.remove(file);
        }
        left
    }

    /// Forgets the hints about files that are not there.
    pub(in crate::plugins) fn keep_hints_of(&self, is_there: impl Fn(&str) -> bool) {
        let mut hints = self.shared.hints();
        hints.being_written.retain(|file, _| is_there(file));
        hints.renamed.retain(|file| is_there(file));
    }

    /// True if the file came by a rename, so that it is whole, since this was last asked.
    pub(in crate::plugins) fn take_renamed(&self, file: &str) -> bool {
        self.shared.hints().renamed.remove(file)
    }
}

impl Shared {
    fn hints(&self) -> std::sync::MutexGuard<'_, Hints> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &Event, dir: &Path) {
        // The parent, and directories that links lead to, may be busy with other things.
        let mut hints = self.hints();
        let is_in_dir = |path: &PathBuf| path == dir || path.parent() == Some(dir) || file_name(path).is_some();
        let concerns_us = |path: &PathBuf| is_in_dir(path) || hints.places.contains(path);
        if !event.need_rescan() && !event.paths.iter().any(concerns_us) {
            return;
        }
        let files = event.paths.iter().filter_map(|path| file_name(path));
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                hints.being_written.extend(files.map(|file| (file, Instant::now())));
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                for file in files {
                    hints.being_written.remove(&file);
                }
            }
            EventKind::Modify(ModifyKind::Name(mode)) => {
                let mut is_any = false;
                for file in files {
                    is_any = true;
                    hints.being_written.remove(&file);
                    hints.renamed.insert(file);
                }
                hints.is_new_whole |= is_any && matches!(mode, RenameMode::To | RenameMode::Both);
            }
            // Somebody reads, us for example.
            EventKind::Access(_) => return,
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => {}
        }
        drop(hints);
        self.happened.notify_one();
    }
}

/// The cure when the system watches no more, as the end of a sentence; empty where nothing is known to help.
pub fn cure(error: &notify::Error) -> &'static str {
    const WATCHES: &str = ": the user has no more watches; raise the sysctl `fs.inotify.max_user_watches`";
    const INSTANCES: &str =
        ": the user has no more inotify instances; raise the sysctl `fs.inotify.max_user_instances`";
    let is = |error: &std::io::Error, errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    match &error.kind {
        ErrorKind::MaxFilesWatch => WATCHES,
        ErrorKind::Io(error) if is(error, rustix::io::Errno::NOSPC) => WATCHES,
        // The system has one error for both.
        ErrorKind::Io(error) if is(error, rustix::io::Errno::MFILE) && descriptors::are_used_up() => {
            descriptors::cure(error)
        }
        ErrorKind::Io(error) if is(error, rustix::io::Errno::MFILE) => INSTANCES,
        _ => "",
    }
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

fn file_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    name.ends_with(".wasm").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_reached_names_its_sysctl() {
        let io = |errno: rustix::io::Errno| notify::Error::io(errno.into());
        assert!(cure(&notify::Error::new(ErrorKind::MaxFilesWatch)).contains("fs.inotify.max_user_watches"));
        assert!(cure(&io(rustix::io::Errno::MFILE)).contains("fs.inotify.max_user_instances"));
        assert_eq!(cure(&io(rustix::io::Errno::ACCESS)), "");
    }
}
