//! Limits of a guest: time, memory, stack, the size of its result, and lines in the log.

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{from_text, guest};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};
use tokio::task::JoinSet;

use super::hostile;

/// Calls a tool that fails, checks the words for the caller and in the log, and that the next call is served.
async fn fails(limits: &str, tool: &str, arguments: serde_json::Value, said: &str, logged: &str) {
    let (server, client) = hostile(limits).await;
    for client in [client, Client::legacy(&server).await] {
        let mark = server.log.mark();
        assert_eq!(client.failure(tool, arguments.clone()).await, said, "{tool}");
        let line = server.log.wait_since(mark, logged).await;
        assert!(line.contains(tool), "{tool}: {line}");
        assert!(client.value("hostile_now", json!({})).await.is_u64(), "{tool}");
    }
}

#[tokio::test]
async fn a_spinning_guest_meets_its_deadline() {
    let said = "the tool did not finish within 1s";
    fails("timeout = \"1s\"", "hostile_spin", json!({}), said, "did not finish within").await;
}

#[tokio::test]
async fn a_sleeping_guest_meets_its_deadline() {
    let said = "the tool did not finish within 1s";
    fails("timeout = \"1s\"", "hostile_sleep_ms", json!({ "ms": 60_000 }), said, "did not finish within").await;
}

#[tokio::test]
async fn a_guest_that_spins_while_it_starts_meets_its_deadline() {
    let server = Site::with(&["start-spin"]).config("[limits]\ntimeout = \"1s\"\n").start().await;
    let said = Client::modern(&server).failure("start_spin_hello", json!({})).await;
    assert_eq!(said, "the tool did not finish within 1s");
}

#[tokio::test]
async fn a_slow_guest_is_given_its_time() {
    let (_server, client) = hostile("timeout = \"20s\"").await;
    assert!(client.value("hostile_spin_for", json!({ "ms": 500 })).await.as_u64().unwrap() > 0);
    assert!(client.value("hostile_sleep_ms", json!({ "ms": 100 })).await.as_u64().unwrap() >= 100);
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let said = "the tool needs more memory than its limit of 16MiB";
    fails("memory = \"16MiB\"", "hostile_eat_memory", json!({}), said, "more memory than its limit").await;
    let (_server, client) = hostile("memory = \"16MiB\"").await;
    let had = client.value("hostile_measure_memory", json!({})).await.as_u64().unwrap();
    assert!((8..=16).contains(&had), "{had} MiB");
}

#[tokio::test]
async fn what_the_host_keeps_for_a_guest_is_bounded_too() {
    const MIB: u64 = 1024 * 1024;
    let server = Server::with(&["http-fetch"]).await;
    let client = Client::modern(&server);
    let bytes = client.value("http_fetch_hoard_bodies", json!({})).await.as_u64().unwrap();
    assert!((1..64 * MIB).contains(&bytes), "{bytes} bytes of bodies");
    let headers = async |bytes: u32| client.call("http_fetch_hoard_headers", json!({ "bytes": bytes })).await;
    assert!(!headers(8 * 1024).await.is_error);
    assert_eq!(headers(64 * 1024).await.text, "the tool crashed");
}

#[tokio::test]
async fn tables_end_at_their_limit() {
    let server = Server::with(&["eat-table"]).await;
    let elements = Client::modern(&server).value("eat_table_measure_table", json!({})).await.as_u64().unwrap();
    assert!(elements < 10_000_000, "{elements} elements");
}

#[tokio::test]
async fn recursion_ends() {
    fails("", "hostile_recurse", json!({}), "the tool recursed too deeply and was stopped", "recursed too deeply")
        .await;
}

#[tokio::test]
async fn a_trap_is_a_tool_error() {
    fails("", "hostile_trap", json!({}), "the tool crashed", "unreachable").await;
}

#[tokio::test]
async fn a_panic_is_a_tool_error_and_its_message_is_logged() {
    fails("", "hostile_panic", json!({}), "the tool crashed", "`hostile_panic` crashed").await;
    let (server, client) = hostile("").await;
    client.failure("hostile_panic", json!({})).await;
    server.log.wait_for("this guest panics on purpose").await;
}

#[tokio::test]
async fn an_exit_is_a_tool_error_even_with_0() {
    let said = "the tool exited (status 0) instead of returning a result";
    fails("", "hostile_exit_zero", json!({}), said, "exited (status 0)").await;
}

