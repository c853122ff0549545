//! The rules for every place where the state of plugins is kept. Its tests open a fresh one for each rule.

use std::any::Any;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;

pub(super) const QUOTA: u64 = 1024 * 1024;

/// State for a rule, and what it lives in.
pub(super) struct Fresh {
    pub(super) kv: Kv,
    pub(super) _within: Box<dyn Any>,
}

/// Runs every rule.
pub(super) async fn check(open: impl AsyncFn() -> Fresh) {
    nobody_sees_the_entries_of_another_plugin_or_person(&open().await.kv).await;
    a_quota_counts_keys_and_empty_values_and_holds_for_all_at_once(&open().await.kv).await;
    of_all_who_swap_at_once_one_does(&open().await.kv).await;
    sums_stay_in_their_range(&open().await.kv).await;
    what_has_expired_is_not_there_and_makes_room(&open().await.kv).await;
    lengths_have_bounds(&open().await.kv).await;
    state_moves_to_a_plugin_that_has_none(&open().await.kv).await;
    names_are_listed_in_turn(&open().await.kv).await;
    an_operation_is_done_whole_or_not_at_all(&open().await.kv).await;
    all_spaces_are_listed_page_by_page(&open().await.kv).await;
    a_person_is_forgotten_by_every_plugin(&open().await.kv).await;
}

