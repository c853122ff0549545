use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::task::JoinSet;

use super::*;
use crate::state::Secrets;

const QUOTA: u64 = 1024 * 1024;

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

fn plugin(name: &str) -> Space {
    Space { plugin: name.to_owned(), owner: Owner::Plugin }
}

fn person(name: &str, id: u8) -> Space {
    let subject = format!("subject-{id}");
    let owner = Owner::Person(Person { id: [id; 32], issuer: "https://id.example".to_owned(), subject });
    Space { plugin: name.to_owned(), owner }
}

fn value(text: &str) -> Value {
    Value(text.as_bytes().to_vec())
}

fn set(name: &str, text: &str) -> Operation {
    Operation::Set { entries: vec![(name.to_owned(), value(text))], ttl: None }
}

fn swap(name: &str, expected: Option<&str>, text: Option<&str>) -> Operation {
    let expected = Expected::Value(expected.map(value));
    Operation::Swap { name: name.to_owned(), expected, value: text.map(value), ttl: None }
}

async fn get(kv: &Kv, space: &Space, name: &str) -> Result<Option<String>, KvError> {
    let got = kv.run(space.clone(), QUOTA, Operation::Get { names: vec![name.to_owned()] }).await?;
    let Outcome::Values(mut values) = got else { panic!("{got:?}") };
    Ok(values.remove(0).map(|(value, _)| String::from_utf8(value.0).unwrap()))
}

async fn names(kv: &Kv, space: &Space, prefix: &str, cursor: Option<String>) -> (Vec<String>, Option<String>) {
    let listed = kv.run(space.clone(), QUOTA, Operation::Names { prefix: prefix.to_owned(), cursor }).await;
    let Ok(Outcome::Names(names, cursor)) = listed else { panic!("{listed:?}") };
    (names, cursor)
}

async fn used(kv: &Kv, plugin: &str) -> u64 {
    let Answer::Owners(owners) = kv.ask(Request::Owners { plugin: plugin.to_owned() }).await.unwrap() else { panic!() };
    owners.iter().map(|owner| owner.bytes).sum()
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
async fn nobody_sees_the_entries_of_another_plugin_or_person() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    let spaces = [plugin("a"), plugin("b"), person("a", 1), person("a", 2), person("b", 1)];
    for (number, space) in spaces.iter().enumerate() {
        for other in 0..600 {
            kv.run(space.clone(), QUOTA, set(&format!("{number}-{other:03}"), "x")).await.unwrap();
            if other == 0 {
                kv.run(space.clone(), QUOTA, set("same", &number.to_string())).await.unwrap();
            }
        }
    }
    for (number, space) in spaces.iter().enumerate() {
        assert_eq!(get(&kv, space, "same").await, Ok(Some(number.to_string())));
        assert_eq!(get(&kv, space, &format!("{}-000", (number + 1) % 5)).await, Ok(None));
        let (first, cursor) = names(&kv, space, "", None).await;
        let (rest, end) = names(&kv, space, "", cursor.clone()).await;
        assert_eq!((first.len(), rest.len(), end), (500, 101, None));
        assert!(first.iter().chain(&rest).all(|name| name == "same" || name.starts_with(&format!("{number}-"))));
        assert_eq!(names(&kv, space, &format!("{number}-59"), None).await.0.len(), 10);
        // A cursor is of one space, and of one prefix.
        for other in spaces.iter().filter(|other| *other != space) {
            let operation = Operation::Names { prefix: String::new(), cursor: cursor.clone() };
            assert_eq!(kv.run(other.clone(), QUOTA, operation).await, Err(KvError::Cursor));
        }
        let operation = Operation::Names { prefix: "x".to_owned(), cursor };
        assert_eq!(kv.run(space.clone(), QUOTA, operation).await, Err(KvError::Cursor));
        let in_turn = kv.run(space.clone(), QUOTA, Operation::NamesInTurn { cursor: None }).await;
        let Ok(Outcome::NamesInTurn(in_turn, Some(cursor))) = in_turn else { panic!("{in_turn:?}") };
        assert_eq!((in_turn[0].as_str(), in_turn[1].as_str()), (&*format!("{number}-000"), "same"));
        assert_eq!(cursor, 500, "it counts the entries of this space, and tells nothing of others");
    }
    let file = std::fs::read(scratch.path().join("kv/kv.db")).unwrap();
    let log = std::fs::read(scratch.path().join("kv/kv.db-wal")).unwrap_or_default();
    let is_there =
        |text: &str| [&file, &log].iter().any(|file| file.windows(text.len()).any(|at| at == text.as_bytes()));
    assert!(is_there("same") && !is_there("subject-") && !is_there("id.example"), "people are not in the clear");
}