#[tokio::test]
async fn a_result_ends_at_its_limit() {
    let (_server, client) = hostile("result = \"100KiB\"\nmemory = \"64MiB\"").await;
    let text = client.value("hostile_huge_string", json!({ "bytes": 90_000 })).await;
    assert_eq!(text.as_str().unwrap().len(), 90_000);
    for (tool, arguments) in [
        ("hostile_huge_string", json!({ "bytes": 110_000 })),
        ("hostile_huge_string", json!({ "bytes": 2_000_000 })),
        ("hostile_huge_list", json!({ "length": 50_000 })),
        ("hostile_huge_list", json!({ "length": 200_000 })),
    ] {
        let said = client.failure(tool, arguments.clone()).await;
        assert_eq!(said, "the tool's result cannot be returned: result larger than 102400 bytes", "{arguments}");
    }
}

#[tokio::test]
async fn a_large_result_within_its_limit_comes_whole() {
    let (server, _) = hostile("").await;
    for client in Client::both(&server).await {
        let text = client.value("hostile_huge_string", json!({ "bytes": 2_000_000 })).await;
        assert_eq!(text.as_str().unwrap().len(), 2_000_000);
    }
}

#[tokio::test]
async fn prints_go_to_the_log_up_to_a_cap() {
    let (server, client) = hostile("log = \"2KiB\"").await;
    assert_eq!(client.value("hostile_print_lines", json!({ "count": 1000 })).await, 1000);
    let line = server.log.wait_for("printed more than one call may").await;
    assert!(line.contains("dropped_bytes") && line.contains("limits.log"), "{line}");
    let lines = server.log.lines("line ").len();
    assert!((200..=270).contains(&lines), "{lines} lines");
    assert!(server.log.lines("line 0")[0].contains("hostile"), "{:?}", server.log.lines("line 0"));
    // The next call has its own share.
    let mark = server.log.mark();
    client.value("hostile_print_lines", json!({ "count": 1 })).await;
    server.log.wait_since(mark, "line 0").await;
}

#[tokio::test]
async fn a_long_line_is_cut_into_records() {
    let (server, client) = hostile("").await;
    assert_eq!(client.value("hostile_print", json!({ "bytes": 5000 })).await, 5000);
    server.log.wait_for("xxxx").await;
    assert!(server.log.lines("xxxx").iter().all(|line| line.len() < 1500));
}

#[tokio::test]
async fn what_is_printed_cannot_pose_as_the_log() {
    let server = Server::with(&["talk"]).await;
    let client = Client::modern(&server);
    let text = "\u{1b}[31mred\r2026-01-01T00:00:00Z ERROR forged\nsecond\u{7}\u{0}line\u{2028}third\u{202e}\u{2066}";
    for tool in ["talk_say", "talk_complain"] {
        let mark = server.log.mark();
        client.call(tool, json!({ "text": text })).await;
        let line = server.log.wait_since(mark, "forged").await;
        assert!(line.contains("talk") && line.contains("INFO"), "{line}");
    }
    server.log.wait_for("second").await;
    let misleading = ['\u{1b}', '\r', '\u{7}', '\0', '\u{2028}', '\u{202e}', '\u{2066}'];
    assert!(!server.log.text().contains(misleading), "{}", server.log.text());
}

#[tokio::test]
async fn arguments_are_not_logged() {
    let (server, client) = hostile("").await;
    client.failure("hostile_read_file", json!({ "path": "/a/private/path" })).await;
    client.failure("hostile_read_file", json!({ "path": 5, "secret": "a private word" })).await;
    assert!(!server.log.text().contains("private"), "{}", server.log.text());
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let (_server, client) = hostile("concurrency = 1\nqueue = 1\ntimeout = \"3s\"").await;
    let mut calls = Vec::new();
    for _ in 0..8 {
        let client = client.clone();
        calls.push(tokio::spawn(async move { client.failure("hostile_spin", json!({})).await }));
    }
    let mut said = Vec::new();
    for call in calls {
        said.push(call.await.unwrap());
    }
    let busy =
        said.iter().filter(|said| *said == "the tool is busy: too many calls are waiting, try again in a moment");
    assert_eq!(busy.count(), 6, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains("did not finish within 3s")).count(), 2, "{said:?}");
}