async fn nobody_sees_the_entries_of_another_plugin_or_person(kv: &Kv) {
    let spaces = [plugin("a"), plugin("b"), person("a", 1), person("a", 2), person("b", 1)];
    for (number, space) in spaces.iter().enumerate() {
        let several = |range: std::ops::Range<u16>| {
            let entries = range.map(|other| (format!("{number}-{other:03}"), value("x"))).collect();
            Operation::Set { entries, ttl: None }
        };
        kv.run(space.clone(), QUOTA, several(0..1)).await.unwrap();
        kv.run(space.clone(), QUOTA, set("same", &number.to_string())).await.unwrap();
        kv.run(space.clone(), QUOTA, several(1..600)).await.unwrap();
    }
    for (number, space) in spaces.iter().enumerate() {
        assert_eq!(get(kv, space, "same").await, Ok(Some(number.to_string())));
        assert_eq!(get(kv, space, &format!("{}-000", (number + 1) % 5)).await, Ok(None));
        let (first, cursor) = names(kv, space, "", None).await;
        let (rest, end) = names(kv, space, "", cursor.clone()).await;
        assert_eq!((first.len(), rest.len(), end), (500, 101, None));
        assert!(first.iter().chain(&rest).all(|name| name == "same" || name.starts_with(&format!("{number}-"))));
        assert_eq!(names(kv, space, &format!("{number}-59"), None).await.0.len(), 10);
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
}

async fn a_quota_counts_keys_and_empty_values_and_holds_for_all_at_once(kv: &Kv) {
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
    assert_eq!(used(kv, "a").await, quota);
    assert_eq!(
        kv.run(plugin("a"), quota, Operation::Increment { name: "n".to_owned(), delta: Delta::Signed(1) }).await,
        Err(full.clone())
    );
    assert_eq!(kv.run(plugin("a"), quota, swap("n", None, Some("x"))).await, Err(full));
    // Others have a quota of their own, and what is deleted makes room.
    kv.run(person("a", 1), quota, set("x", "")).await.unwrap();
    let (first, _) = names(kv, &plugin("a"), "", None).await;
    assert_eq!(kv.run(plugin("a"), quota, Operation::Delete { names: first }).await, Ok(Outcome::Deleted(50)));
    kv.run(plugin("a"), quota, set("x", "y")).await.unwrap();
    assert_eq!(used(kv, "a").await, 2 * ENTRY_BYTES + 3);
    // A batch is written whole or not at all.
    let entries = (0..60).map(|number| (format!("b{number}"), value(""))).collect();
    assert!(matches!(
        kv.run(plugin("a"), quota, Operation::Set { entries, ttl: None }).await,
        Err(KvError::Quota { .. })
    ));
    assert_eq!(names(kv, &plugin("a"), "", None).await.0, ["x"]);
    // Under a smaller quota nothing grows, and everything may shrink.
    kv.run(plugin("a"), 1, set("x", "")).await.unwrap();
    assert!(kv.run(plugin("a"), 1, set("x", "yy")).await.is_err());
}

async fn of_all_who_swap_at_once_one_does(kv: &Kv) {
    for round in ["one", "two"] {
        let before = get(kv, &plugin("a"), "x").await.unwrap();
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
    assert_eq!(get(kv, &plugin("a"), "n").await, Ok(Some("100".to_owned())));
}

async fn sums_stay_in_their_range(kv: &Kv) {
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
        assert_eq!(get(kv, &plugin("a"), "n").await, Ok(Some(text.to_owned())));
    }
}

async fn what_has_expired_is_not_there_and_makes_room(kv: &Kv) {
    let quota = 2 * (ENTRY_BYTES + 2);
    let mortal = |name: &str, ttl| Operation::Set {
        entries: vec![(name.to_owned(), value("x"))],
        ttl: Some(Duration::from_millis(ttl)),
    };
    kv.run(plugin("a"), quota, mortal("a", 60_000)).await.unwrap();
    kv.run(plugin("a"), quota, mortal("b", 0)).await.unwrap();
    assert_eq!(get(kv, &plugin("a"), "a").await, Ok(Some("x".to_owned())));
    assert_eq!(get(kv, &plugin("a"), "b").await, Ok(None));
    assert_eq!(names(kv, &plugin("a"), "", None).await.0, ["a"]);
    let exist = Operation::Exist { names: vec!["a".to_owned(), "b".to_owned()] };
    assert_eq!(kv.run(plugin("a"), quota, exist).await, Ok(Outcome::Exist(vec![true, false])));
    let gone = Operation::Delete { names: vec!["b".to_owned()] };
    assert_eq!(kv.run(plugin("a"), quota, gone).await, Ok(Outcome::Deleted(0)));
    kv.run(plugin("a"), quota, mortal("b", 0)).await.unwrap();
    kv.run(plugin("a"), quota, set("c", "x")).await.unwrap();
    assert_eq!(used(kv, "a").await, quota);
    assert_eq!(kv.run(plugin("a"), quota, swap("a", Some("x"), Some("1"))).await, Ok(Outcome::Done));
    assert!(kv.run(plugin("a"), quota, set("d", "x")).await.is_err());
}

async fn lengths_have_bounds(kv: &Kv) {
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
        assert_eq!(get(kv, &plugin("b"), name).await, Ok(Some(name.to_owned())));
        assert!(names(kv, &plugin("b"), name, None).await.0.contains(&name.to_owned()));
    }
}

async fn state_moves_to_a_plugin_that_has_none(kv: &Kv) {
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
        assert_eq!(get(kv, &space, "x").await, Ok(expected.map(str::to_owned)));
    }
    assert_eq!(kv.ask(Request::Clear { space: person("new", 1) }).await, Ok(Answer::Changed(1)));
    assert_eq!(get(kv, &person("new", 1), "x").await, Ok(None));
    assert_eq!(get(kv, &plugin("new"), "x").await, Ok(Some("y".to_owned())));
}

