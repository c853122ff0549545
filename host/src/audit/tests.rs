//! Lines of hostile texts, and destinations that fail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::event::{Call, Client, Decision, Event, Operator, Reason, TokenChange, Who};
use super::*;
use crate::vault::Vault;

const EVERY_TRICK: &str =
    "a\"},\n{\"event\":\"call\"}\r\u{2028}\u{2029}\u{85}\u{0}\u{1b}[2K\u{202e}\u{200b}\u{e0041}\\";

fn line_of(event: &Event<'_>, people: &PeopleStyle) -> String {
    let mut line = Line::new(event.kind());
    event.write(&mut line, people);
    line.end()
}

fn alice<'a>() -> Who<'a> {
    Who { issuer: "https://id.example", subject: "auth0|1", email: Some("Alice@example.com"), is_person: true }
}

fn settings(path: &Path, on_error: OnError) -> Settings {
    Settings { target: Target::File(path.to_owned()), on_error, people: PeopleStyle::Clear }
}

fn act(outcome: &str) -> Event<'_> {
    Event::Operator { act: "reload", about: None, whom: None, by: Operator::User(7), outcome }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// Waits for lines of a file.
fn lines_of(path: &Path, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let found = lines(path);
        if found.len() >= count || began.elapsed() > Duration::from_secs(20) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nobodys_text_ends_a_line_or_adds_a_member() {
    let huge = format!("{EVERY_TRICK}{}", "x".repeat(1 << 20));
    let who = Who { issuer: &huge, subject: &huge, email: Some(&huge), is_person: false };
    let client = Client { id: &huge, name: Some(&huge) };
    let grants = vec![Decision { kind: "http", to: Some(huge.clone()), is_allowed: false, count: 3 }; 100];
    let events = [
        Event::Login { who: Some(who), client: Some(client), outcome: "ok" },
        Event::Consent { client, from: None, scopes: vec![&huge; 1000], is_approved: true },
        Event::Refusal { reason: Reason::ForeignToken, who: None, client: Some(client), claimed: None, from: None },
        Event::Token { what: TokenChange::Ended, who: Some(who), client: Some(client), reason: Some("stolen") },
        Event::Call(Call {
            who,
            client: Some(client),
            method: "tools/call",
            plugin: &huge,
            digest: &huge,
            tool: Some(&huge),
            outcome: "ok",
            took: Duration::from_millis(12),
            grants: &grants,
            grants_left_out: 3,
        }),
        Event::Plugin { plugin: &huge, what: "refused", digest: None, reason: Some(&huge) },
        Event::Configuration { digest: "x", changed: vec![&huge], waiting: Vec::new() },
        Event::Operator { act: &huge, about: Some(&huge), whom: Some(who), by: Operator::Person(who), outcome: &huge },
    ];
    for event in &events {
        let line = line_of(event, &PeopleStyle::Clear);
        assert!(line.len() < 32 * 1024, "{}: {} bytes", event.kind(), line.len());
        let (text, end) = line.split_at(line.len() - 1);
        assert_eq!(end, "\n");
        let visible = |char: char| !char.is_control() && !crate::sanitize::misleads(char);
        assert!(text.chars().all(visible), "{text}");
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["event"], event.kind());
        let names: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(names[..2], ["time", "event"], "the order is ours");
        for (name, value) in value.as_object().unwrap() {
            assert!(text.matches(&format!("\"{name}\":")).count() >= 1);
            assert!(value.as_str().is_none_or(|value| value.len() <= 256), "{name}");
        }
    }
}

