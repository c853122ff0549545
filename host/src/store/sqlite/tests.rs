//! The SQLite backend's own rules: files, locks, keys, damage, space.

mod crash;
mod damage;
mod space;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Sqlite;
use super::worker::{Queue, WeakQueue};
use crate::metrics::Metrics;
use crate::replicas::Replicas;
use crate::state::{Secrets, StateDir};
use crate::store::conformance::{self, commit, insert, value};
use crate::store::seal::Sealer;
use crate::store::{Committed, Key, OpenError, Store, StoreError, Table};

/// A store that is open, and can be closed so that another can be opened.
struct Running {
    store: Store,
    writer: WeakQueue,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    fn open(dir: &Path) -> Result<Self, OpenError> {
        let state = StateDir::open(dir, &Secrets::default()).unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let sealer = Sealer::of(&state);
        let sqlite = Sqlite::open(&state, &sealer, &tracker, stop.clone())?;
        let writer = sqlite.writer.downgrade();
        Ok(Self {
            store: Store {
                backend: Arc::new(sqlite),
                sealer,
                metrics: Metrics::default(),
                replicas: Replicas::default(),
                leases: None,
                stale: Duration::MAX,
            },
            writer,
            tracker,
            stop,
        })
    }

    fn writer(&self) -> Queue {
        self.writer.upgrade().unwrap()
    }

    async fn close(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn error_of(dir: &Path) -> OpenError {
    Running::open(dir).map(|_| ()).unwrap_err()
}

/// A directory with a store that was closed in order, and in which `key("kept")` says `kept`.
async fn made() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).unwrap();
    commit(&running.store, [insert(key("kept"), "kept")]).await;
    running.close().await;
    dir
}

/// A key at the one place of all: some are written together.
fn key(name: &str) -> Key {
    let mut key = Key::of(name.as_bytes());
    key.0[0] = 1;
    key
}

fn file(dir: &Path) -> PathBuf {
    dir.join("store/store.db")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_backend_must() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).unwrap();
    conformance::check(&running.store).await;
    running.close().await;
}

#[tokio::test]
async fn rows_outlive_a_restart() {
    let dir = made().await;
    let running = Running::open(dir.path()).unwrap();
    assert_eq!(value(&running.store, key("kept")).await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_handle_that_is_dropped_ends_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    let Running { store, writer: _, tracker, stop } = Running::open(dir.path()).unwrap();
    commit(&store, [insert(key("kept"), "kept")]).await;
    drop(store);
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    assert_eq!(value(&Running::open(dir.path()).unwrap().store, key("kept")).await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let dir = made().await;
    let running = Running::open(dir.path()).unwrap();
    let store = running.store.clone();
    running.close().await;
    assert!(matches!(store.get(Table::Session, &key("kept")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.commit(vec![insert(key("new"), "")]).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).unwrap();
    let error = error_of(dir.path()).to_string();
    assert!(error.contains(&format!("in use by another server (process {})", std::process::id())), "{error}");
    assert_eq!(commit(&running.store, [insert(key("kept"), "kept")]).await, Committed::Done);
    running.close().await;
    assert!(Running::open(dir.path()).is_ok());
}

#[tokio::test]
async fn files_are_their_owners_and_show_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).unwrap();
    commit(&running.store, [insert(key("kept"), "a secret of 28 characters...")]).await;
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        let content = fs::read(&path).unwrap();
        assert!(!content.windows(8).any(|window| window == b"a secret"), "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["lock", "store.db", "store.db-shm", "store.db-wal"]);
}

#[tokio::test]
async fn another_key_is_refused_until_it_is_put_back() {
    let dir = made().await;
    let [in_use, aside] = ["key", "aside"].map(|name| dir.path().join(name));
    fs::rename(&in_use, &aside).unwrap();
    let error = error_of(dir.path());
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    fs::rename(&aside, &in_use).unwrap();
    assert!(Running::open(dir.path()).is_ok());
}

#[tokio::test]
async fn rows_of_a_previous_key_are_read_and_written() {
    let dir = made().await;
    fs::rename(dir.path().join("key"), dir.path().join("key.old")).unwrap();
    for _ in 0..2 {
        let running = Running::open(dir.path()).unwrap();
        assert_eq!(value(&running.store, key("kept")).await.as_deref(), Some("kept"));
        running.close().await;
    }
    fs::remove_file(dir.path().join("key.old")).unwrap();
    assert!(matches!(error_of(dir.path()), OpenError::WrongKey { .. }));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = made().await;
    rusqlite::Connection::open(file(dir.path())).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let error = error_of(dir.path()).to_string();
    assert!(error.contains("has schema 7, and this version knows 1"), "{error}");
}