async fn names_are_listed_in_turn(kv: &Kv) {
    let in_turn = async |cursor| {
        let listed = kv.run(plugin("a"), QUOTA, Operation::NamesInTurn { cursor }).await;
        let Ok(Outcome::NamesInTurn(names, cursor)) = listed else { panic!("{listed:?}") };
        (names, cursor)
    };
    assert_eq!(in_turn(None).await, (Vec::new(), None));
    let entries = |ttl| {
        let entries = (0..700).map(|number| (format!("{:03}", 699 - number), value("x"))).collect();
        Operation::Set { entries, ttl }
    };
    // What has expired is not listed.
    kv.run(plugin("a"), QUOTA, entries(Some(Duration::ZERO))).await.unwrap();
    kv.run(plugin("a"), QUOTA, Operation::Delete { names: vec!["500".to_owned()] }).await.unwrap();
    assert_eq!(in_turn(None).await, (Vec::new(), None));
    assert_eq!(names(kv, &plugin("a"), "", None).await, (Vec::new(), None));
    kv.run(plugin("a"), QUOTA, entries(None)).await.unwrap();
    // What is written over keeps its turn; what was removed before has a new one.
    kv.run(plugin("a"), QUOTA, set("699", "y")).await.unwrap();
    let (first, cursor) = in_turn(None).await;
    assert_eq!((first.len(), first[0].as_str(), first[499].as_str()), (500, "699", "199"));
    let (second, end) = in_turn(cursor).await;
    assert_eq!((second.len(), second[0].as_str(), second[199].as_str()), (200, "198", "500"));
    assert_eq!(end, None);
    assert_eq!(in_turn(Some(u64::MAX)).await, (Vec::new(), None));
}

async fn an_operation_is_done_whole_or_not_at_all(kv: &Kv) {
    let quota = 3 * (ENTRY_BYTES + 2);
    kv.run(plugin("a"), quota, set("a", "1")).await.unwrap();
    // The last of them has no room.
    let entries = ["a", "b", "c", "d"].map(|name| (name.to_owned(), value("2"))).to_vec();
    let refused = kv.run(plugin("a"), quota, Operation::Set { entries, ttl: None }).await;
    assert_eq!(refused, Err(KvError::Quota { used_bytes: quota, quota_bytes: quota }));
    assert_eq!(get(kv, &plugin("a"), "a").await, Ok(Some("1".to_owned())));
    assert_eq!(used(kv, "a").await, ENTRY_BYTES + 2);
    // One name twice is one entry, with the last value.
    let entries = ["1", "22"].map(|text| ("a".to_owned(), value(text))).to_vec();
    kv.run(plugin("a"), quota, Operation::Set { entries, ttl: None }).await.unwrap();
    assert_eq!((get(kv, &plugin("a"), "a").await, used(kv, "a").await), (Ok(Some("22".to_owned())), ENTRY_BYTES + 3));
    let twice = Operation::Delete { names: vec!["a".to_owned(), "a".to_owned()] };
    assert_eq!(kv.run(plugin("a"), quota, twice).await, Ok(Outcome::Deleted(1)));
    assert_eq!(used(kv, "a").await, 0);
    // Where there is nothing, nothing is made.
    assert_eq!(kv.run(plugin("b"), quota, swap("a", Some("1"), None)).await, Ok(Outcome::Other(None)));
    assert!(kv.run(plugin("b"), 1, set("a", "1")).await.is_err());
    assert_eq!(kv.ask(Request::Owners { plugin: "b".to_owned() }).await, Ok(Answer::Owners(Vec::new())));
}

