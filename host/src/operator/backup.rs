//! Copies of the databases for a backup: each as of one moment, made while the server goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Operator;
use super::request::{Answer, SnapshotFile};
use crate::kv::Kv;
use crate::state::StateDir;
use crate::store::Store;

/// The beginning of the names of directories with copies.
const PREFIX: &str = ".backup-";

/// Time after which a directory with copies is nobody's: its command was killed.
const LEFT: Duration = Duration::from_secs(3600);

impl Operator {
    pub(super) async fn snapshot(&self) -> Result<Answer, String> {
        let state = self.state.clone();
        let made = tokio::task::spawn_blocking(move || snapshot(&state));
        made.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

fn snapshot(state: &StateDir) -> Result<Answer, String> {
    remove_left(state.path());
    let in_words = |error: std::io::Error| format!("no room for copies in `{}`: {error}", state.path().display());
    let directory = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(state.path())
        .map_err(in_words)?;
    let mut files = Vec::new();
    if Store::is_there(state) {
        Store::snapshot(state, &directory.path().join("store.db")).map_err(|error| error.to_string())?;
        files.push(SnapshotFile { copy: "store.db".to_owned(), of: "store/store.db".to_owned() });
    }
    if Kv::is_there(state) {
        Kv::snapshot(state, &directory.path().join("kv.db")).map_err(|error| error.to_string())?;
        files.push(SnapshotFile { copy: "kv.db".to_owned(), of: "kv/kv.db".to_owned() });
    }
    Ok(Answer::Snapshot { directory: directory.keep(), files })
}

/// Removes copies of commands that did not live to do so.
fn remove_left(state: &Path) {
    for entry in fs::read_dir(state).into_iter().flatten().flatten() {
        let is_copy = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let made = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let is_left = made.is_some_and(|made| SystemTime::now().duration_since(made).is_ok_and(|age| age > LEFT));
        if is_copy && is_left {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
