//! A damaged store is refused, and never taken for an empty one.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Running, error_of, file, key, made};
use crate::store::conformance::{commit, insert, value};
use crate::store::{OpenError, StoreError, Table};

const ROWS: usize = 100;

/// A copy of a store in use, like after a crash: most rows are in the write-ahead log only.
async fn crashed() -> TempDir {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let running = Running::open(dir.path()).unwrap();
    for number in 0..ROWS {
        commit(&running.store, [insert(key(&number.to_string()), "kept")]).await;
    }
    let copied = Command::new("cp").arg("-a").arg(dir.path().join(".")).arg(copy.path()).status().unwrap();
    assert!(copied.success());
    copy
}

fn log_of(dir: &Path) -> PathBuf {
    dir.join("store/store.db-wal")
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

fn require_damaged(dir: &Path) {
    let error = error_of(dir);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("store.db") && text.contains("from a backup"), "{text}");
}

#[tokio::test]
async fn a_crash_alone_is_no_damage() {
    let dir = crashed().await;
    let running = Running::open(dir.path()).unwrap();
    for number in 0..ROWS {
        assert_eq!(value(&running.store, key(&number.to_string())).await.as_deref(), Some("kept"));
    }
}

#[tokio::test]
async fn a_missing_or_empty_file_is_refused() {
    let dir = made().await;
    cut(&file(dir.path()), 0);
    require_damaged(dir.path());
    fs::remove_file(file(dir.path())).unwrap();
    require_damaged(dir.path());
    let dir = crashed().await;
    fs::remove_file(file(dir.path())).unwrap();
    fs::remove_file(dir.path().join("store/lock")).unwrap();
    require_damaged(dir.path());
}

#[tokio::test]
async fn a_cut_file_is_refused() {
    let dir = crashed().await;
    Running::open(dir.path()).unwrap().close().await;
    let bytes = fs::metadata(file(dir.path())).unwrap().len();
    for part in [bytes - 4096, bytes - 100, bytes / 2, 4096, 100] {
        cut(&file(dir.path()), part);
        require_damaged(dir.path());
    }
}

/// After a flip of any byte the store is refused, or nothing is missing.
#[tokio::test]
async fn a_flipped_bit_is_refused_or_harmless() {
    let dir = crashed().await;
    Running::open(dir.path()).unwrap().close().await;
    let path = file(dir.path());
    let bytes = fs::metadata(&path).unwrap().len();
    let mut refused = 0;
    for at in (0..bytes).step_by(977) {
        flip(&path, at);
        match Running::open(dir.path()) {
            Ok(running) => {
                for number in (0..ROWS).step_by(9) {
                    let value = value(&running.store, key(&number.to_string())).await;
                    assert_eq!(value.as_deref(), Some("kept"), "byte {at}");
                }
                running.close().await;
            }
            Err(OpenError::Damaged { .. } | OpenError::WrongKey { .. } | OpenError::Newer { .. }) => refused += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
        flip(&path, at);
    }
    assert!(refused > 0);
    Running::open(dir.path()).unwrap();
}

#[tokio::test]
async fn damage_that_shows_in_use_puts_the_store_out_of_use() {
    let dir = crashed().await;
    let running = Running::open(dir.path()).unwrap();
    let open = OpenOptions::new().write(true).open(log_of(dir.path())).unwrap();
    open.write_all_at(&vec![0xff; 2 * 1024 * 1024], 0).unwrap();
    let file = OpenOptions::new().write(true).open(file(dir.path())).unwrap();
    file.write_all_at(&vec![0xff; 64 * 1024], 0).unwrap();
    let read = running.store.get(Table::Session, &key("1")).await;
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
    let written = running.store.commit(vec![insert(key("new"), "")]).await;
    assert!(matches!(written, Err(StoreError::Damaged(_))), "{written:?}");
}