async fn all_spaces_are_listed_page_by_page(kv: &Kv) {
    let mut writers = JoinSet::new();
    for number in 0..600_u16 {
        let (kv, plugin) = (kv.clone(), if number % 2 == 0 { "even" } else { "odd" });
        writers.spawn(async move { kv.run(numbered(plugin, number), QUOTA, set("x", "y")).await.unwrap() });
    }
    writers.join_all().await;
    let (mut found, mut after) = (BTreeSet::new(), None);
    loop {
        let listed = kv.ask(Request::Spaces { after }).await;
        let Ok(Answer::Spaces(page, next)) = listed else { panic!("{listed:?}") };
        assert!(page.len() <= 500);
        for SpaceState { space, entries, bytes } in page {
            assert_eq!((entries, bytes), (1, ENTRY_BYTES + 2));
            let Owner::Person(person) = space.owner else { panic!() };
            assert!(found.insert((space.plugin, person.id)), "each is listed once");
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 600);
    assert!(found.iter().all(|(plugin, id)| (plugin == "even") == (id[1] % 2 == 0)));
    let owners = kv.ask(Request::Owners { plugin: "odd".to_owned() }).await;
    assert!(matches!(owners, Ok(Answer::Owners(owners)) if owners.len() == 300));
}

async fn a_person_is_forgotten_by_every_plugin(kv: &Kv) {
    for space in [person("a", 1), person("b", 1), person("a", 2), plugin("a")] {
        kv.run(space, QUOTA, set("x", "y")).await.unwrap();
    }
    kv.run(person("a", 1), QUOTA, set("z", "y")).await.unwrap();
    let Owner::Person(forgotten) = person("a", 1).owner else { panic!() };
    let forget = async || kv.ask(Request::Forget { person: forgotten.clone() }).await;
    assert_eq!((forget().await, forget().await), (Ok(Answer::Changed(3)), Ok(Answer::Changed(0))));
    for (space, expected) in
        [(person("a", 1), None), (person("b", 1), None), (person("a", 2), Some("y")), (plugin("a"), Some("y"))]
    {
        assert_eq!(get(kv, &space, "x").await, Ok(expected.map(str::to_owned)));
    }
    assert_eq!(kv.ask(Request::Clear { space: person("a", 1) }).await, Ok(Answer::Changed(0)));
}

pub(super) fn plugin(name: &str) -> Space {
    Space { plugin: name.to_owned(), owner: Owner::Plugin }
}

pub(super) fn person(name: &str, id: u8) -> Space {
    let subject = format!("subject-{id}");
    let owner = Owner::Person(Person { id: [id; 32], issuer: "https://id.example".to_owned(), subject });
    Space { plugin: name.to_owned(), owner }
}

fn numbered(name: &str, number: u16) -> Space {
    let [high, low] = number.to_be_bytes();
    let mut id = [0; 32];
    id[0..2].copy_from_slice(&[high, low]);
    let owner = Owner::Person(Person { id, issuer: "https://id.example".to_owned(), subject: number.to_string() });
    Space { plugin: name.to_owned(), owner }
}

pub(super) fn value(text: &str) -> Value {
    Value(text.as_bytes().to_vec())
}

pub(super) fn set(name: &str, text: &str) -> Operation {
    Operation::Set { entries: vec![(name.to_owned(), value(text))], ttl: None }
}

pub(super) fn swap(name: &str, expected: Option<&str>, text: Option<&str>) -> Operation {
    let expected = Expected::Value(expected.map(value));
    Operation::Swap { name: name.to_owned(), expected, value: text.map(value), ttl: None }
}

pub(super) async fn get(kv: &Kv, space: &Space, name: &str) -> Result<Option<String>, KvError> {
    let got = kv.run(space.clone(), QUOTA, Operation::Get { names: vec![name.to_owned()] }).await?;
    let Outcome::Values(mut values) = got else { panic!("{got:?}") };
    Ok(values.remove(0).map(|(value, _)| String::from_utf8(value.0).unwrap()))
}

pub(super) async fn names(
    kv: &Kv,
    space: &Space,
    prefix: &str,
    cursor: Option<String>,
) -> (Vec<String>, Option<String>) {
    let listed = kv.run(space.clone(), QUOTA, Operation::Names { prefix: prefix.to_owned(), cursor }).await;
    let Ok(Outcome::Names(names, cursor)) = listed else { panic!("{listed:?}") };
    (names, cursor)
}

pub(super) async fn used(kv: &Kv, plugin: &str) -> u64 {
    let Answer::Owners(owners) = kv.ask(Request::Owners { plugin: plugin.to_owned() }).await.unwrap() else { panic!() };
    owners.iter().map(|owner| owner.bytes).sum()
}