#[test]
fn a_call_says_who_what_and_how_it_ended() {
    let grants = [
        Decision { kind: "http", to: Some("https://api.example".to_owned()), is_allowed: true, count: 2 },
        Decision { kind: "kv", to: None, is_allowed: false, count: 1 },
    ];
    let call = Event::Call(Call {
        who: alice(),
        client: Some(Client { id: "tmcp1.abc", name: Some("Cursor") }),
        method: "tools/call",
        plugin: "weather",
        digest: "sha256:00",
        tool: Some("weather_now"),
        outcome: "ok",
        took: Duration::from_millis(12),
        grants: &grants,
        grants_left_out: 0,
    });
    let line = line_of(&call, &PeopleStyle::Clear);
    let after_time = line.split_once(r#""event""#).unwrap().1;
    assert_eq!(
        after_time,
        concat!(
            r#":"call","outcome":"ok","person":"auth0|1","email":"Alice@example.com","issuer":"https://id.example","#,
            r#""client":"tmcp1.abc","client_name":"Cursor","method":"tools/call","plugin":"weather","#,
            r#""digest":"sha256:00","tool":"weather_now","ms":12,"grants":[{"kind":"http","#,
            r#""to":"https://api.example","decision":"allowed","count":2},{"kind":"kv","decision":"refused","count":1}]}"#,
            "\n"
        )
    );
}

#[test]
fn a_hash_hides_a_person_and_finds_them_again() {
    let keys = PeopleKeys::new(Vault::for_tests(1));
    let event = Event::Login { who: Some(alice()), client: None, outcome: "ok" };
    let line = line_of(&event, &PeopleStyle::Hash(keys.clone()));
    for hidden in ["auth0", "alice", "Alice", "id.example"] {
        assert!(!line.contains(hidden), "{line}");
    }
    let value: Value = serde_json::from_str(&line).unwrap();
    for (name, fits) in [("alice@example.com", true), ("ALICE@EXAMPLE.COM", true), ("auth0|1", true), ("bob", false)] {
        let wanted = read::Wanted::new(name, Some(&keys));
        assert_eq!(read::Filter { person: Some(wanted), ..Default::default() }.fits(&value), fits, "{name}");
    }
    let of_others = read::Wanted::new("alice@example.com", Some(&PeopleKeys::new(Vault::for_tests(2))));
    assert!(!read::Filter { person: Some(of_others), ..Default::default() }.fits(&value));
}

#[test]
fn a_file_that_was_moved_is_opened_anew_for_its_owner_only() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("audit.jsonl");
    let audit = Audit::start(settings(&path, OnError::Continue), Metrics::default()).unwrap();
    audit.record(&act("one"));
    assert_eq!(lines_of(&path, 1).len(), 1);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::rename(&path, scratch.path().join("audit.jsonl.1")).unwrap();
    audit.record(&act("two"));
    assert_eq!(lines_of(&path, 1)[0]["outcome"], "two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::rename(&path, scratch.path().join("audit.jsonl.2")).unwrap();
    audit.reopen();
    let began = Instant::now();
    while !path.exists() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(path.exists(), "SIGHUP makes the file before there is a line");
    audit.close();
    let found = read::files(&path).unwrap();
    let mut outcomes = Vec::new();
    for file in &found {
        let take = |_: &str, line: &Value| outcomes.push(line["outcome"].as_str().unwrap().to_owned());
        assert_eq!(read::each(file, &read::Filter::default(), take).unwrap(), 0);
    }
    assert_eq!(outcomes, ["one", "two"]);
}

#[test]
fn the_end_of_a_torn_file_is_no_part_of_a_line() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("audit.jsonl");
    fs::write(&path, r#"{"event":"call","half"#).unwrap();
    let audit = Audit::start(settings(&path, OnError::Continue), Metrics::default()).unwrap();
    audit.record(&act("whole"));
    audit.close();
    let mut found = 0;
    let filter = read::Filter { event: Some("operator".to_owned()), ..Default::default() };
    assert_eq!(read::each(&path, &filter, |_, _| found += 1).unwrap(), 1);
    assert_eq!(found, 1);
}

#[test]
fn what_is_no_file_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, link) = (scratch.path().join("audit.jsonl"), scratch.path().join("link"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for wrong in [scratch.path(), &link, &scratch.path().join("missing/audit.jsonl")] {
        assert!(Audit::start(settings(wrong, OnError::Continue), Metrics::default()).is_err(), "{}", wrong.display());
    }
    assert!(!path.exists());
}

/// Makes a file's place unusable: its path is a directory until that is taken away.
fn break_file(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

fn waits_for(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(20), "it did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn lines_that_were_lost_are_counted_in_the_first_that_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("audit.jsonl");
    let audit = Audit::start(settings(&path, OnError::Continue), Metrics::default()).unwrap();
    let state = || audit.shared.as_ref().unwrap().queue.state();
    audit.record(&act("before"));
    waits_for(|| state().written == 1);
    break_file(&path);
    for _ in 0..3 {
        assert!(audit.admit().is_ok(), "everything goes on");
        audit.record(&act("lost"));
    }
    waits_for(|| state().lost == 3 && state().is_failing);
    fs::remove_dir(&path).unwrap();
    audit.record(&act("after"));
    waits_for(|| !state().is_failing);
    audit.close();
    let found = lines(&path);
    assert_eq!((&found[0]["event"], &found[0]["lines"]), (&"lost".into(), &3.into()), "{found:?}");
    assert_eq!(found.last().unwrap()["outcome"], "after");
}

#[test]
fn nothing_begins_while_lines_cannot_be_written_and_none_is_lost() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("audit.jsonl");
    let audit = Audit::start(settings(&path, OnError::Refuse), Metrics::default()).unwrap();
    let state = || audit.shared.as_ref().unwrap().queue.state();
    let (first, second) = (audit.admit().unwrap(), audit.admit().unwrap());
    break_file(&path);
    first.record(&act("first"));
    waits_for(|| state().is_failing);
    assert!(matches!(audit.admit(), Err(Unwritable)));
    // It was let in before.
    second.record(&act("second"));
    fs::remove_dir(&path).unwrap();
    waits_for(|| !state().is_failing);
    audit.admit().unwrap().record(&act("third"));
    audit.close();
    let outcomes: Vec<String> = lines(&path).iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["first", "second", "third"]);
    assert!(matches!(audit.admit(), Err(Unwritable)), "nothing begins when it is closed");
}
