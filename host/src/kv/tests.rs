//! The file's own rules: its keys, its locks, and what somebody has changed in it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::conformance::{Fresh, QUOTA, get, person, plugin, set, value};
use super::*;
use crate::state::Secrets;

/// The state of plugins in a directory, until it is closed.
struct Open {
    kv: Kv,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Open {
    fn at(directory: &Path) -> Self {
        let state = StateDir::open(directory, &Secrets::default()).unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { kv: Kv::of(&state, &tracker, stop.clone()), tracker, stop }
    }

    async fn close(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[tokio::test]
async fn it_keeps_the_rules_of_every_place() {
    conformance::check(async || {
        let scratch = tempfile::tempdir().unwrap();
        let Open { kv, .. } = Open::at(scratch.path());
        Fresh { kv, _within: Box::new(scratch) }
    })
    .await;
}

#[tokio::test]
async fn people_are_not_in_the_clear() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    kv.run(person("a", 1), QUOTA, set("same", "x")).await.unwrap();
    let file = std::fs::read(scratch.path().join("kv/kv.db")).unwrap();
    let log = std::fs::read(scratch.path().join("kv/kv.db-wal")).unwrap_or_default();
    let is_there =
        |text: &str| [&file, &log].iter().any(|file| file.windows(text.len()).any(|at| at == text.as_bytes()));
    assert!(is_there("same") && !is_there("subject-") && !is_there("id.example"), "people are not in the clear");
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_after_a_change_of_the_root_key() {
    let scratch = tempfile::tempdir().unwrap();
    let open = Open::at(scratch.path());
    open.kv.run(plugin("a"), QUOTA, set("x", "one")).await.unwrap();
    open.kv.run(person("a", 1), QUOTA, set("x", "two")).await.unwrap();
    open.close().await;
    std::fs::rename(scratch.path().join("key"), scratch.path().join("key.old")).unwrap();
    for _ in 0..2 {
        let open = Open::at(scratch.path());
        assert_eq!(get(&open.kv, &plugin("a"), "x").await, Ok(Some("one".to_owned())));
        assert_eq!(get(&open.kv, &person("a", 1), "x").await, Ok(Some("two".to_owned())));
        open.close().await;
        // It was sealed anew at the first start: the old key is not needed any more.
        let _ = std::fs::remove_file(scratch.path().join("key.old"));
    }
    std::fs::remove_file(scratch.path().join("key")).unwrap();
    let open = Open::at(scratch.path());
    let refused = get(&open.kv, &plugin("a"), "x").await.unwrap_err();
    assert_eq!(refused, KvError::Unavailable("its file has to be repaired".to_owned()));
}

#[tokio::test]
async fn a_row_that_somebody_has_changed_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let open = Open::at(scratch.path());
    for (space, name, text) in [
        (plugin("a"), "rich", "1000"),
        (plugin("a"), "poor", "1"),
        (plugin("b"), "poor", "2"),
        (person("a", 1), "poor", "3"),
    ] {
        open.kv.run(space, QUOTA, set(name, text)).await.unwrap();
    }
    open.close().await;
    let pristine = std::fs::read(scratch.path().join("kv/kv.db")).unwrap();
    let cases = [
        // The value of another name, in the same space and in another.
        (
            "UPDATE entries SET (value, revision) = (SELECT value, revision FROM entries WHERE name = CAST('rich' AS BLOB)) WHERE name = CAST('poor' AS BLOB)",
            "entry",
        ),
        // A name that is another's.
        (
            "DELETE FROM entries WHERE name = CAST('poor' AS BLOB) AND space = 1; UPDATE entries SET name = CAST('poor' AS BLOB) WHERE name = CAST('rich' AS BLOB)",
            "entry",
        ),
        ("UPDATE entries SET revision = revision + 1", "entry"),
        ("UPDATE entries SET expires_ms = 9000000000000000", "entry"),
        ("UPDATE entries SET value = zeroblob(length(value))", "entry"),
        ("DELETE FROM entries WHERE space = 1; UPDATE entries SET space = 1 WHERE space = 2", "entry"),
        // A space of another plugin or person.
        (
            "DELETE FROM spaces WHERE plugin = 'a' AND owner = x''; UPDATE spaces SET plugin = 'a' WHERE plugin = 'b'",
            "space",
        ),
        (
            "DELETE FROM spaces WHERE plugin = 'a' AND owner = x''; UPDATE spaces SET owner = x'' WHERE plugin = 'a'",
            "space",
        ),
    ];
    for (change, what) in cases {
        let path = scratch.path().join("kv/kv.db");
        std::fs::write(&path, &pristine).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(change).unwrap();
        drop(connection);
        let open = Open::at(scratch.path());
        assert_eq!(get(&open.kv, &plugin("a"), "poor").await, Err(KvError::Damaged), "{change}");
        if what == "entry" {
            // It can be written anew.
            open.kv.run(plugin("a"), QUOTA, set("poor", "5")).await.unwrap();
            assert_eq!(get(&open.kv, &plugin("a"), "poor").await, Ok(Some("5".to_owned())), "{change}");
        } else {
            assert!(open.kv.run(plugin("a"), QUOTA, set("poor", "5")).await.is_err(), "{change}");
        }
        open.close().await;
    }
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("kv")).unwrap();
    let path = scratch.path().join("kv/kv.db");
    let refused = async || {
        let open = Open::at(scratch.path());
        let refused = get(&open.kv, &plugin("a"), "x").await.unwrap_err();
        open.close().await;
        refused
    };
    let repair = KvError::Unavailable("its file has to be repaired".to_owned());
    std::fs::write(&path, b"this is a text of some length and no database at all, whatever its name may say").unwrap();
    assert_eq!(refused().await, repair);
    assert!(std::fs::read(&path).unwrap().starts_with(b"this is a text"));
    std::fs::remove_file(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE other (x)").unwrap();
    drop(connection);
    assert_eq!(refused().await, repair);
    std::fs::remove_file(&path).unwrap();
    let open = Open::at(scratch.path());
    open.kv.run(plugin("a"), QUOTA, set("x", "y")).await.unwrap();
    // A second process finds the lock taken.
    let second = Open::at(scratch.path());
    let found = get(&second.kv, &plugin("a"), "x").await;
    assert_eq!(found, Err(KvError::Unavailable("its file cannot be used now".to_owned())));
    open.close().await;
    assert_eq!(get(&second.kv, &plugin("a"), "x").await, Ok(Some("y".to_owned())), "it is tried again");
    second.close().await;
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    assert_eq!(refused().await, repair);
}

#[tokio::test]
async fn a_file_that_is_lost_is_named_and_not_begun_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("kv/kv.db");
    let fill = async |open: &Open| {
        for number in 0..200 {
            let text = format!("{number}").repeat(500);
            open.kv.run(plugin("a"), QUOTA, set(&number.to_string(), &text)).await.unwrap();
        }
    };
    let open = Open::at(scratch.path());
    fill(&open).await;
    open.close().await;
    let whole = std::fs::read(&path).unwrap();
    let state = StateDir::open(scratch.path(), &Secrets::default()).unwrap();
    let copy = scratch.path().join("copy.db");
    let refused = async |cause: &str| {
        let error = open::open(&Place::In(state.clone())).err().expect(cause).to_string();
        assert!(
            error.contains("kv/kv.db` is damaged: ") && error.contains("restore its directory"),
            "{cause}: {error}"
        );
        assert!(error.contains(cause), "{cause}: {error}");
        assert!(Kv::is_there(&state), "{cause}: a backup must not leave it out");
        assert!(Kv::snapshot(&state, &copy).is_err(), "{cause}: a backup must not pass it off as whole");
        let _ = std::fs::remove_file(&copy);
    };
    std::fs::write(&path, b"").unwrap();
    refused("it is empty").await;
    assert_eq!(std::fs::read(&path).unwrap(), b"", "it is left as it is");
    std::fs::remove_file(&path).unwrap();
    refused("it is missing").await;
    assert!(!path.exists());
    for length in [100, 4096, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(&path, &whole[..length]).unwrap();
        refused("").await;
    }
    std::fs::write(&path, &whole).unwrap();
    let open = Open::at(scratch.path());
    assert!(get(&open.kv, &plugin("a"), "1").await.unwrap().is_some(), "a copy that was put back is whole");
    open.close().await;
    std::fs::remove_dir_all(scratch.path().join("kv")).unwrap();
    let open = Open::at(scratch.path());
    assert_eq!(get(&open.kv, &plugin("a"), "1").await, Ok(None), "whoever deletes the directory begins anew");
    open.close().await;
}

#[tokio::test]
async fn a_file_that_is_lost_in_use_keeps_nothing_that_would_be_lost() {
    let repair = Err(KvError::Unavailable("its file has to be repaired".to_owned()));
    let take_away: [fn(&Path); 3] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, b"").unwrap(),
        |path| {
            std::fs::copy(path, path.with_extension("other")).unwrap();
            std::fs::rename(path.with_extension("other"), path).unwrap();
        },
    ];
    for take_away in take_away {
        let scratch = tempfile::tempdir().unwrap();
        let open = Open::at(scratch.path());
        open.kv.run(plugin("a"), QUOTA, set("x", "one")).await.unwrap();
        take_away(&scratch.path().join("kv/kv.db"));
        assert_eq!(open.kv.run(plugin("a"), QUOTA, set("x", "two")).await.map(drop), repair);
        assert_eq!(get(&open.kv, &plugin("a"), "x").await.map(drop), repair);
        open.close().await;
    }
    let scratch = tempfile::tempdir().unwrap();
    let (path, aside) = (scratch.path().join("kv/kv.db"), scratch.path().join("aside"));
    let open = Open::at(scratch.path());
    open.kv.run(plugin("a"), QUOTA, set("x", "one")).await.unwrap();
    std::fs::rename(&path, &aside).unwrap();
    assert_eq!(get(&open.kv, &plugin("a"), "x").await.map(drop), repair);
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(get(&open.kv, &plugin("a"), "x").await, Ok(Some("one".to_owned())), "it is back");
    open.close().await;
}