#[tokio::test]
async fn a_quota_counts_keys_and_empty_values_and_holds_for_all_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    let quota = 50 * (ENTRY_BYTES + 4);
    let mut writers = JoinSet::new();
    for number in 0..100 {
        let kv = kv.clone();
        writers.spawn(async move { kv.run(plugin("a"), quota, set(&format!("k{number:03}"), "")).await });
    }
    let written = writers.join_all().await;
    assert_eq!(written.iter().filter(|outcome| outcome.is_ok()).count(), 50);
    let full = KvError::Quota { used_bytes: quota, quota_bytes: quota };
    assert!(written.iter().all(|outcome| outcome.is_ok() || *outcome == Err(full.clone())), "{written:?}");
    assert_eq!(used(&kv, "a").await, quota);
    assert_eq!(
        kv.run(plugin("a"), quota, Operation::Increment { name: "n".to_owned(), delta: Delta::Signed(1) }).await,
        Err(full.clone())
    );
    assert_eq!(kv.run(plugin("a"), quota, swap("n", None, Some("x"))).await, Err(full));
    // Others have a quota of their own, and what is deleted makes room.
    kv.run(person("a", 1), quota, set("x", "")).await.unwrap();
    let (first, _) = names(&kv, &plugin("a"), "", None).await;
    assert_eq!(kv.run(plugin("a"), quota, Operation::Delete { names: first }).await, Ok(Outcome::Deleted(50)));
    kv.run(plugin("a"), quota, set("x", "y")).await.unwrap();
    assert_eq!(used(&kv, "a").await, 2 * ENTRY_BYTES + 3);
    // A batch is written whole or not at all.
    let entries = (0..60).map(|number| (format!("b{number}"), value(""))).collect();
    assert!(matches!(
        kv.run(plugin("a"), quota, Operation::Set { entries, ttl: None }).await,
        Err(KvError::Quota { .. })
    ));
    assert_eq!(names(&kv, &plugin("a"), "", None).await.0, ["x"]);
    // Under a smaller quota nothing grows, and everything may shrink.
    kv.run(plugin("a"), 1, set("x", "")).await.unwrap();
    assert!(kv.run(plugin("a"), 1, set("x", "yy")).await.is_err());
}

#[tokio::test]
async fn of_all_who_swap_at_once_one_does() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    for round in ["one", "two"] {
        let before = get(&kv, &plugin("a"), "x").await.unwrap();
        let mut racers = JoinSet::new();
        for number in 0..20 {
            let (kv, before) = (kv.clone(), before.clone());
            racers.spawn(async move {
                kv.run(plugin("a"), QUOTA, swap("x", before.as_deref(), Some(&format!("{round}-{number}")))).await
            });
        }
        let outcomes = racers.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(Outcome::Done)).count(), 1, "{outcomes:?}");
    }
    // A revision tells an entry from one of the same value.
    let read = kv.run(plugin("a"), QUOTA, Operation::Get { names: vec!["x".to_owned()] }).await;
    let Ok(Outcome::Values(mut values)) = read else { panic!("{read:?}") };
    let (same, revision) = values.remove(0).unwrap();
    kv.run(plugin("a"), QUOTA, Operation::Set { entries: vec![("x".to_owned(), same)], ttl: None }).await.unwrap();
    let expected = Expected::Revision(Some(revision));
    let operation = Operation::Swap { name: "x".to_owned(), expected, value: None, ttl: None };
    assert!(matches!(kv.run(plugin("a"), QUOTA, operation).await, Ok(Outcome::Other(Some(_)))));
    let mut sums = JoinSet::new();
    for _ in 0..50 {
        let kv = kv.clone();
        let operation = Operation::Increment { name: "n".to_owned(), delta: Delta::Unsigned(2) };
        sums.spawn(async move { kv.run(plugin("a"), QUOTA, operation).await });
    }
    sums.join_all().await;
    assert_eq!(get(&kv, &plugin("a"), "n").await, Ok(Some("100".to_owned())));
}

#[tokio::test]
async fn sums_stay_in_their_range() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    let add = async |text: &str, delta| {
        kv.run(plugin("a"), QUOTA, set("n", text)).await.unwrap();
        kv.run(plugin("a"), QUOTA, Operation::Increment { name: "n".to_owned(), delta }).await
    };
    assert_eq!(add("41", Delta::Signed(-42)).await, Ok(Outcome::Signed(-1)));
    assert_eq!(add("18446744073709551614", Delta::Unsigned(1)).await, Ok(Outcome::Unsigned(u64::MAX)));
    for (text, delta) in [
        ("-1", Delta::Unsigned(1)),
        ("18446744073709551615", Delta::Unsigned(1)),
        ("9223372036854775807", Delta::Signed(1)),
        ("-9223372036854775808", Delta::Signed(-1)),
        ("", Delta::Signed(1)),
        ("1.5", Delta::Signed(1)),
        ("one", Delta::Unsigned(1)),
    ] {
        assert_eq!(add(text, delta).await, Err(KvError::NoNumber), "{text}");
        assert_eq!(get(&kv, &plugin("a"), "n").await, Ok(Some(text.to_owned())));
    }
}