#[tokio::test]
async fn one_person_does_not_fill_the_queue() {
    const BUSY: &str = "the tool is busy: too many calls are waiting, try again in a moment";
    let site = local().plugin("hostile", &guest("hostile")).config("[limits]\nconcurrency = 2\nqueue = 4\n");
    let world = World::of(site).await;
    let person = async |name: &str| world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
    let (alice, bob) = (person("alice").await, person("bob").await);
    let mut calls = JoinSet::new();
    for _ in 0..7 {
        let alice = alice.clone();
        calls.spawn(async move { alice.call("hostile_sleep_ms", json!({ "ms": 2000 })).await });
    }
    // One person alone has every place, of those that run and of those that wait; the seventh is one too many.
    let first = calls.join_next().await.unwrap().unwrap();
    assert_eq!((first.is_error, first.text.as_str()), (true, BUSY));
    let (one, other) =
        tokio::join!(bob.call("hostile_now", json!({})), bob.call("hostile_sleep_ms", json!({ "ms": 1 })));
    assert!(!one.is_error && !other.is_error, "{one:?} {other:?}");
    assert!(!calls.is_empty(), "others waited for all of one person's calls");
    let mut displaced = 0;
    while let Some(call) = calls.join_next().await {
        let call = call.unwrap();
        displaced += usize::from(call.is_error);
        assert!(!call.is_error || call.text == BUSY, "{call:?}");
    }
    assert!((1..=2).contains(&displaced), "{displaced}");
}

#[tokio::test]
async fn one_person_does_not_take_every_slot_of_the_pool() {
    let site = local().plugin("hostile", &guest("hostile")).plugin("greeter-v1", &guest("greeter-v1"));
    let world = World::of(site.config("[pool]\nslots = 2\n[limits]\nconcurrency = 8\n")).await;
    let person = async |name: &str| world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
    let (alice, bob) = (person("alice").await, person("bob").await);
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let alice = alice.clone();
        calls.spawn(async move { alice.call("hostile_sleep_ms", json!({ "ms": 1500 })).await });
    }
    // Both slots are taken, and six calls wait for them, when one has ended.
    calls.join_next().await.unwrap().unwrap();
    assert_eq!(bob.value("greeter_v1_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let waiting = calls.len();
    assert!(waiting >= 3, "another's plugin waited for all of one person's calls: {waiting} are left");
    calls.abort_all();
}

#[tokio::test]
async fn waiting_in_the_queue_counts_into_the_deadline() {
    let (_server, client) = hostile("concurrency = 1\ntimeout = \"4s\"").await;
    // One of the two waits for the other, and then has not enough time left.
    let sleep = || client.call("hostile_sleep_ms", json!({ "ms": 2500 }));
    let (one, other) = tokio::join!(sleep(), sleep());
    let (slept, late) = if one.is_error { (other, one) } else { (one, other) };
    assert!(!slept.is_error, "{slept:?} {late:?}");
    assert_eq!(late.text, "the tool did not finish within 4s");
}

#[tokio::test]
async fn a_guest_that_hoards_handles_is_stopped() {
    let ways = [
        ("(canon stream.new $stream (core func $new))", "i64"),
        ("(canon future.new $future (core func $new))", "i64"),
        ("(canon waitable-set.new (core func $new))", "i32"),
        ("(core func $new (canon resource.new $resource))", "i32"),
    ];
    for (index, (make, result)) in ways.into_iter().enumerate() {
        let (param, argument) = if make.contains("resource") { ("(param i32)", "i32.const 1") } else { ("", "") };
        let component = from_text(&format!(
            r#"(component
                (type $stream (stream u8)) (type $future (future u8)) (type $resource (resource (rep i32)))
                {make}
                (core module $module
                    (import "" "new" (func $new {param} (result {result})))
                    (func (export "hoard") (result i32) (loop {argument} call $new drop br 0) unreachable))
                (core instance $instance (instantiate $module (with "" (instance (export "new" (func $new))))))
                (func (export "hoard") (result u32) (canon lift (core func $instance "hoard"))))"#
        ));
        let server = Site::new().plugin("hoarder", &component).config("[limits]\nmemory = \"32MiB\"\n").start().await;
        let client = Client::modern(&server);
        let said = client.failure("hoarder_hoard", json!({})).await;
        let expected = "the tool holds more than 2048 resources, streams, futures or tasks at once and was stopped";
        assert!(said.starts_with(expected), "{index}: {said}");
    }
}