/// What is in the log alone is not lost with it: the server that has it open writes it into the file at its end.
#[tokio::test]
async fn a_log_that_is_lost_in_use_is_written_at_the_end() {
    let repair = Err(KvError::Unavailable("its file has to be repaired".to_owned()));
    let scratch = tempfile::tempdir().unwrap();
    let open = Open::at(scratch.path());
    open.kv.run(plugin("a"), QUOTA, set("x", "one")).await.unwrap();
    std::fs::remove_file(scratch.path().join("kv/kv.db-wal")).unwrap();
    assert_eq!(open.kv.run(plugin("a"), QUOTA, set("x", "two")).await.map(drop), repair);
    assert_eq!(get(&open.kv, &plugin("a"), "x").await.map(drop), repair);
    open.close().await;
    let open = Open::at(scratch.path());
    assert_eq!(get(&open.kv, &plugin("a"), "x").await, Ok(Some("one".to_owned())));
    open.close().await;
}

#[tokio::test]
async fn a_plugin_that_reads_much_in_a_loop_keeps_others_waiting_for_one_request() {
    let scratch = tempfile::tempdir().unwrap();
    let open = Open::at(scratch.path());
    let large = |name: usize| (format!("{name}"), Value(vec![7; 4000]));
    let fill = Operation::Set { entries: (0..500).map(large).collect(), ttl: None };
    let quota = 8 * 1024 * 1024;
    open.kv.run(plugin("a"), quota, fill).await.unwrap();
    open.kv.run(plugin("b"), QUOTA, set("x", "y")).await.unwrap();
    let read_all = || Operation::Get { names: (0..500).map(|name| format!("{name}")).collect() };
    let begun = std::time::Instant::now();
    open.kv.run(plugin("a"), quota, read_all()).await.unwrap();
    let one = begun.elapsed();
    let loops: Vec<_> = (0..64)
        .map(|_| {
            let kv = open.kv.clone();
            tokio::spawn(async move {
                loop {
                    kv.run(plugin("a"), quota, read_all()).await.unwrap();
                }
            })
        })
        .collect();
    tokio::time::sleep(one * 4).await;
    let waited = async |space: Space, name: &str| {
        let begun = std::time::Instant::now();
        assert!(get(&open.kv, &space, name).await.unwrap().is_some());
        begun.elapsed()
    };
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(waited(plugin("b"), "x").await);
    }
    others.sort();
    let own = waited(plugin("a"), "1").await;
    loops.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(own > one * 16, "the queue is long: {own:?}, a request takes {one:?}");
    assert!(others[2] < own / 4, "others waited {others:?}, the plugin itself {own:?}");
    open.close().await;
}

