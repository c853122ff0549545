//! The file shrinks with its rows, and a full disk does no lasting harm.

use std::fs;
use std::time::{Duration, SystemTime};

use super::{Running, file, key};
use crate::store::conformance::{commit, insert, remove, soon, value};
use crate::store::contract::now;
use crate::store::sqlite::sweep;
use crate::store::{Committed, StoreError, Table, Write};

fn large(number: u32, expires: SystemTime) -> Write {
    Write::Insert { table: Table::Once, key: key(&number.to_string()), value: vec![7; 20_000], expires }
}

#[tokio::test]
async fn a_sweep_gives_the_space_of_expired_rows_back() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).unwrap();
    let past = SystemTime::now() - Duration::from_secs(1);
    running.store.commit((0..600).map(|number| large(number, past)).collect()).await.unwrap();
    commit(&running.store, [insert(key("kept"), "kept")]).await;
    let size = || fs::metadata(file(dir.path())).unwrap().len();
    assert!(size() > 8 * 1024 * 1024, "{} bytes", size());
    sweep(&running.writer(), now()).await.unwrap();
    assert!(size() < 2 * 1024 * 1024, "{} bytes", size());
    assert_eq!(value(&running.store, key("kept")).await.as_deref(), Some("kept"));
    running.close().await;
}

#[tokio::test]
async fn a_full_disk_passes() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).unwrap();
    commit(&running.store, [insert(key("kept"), "kept"), insert(key("once"), "once")]).await;
    let limit = |pages: i64| {
        let set = move |connection: &rusqlite::Connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        };
        let writer = running.writer();
        async move { writer.run_alone(set).await.unwrap() }
    };
    limit(20).await;
    let writes = || (0..10).map(|number| large(number, soon())).chain([insert(key("partial"), "")]).collect();
    assert!(matches!(running.store.commit(writes()).await, Err(StoreError::Unavailable(_))));
    assert_eq!(value(&running.store, key("partial")).await, None);
    assert_eq!(value(&running.store, key("kept")).await.as_deref(), Some("kept"));
    assert_eq!(commit(&running.store, [remove(key("once"))]).await, Committed::Done);
    assert_eq!(value(&running.store, key("once")).await, None);
    limit(1_000_000).await;
    assert_eq!(running.store.commit(writes()).await, Ok(Committed::Done));
    running.close().await;
}