#[tokio::test]
async fn what_has_expired_is_not_there_and_makes_room() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    let quota = 2 * (ENTRY_BYTES + 2);
    let mortal = |name: &str, ttl| Operation::Set {
        entries: vec![(name.to_owned(), value("x"))],
        ttl: Some(Duration::from_millis(ttl)),
    };
    kv.run(plugin("a"), quota, mortal("a", 60_000)).await.unwrap();
    kv.run(plugin("a"), quota, mortal("b", 0)).await.unwrap();
    assert_eq!(get(&kv, &plugin("a"), "a").await, Ok(Some("x".to_owned())));
    assert_eq!(get(&kv, &plugin("a"), "b").await, Ok(None));
    assert_eq!(names(&kv, &plugin("a"), "", None).await.0, ["a"]);
    let exist = Operation::Exist { names: vec!["a".to_owned(), "b".to_owned()] };
    assert_eq!(kv.run(plugin("a"), quota, exist).await, Ok(Outcome::Exist(vec![true, false])));
    let gone = Operation::Delete { names: vec!["b".to_owned()] };
    assert_eq!(kv.run(plugin("a"), quota, gone).await, Ok(Outcome::Deleted(0)));
    kv.run(plugin("a"), quota, mortal("b", 0)).await.unwrap();
    kv.run(plugin("a"), quota, set("c", "x")).await.unwrap();
    assert_eq!(used(&kv, "a").await, quota);
    assert_eq!(kv.run(plugin("a"), quota, swap("a", Some("x"), Some("1"))).await, Ok(Outcome::Done));
    assert!(kv.run(plugin("a"), quota, set("d", "x")).await.is_err());
}

#[tokio::test]
async fn lengths_have_bounds() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    let refused = async |operation| kv.run(plugin("a"), u64::MAX / 2, operation).await.unwrap_err();
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    assert_eq!(refused(set(&long, "")).await, KvError::LongName(MAX_NAME_BYTES + 1));
    assert_eq!(refused(swap(&long, None, None)).await, KvError::LongName(MAX_NAME_BYTES + 1));
    assert_eq!(refused(Operation::Get { names: vec![long.clone()] }).await, KvError::LongName(MAX_NAME_BYTES + 1));
    let large = "x".repeat(MAX_VALUE_BYTES + 1);
    assert_eq!(refused(set("x", &large)).await, KvError::LargeValue(MAX_VALUE_BYTES + 1));
    assert_eq!(refused(Operation::Get { names: vec![String::new(); MAX_ENTRIES + 1] }).await, KvError::LargeBatch);
    kv.run(plugin("a"), u64::MAX / 2, set("x", &large[1..])).await.unwrap();
    // One value may be asked for many times over.
    assert_eq!(refused(Operation::Get { names: vec!["x".to_owned(); 5] }).await, KvError::LargeBatch);
    let odd = ["", "\0", "a\0b", "\u{10ffff}", "é"];
    for name in odd {
        kv.run(plugin("b"), QUOTA, set(name, name)).await.unwrap();
    }
    for name in odd {
        assert_eq!(get(&kv, &plugin("b"), name).await, Ok(Some(name.to_owned())));
        assert!(names(&kv, &plugin("b"), name, None).await.0.contains(&name.to_owned()));
    }
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
async fn state_moves_to_a_plugin_that_has_none() {
    let scratch = tempfile::tempdir().unwrap();
    let Open { kv, .. } = Open::at(scratch.path());
    for space in [plugin("old"), person("old", 1), plugin("taken")] {
        kv.run(space, QUOTA, set("x", "y")).await.unwrap();
    }
    let shift = async |from: &str, to: &str| kv.ask(Request::Move { from: from.to_owned(), to: to.to_owned() }).await;
    assert_eq!(shift("old", "taken").await, Err(KvError::Occupied("taken".to_owned())));
    assert_eq!(shift("old", "new").await, Ok(Answer::Changed(2)));
    assert_eq!(shift("old", "new").await, Err(KvError::Occupied("new".to_owned())));
    assert_eq!(shift("nothing", "else").await, Ok(Answer::Changed(0)));
    for (space, expected) in
        [(plugin("new"), Some("y")), (person("new", 1), Some("y")), (plugin("old"), None), (person("new", 2), None)]
    {
        assert_eq!(get(&kv, &space, "x").await, Ok(expected.map(str::to_owned)));
    }
    assert_eq!(kv.ask(Request::Clear { space: person("new", 1) }).await, Ok(Answer::Changed(1)));
    assert_eq!(get(&kv, &person("new", 1), "x").await, Ok(None));
    assert_eq!(get(&kv, &plugin("new"), "x").await, Ok(Some("y".to_owned())));
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