#[test]
fn requests_travel_as_json_and_show_no_value() {
    let operation = Operation::Set { entries: vec![("k".to_owned(), value("hunter2"))], ttl: None };
    let request = Request::Use { space: person("a", 7), quota_bytes: 5, operation };
    assert!(!format!("{request:?}").contains("hunter2"));
    let json = serde_json::to_string(&request).unwrap();
    let back: Request = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), json);
    let answer = Answer::Outcome(Outcome::Values(vec![None, Some((value("x"), u64::MAX))]));
    assert_eq!(serde_json::from_str::<Answer>(&serde_json::to_string(&answer).unwrap()).unwrap(), answer);
}

/// A sweep removes what has expired, and counts it off.
#[tokio::test]
async fn a_sweep_gives_room_back() {
    let scratch = tempfile::tempdir().unwrap();
    let state = StateDir::open(scratch.path(), &Secrets::default()).unwrap();
    let mut database = open::open(&Place::In(state)).unwrap();
    let entries = (0..700).map(|number| (number.to_string(), value("x"))).collect();
    let operation = Operation::Set { entries, ttl: Some(Duration::ZERO) };
    database.run(Request::Use { space: plugin("a"), quota_bytes: QUOTA, operation }).unwrap();
    assert!(database.sweep().unwrap());
    assert!(!database.sweep().unwrap());
    let left: (i64, i64) = database
        .connection
        .query_row("SELECT (SELECT count(*) FROM entries), (SELECT bytes FROM spaces)", params![], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(left, (0, 0));
}
