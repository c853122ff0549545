//! The quota of a folder: what a plugin adds to it is counted before it is written.
//!
//! Invariant: the folder never holds more than it held at the beginning and the quota, as far as this plugin's calls are
//! concerned. Whatever changes sizes or names in a folder with a quota happens under one lock, so that two calls cannot
//! use the same room. What others add or remove is noticed when room is short, and once at the start.
//!
//! A file that was removed while a call has it open takes its room until it is closed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cap_primitives::fs::{Metadata, MetadataExt};
use rustix::io::Errno;

use super::baseline::{Baselines, Count};
use super::measure::measure;
use super::places::{Id, id_of};

/// Bytes of quota that allow one file, folder or link: an empty one takes room too, of a kind that disks run out of.
const BYTES_PER_FILE: u64 = 1024;

/// Files that every quota allows.
const FILES_MIN: u64 = 64;

/// Least time between two looks at the whole folder.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A folder is looked at for this part of the time at most.
const LOOK_SHARE: u32 = 20;

/// Time between two log records about one full folder.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What the calls of one plugin know of one folder.
pub(super) struct Usage {
    plugin: Arc<str>,
    path: PathBuf,
    baselines: Arc<Baselines>,
    state: Mutex<State>,
    /// Apart from the other lock: files are closed on threads that must not wait for a disk.
    handles: Mutex<Handles>,
}

#[derive(Default)]
struct State {
    /// The last look at the whole folder, and the time that it took.
    looked: Option<(Instant, Duration)>,
    base: Count,
    now: Count,
    logged: Option<Instant>,
}

#[derive(Default)]
struct Handles {
    open: BTreeMap<Id, Handle>,
    /// Bytes of removed files that were closed.
    freed_bytes: u64,
}

#[derive(Default)]
struct Handle {
    count: u32,
    bytes: u64,
    is_removed: bool,
}

/// An open file of a folder with a quota.
pub(super) struct Tracked {
    usage: Arc<Usage>,
    id: Id,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let mut handles = self.usage.handles();
        let Some(handle) = handles.open.get_mut(&self.id) else { return };
        handle.count -= 1;
        if handle.count == 0
            && let Some(handle) = handles.open.remove(&self.id)
            && handle.is_removed
        {
            handles.freed_bytes += handle.bytes;
        }
    }
}

/// The lock on a folder, with its count.
pub(super) struct Account<'u> {
    usage: &'u Arc<Usage>,
    state: MutexGuard<'u, State>,
    root: &'u File,
    quota_bytes: u64,
}

impl Usage {
    pub(super) fn new(plugin: Arc<str>, path: PathBuf, baselines: Arc<Baselines>) -> Self {
        Self { plugin, path, baselines, state: Mutex::default(), handles: Mutex::default() }
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'u> Account<'u> {
    /// Waits for the lock. The first one looks at the whole folder.
    pub(super) fn open(usage: &'u Arc<Usage>, root: &'u File, quota_bytes: u64) -> io::Result<Self> {
        let state = usage.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut account = Self { usage, state, root, quota_bytes };
        if account.state.looked.is_none() {
            let folder = id_of(&Metadata::from_file(root)?);
            account.look()?;
            account.state.base = usage.baselines.of(&usage.plugin, &usage.path, folder, account.state.now);
        }
        Ok(account)
    }

    pub(super) fn usage(&self) -> &'u Arc<Usage> {
        self.usage
    }

    pub(super) fn quota_bytes(&self) -> u64 {
        self.quota_bytes
    }

    /// Counts what is about to be added.
    ///
    /// # Errors
    /// `EDQUOT` if there is no room for it.
    pub(super) fn add(&mut self, bytes: u64, files: u64) -> io::Result<()> {
        if (bytes, files) == (0, 0) {
            return Ok(());
        }
        let freed_bytes = std::mem::take(&mut self.usage.handles().freed_bytes);
        self.remove(freed_bytes, 0);
        let has_room = self.has_room(bytes, files)
            || (self.may_look() && {
                self.look()?;
                self.has_room(bytes, files)
            });
        if !has_room {
            if self.state.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
                self.state.logged = Some(Instant::now());
                self.log_full();
            }
            return Err(Errno::DQUOT.into());
        }
        self.state.now.bytes = self.state.now.bytes.saturating_add(bytes);
        self.state.now.files = self.state.now.files.saturating_add(files);
        Ok(())
    }

    /// Counts what is gone, or was not added after all.
    pub(super) fn remove(&mut self, bytes: u64, files: u64) {
        self.state.now.bytes = self.state.now.bytes.saturating_sub(bytes);
        self.state.now.files = self.state.now.files.saturating_sub(files);
    }

    /// Counts a name that is gone, of something that was this before.
    pub(super) fn remove_name(&mut self, before: &Metadata) {
        self.remove(0, 1);
        if before.is_file() && before.nlink() <= 1 {
            let mut handles = self.usage.handles();
            match handles.open.get_mut(&id_of(before)) {
                Some(handle) => (handle.is_removed, handle.bytes) = (true, before.len()),
                None => {
                    drop(handles);
                    self.remove(before.len(), 0);
                }
            }
        }
    }

    /// Remembers that a file is open.
    pub(super) fn track(&self, metadata: &Metadata) -> Tracked {
        let id = id_of(metadata);
        let mut handles = self.usage.handles();
        let handle = handles.open.entry(id).or_default();
        handle.count += 1;
        handle.bytes = metadata.len();
        Tracked { usage: Arc::clone(self.usage), id }
    }

    /// Remembers the size of an open file.
    pub(super) fn note_size(&self, file: &Tracked, bytes: u64) {
        if let Some(handle) = self.usage.handles().open.get_mut(&file.id) {
            handle.bytes = bytes;
        }
    }

    fn has_room(&self, bytes: u64, files: u64) -> bool {
        let State { base, now, .. } = &*self.state;
        let files_max = (self.quota_bytes / BYTES_PER_FILE).max(FILES_MIN);
        let fits = |now: u64, more: u64, base: u64, quota: u64| {
            more == 0 || now.saturating_add(more) <= base.saturating_add(quota)
        };
        fits(now.bytes, bytes, base.bytes, self.quota_bytes) && fits(now.files, files, base.files, files_max)
    }

    fn log_full(&self) {
        let Usage { plugin, path, .. } = &**self.usage;
        let State { base, now, .. } = &*self.state;
        tracing::warn!(
            %plugin,
            folder = %path.display(),
            quota_bytes = self.quota_bytes,
            added_bytes = now.bytes.saturating_sub(base.bytes),
            added_files = now.files.saturating_sub(base.files),
            "plugin `{plugin}` may add no more to `{}`: remove files there, or raise its `quota`",
            path.display(),
        );
    }

    fn may_look(&self) -> bool {
        let since = |(at, took): (Instant, Duration)| at.elapsed() >= LOOK_INTERVAL.max(took * LOOK_SHARE);
        self.state.looked.is_none_or(since)
    }

    fn look(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        let mut now = measure(self.root)?;
        let mut handles = self.usage.handles();
        let removed = handles.open.values().filter(|handle| handle.is_removed).map(|handle| handle.bytes);
        now.bytes = removed.fold(now.bytes, u64::saturating_add);
        handles.freed_bytes = 0;
        drop(handles);
        self.state.now = now;
        self.state.looked = Some((Instant::now(), begun.elapsed()));
        Ok(())
    }
}
