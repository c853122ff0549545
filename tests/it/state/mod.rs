//! State that plugins keep: granted by the operator, durable, and nobody else's.

mod commands;
mod control;
mod drafts;
mod load;

use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};

const GRANTED: &str = "[plugin.state]\nkv = {}\n";

/// A server with the guest `state` under this configuration.
async fn state(config: &str) -> (Server, Client) {
    let server = Site::with(&["state"]).config(config).start().await;
    let client = Client::modern(&server);
    (server, client)
}

async fn set(client: &Client, key: &str, value: &str) {
    client.call("state_set", json!({ "key": key, "value": value })).await;
}

async fn get(client: &Client, key: &str) -> Value {
    client.value("state_get", json!({ "key": key })).await
}

#[tokio::test]
async fn without_a_grant_nothing_is_kept() {
    let (server, client) = state("").await;
    for (tool, arguments) in [
        ("state_get", json!({ "key": "a" })),
        ("state_set", json!({ "key": "a", "value": "b" })),
        ("state_delete", json!({ "key": "a" })),
        ("state_keys", json!({ "prefix": "" })),
        ("state_swap", json!({ "key": "a" })),
        ("state_increment", json!({ "key": "a", "delta": 1 })),
        ("state_draft", json!({ "bucket": "default" })),
        ("state_draft2", json!({ "bucket": "" })),
    ] {
        let said = client.failure(tool, arguments).await;
        assert!(said.contains("AccessDenied"), "{tool}: {said}");
        assert_eq!(said.matches("no grant for kv: ask the operator").count(), 1, "{tool}: {said}");
    }
    assert!(!server.site().path().join(".tinymcp/kv").exists(), "nothing is made for nobody");
}

#[tokio::test]
async fn what_is_kept_outlives_calls_reloads_restarts_and_kills() {
    let (server, client) = state(GRANTED).await;
    set(&client, "a", "one").await;
    assert_eq!(get(&client, "a").await, "one");
    // Another component under the same name.
    let mark = server.log.mark();
    server.site().put("state.wasm", &marked(&guest("state"), 7));
    server.log.wait_since(mark, "`state`").await;
    assert_eq!(get(&client, "a").await, "one");
    set(&client, "b", "two").await;
    let mut server = server.kill().start().await;
    let client = Client::modern(&server);
    assert_eq!((get(&client, "a").await, get(&client, "b").await), (json!("one"), json!("two")));
    assert_eq!(client.value("state_delete", json!({ "key": "a" })).await, true);
    server.terminate();
    server.ended().await;
    let server = server.kill().start().await;
    let client = Client::modern(&server);
    assert_eq!((get(&client, "a").await, get(&client, "b").await), (Value::Null, json!("two")));
}

#[tokio::test]
async fn every_answer_holds_after_a_kill_in_the_middle() {
    let mut site = Site::with(&["state"]).config(GRANTED);
    let mut acknowledged = 0;
    for round in 0..5_u64 {
        let server = site.start().await;
        let client = Client::modern(&server);
        for number in 0..acknowledged {
            assert_eq!(get(&client, &format!("k{number}")).await, number.to_string(), "round {round}");
        }
        let writer = client.clone();
        let writing = tokio::spawn(async move {
            let mut next = acknowledged;
            loop {
                let arguments = json!({ "key": format!("k{next}"), "value": next.to_string() });
                match writer.try_call("state_set", arguments).await {
                    Ok(outcome) if !outcome.is_error => next += 1,
                    _ => return next,
                }
            }
        });
        // Moments of all kinds are what is tested.
        tokio::time::sleep(Duration::from_millis(60 + 23 * round)).await;
        site = server.kill();
        acknowledged = writing.await.unwrap();
    }
    assert!(acknowledged > 5, "{acknowledged} writes");
}

#[tokio::test]
async fn each_person_has_state_of_their_own_or_all_share_the_plugins() {
    let site = || local().plugin("state", &guest("state")).plugin("other", &guest("state"));
    let config = "[plugin.state]\nkv = { per = 'person' }\n[plugin.other]\nkv = { per = 'plugin' }\n";
    let world = World::of(site().config(config)).await;
    let person = async |name: &str| world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
    let (alice, bob) = (person("alice").await, person("bob").await);
    // The same person through another client.
    let alice_elsewhere = world.modern(&world.log_in(Kind::Codex, "alice").await.1.access);
    set(&alice, "a", "of alice").await;
    assert_eq!(get(&bob, "a").await, Value::Null);
    set(&bob, "a", "of bob").await;
    for client in [&alice, &alice_elsewhere] {
        assert_eq!(get(client, "a").await, "of alice");
        assert_eq!(client.value("state_keys", json!({ "prefix": "" })).await, json!([["a"], null]));
    }
    for number in 0..501 {
        alice.call("state_set", json!({ "key": format!("k{number}"), "value": "" })).await;
    }
    let listed = alice.value("state_keys", json!({ "prefix": "" })).await;
    let cursor = listed[1].as_str().unwrap().to_owned();
    let (listed_draft, listed_draft2) =
        (alice.value("state_draft_keys", json!({})).await, alice.value("state_draft2_keys", json!({})).await);
    for (tool, arguments) in [
        ("state_keys", json!({ "prefix": "", "cursor": cursor })),
        ("state_draft2_keys", json!({ "cursor": listed_draft2[1] })),
    ] {
        assert!(!alice.call(tool, arguments.clone()).await.is_error);
        let said = bob.failure(tool, arguments).await;
        assert!(said.contains("InvalidCursor") || said.contains("cursor is of no list"), "{said}");
    }
    // A number is a place in one's own list, whoever it comes from.
    let of_bob = bob.value("state_draft_keys", json!({ "cursor": listed_draft[1] })).await;
    assert_eq!(of_bob, json!([[], null]));

    bob.call("other_set", json!({ "key": "a", "value": "shared" })).await;
    assert_eq!(alice.value("other_get", json!({ "key": "a" })).await, "shared");
    assert_eq!(alice.value("other_keys", json!({ "prefix": "" })).await, json!([["a"], null]));
}

#[tokio::test]
async fn a_quota_is_said_and_holds_for_calls_at_once() {
    let (_server, client) = state("[plugin.state]\nkv = { quota = '16KiB' }\n").await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let client = client.clone();
        let arguments = json!({ "prefix": format!("w{writer}-"), "bytes": 900, "most": 100 });
        writers.spawn(async move { client.value("state_write_until", arguments).await });
    }
    let written: Vec<Value> = writers.join_all().await;
    let count: u64 = written.iter().map(|outcome| outcome[0].as_u64().unwrap()).sum();
    // Each is 900 bytes, a key of 4 and 64 more.
    assert_eq!(count, 16, "{written:?}");
    assert!(written.iter().all(|outcome| outcome[1].as_str().unwrap().contains("QuotaExceeded")), "{written:?}");
    let empty = client.value("state_write_until", json!({ "prefix": "e", "bytes": 0, "most": 100_000 })).await;
    assert!(empty[0].as_u64().unwrap() < 16 && empty[1].as_str().unwrap().contains("QuotaExceeded"), "{empty}");
    for (bytes, expected) in [(1024 * 1024 + 1, "TooLarge"), (20_000, "QuotaExceeded")] {
        let said = client.failure("state_fill", json!({ "key": "large", "bytes": bytes })).await;
        assert!(said.contains(expected), "{said}");
    }
    let said = client.failure("state_set", json!({ "key": "k".repeat(513), "value": "" })).await;
    assert!(said.contains("TooLarge"), "{said}");
}

#[tokio::test]
async fn swaps_lose_nothing_and_lives_end() {
    let (_server, client) = state(GRANTED).await;
    let mut counters = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        counters.spawn(async move { client.value("state_count_up", json!({ "key": "n", "times": 25 })).await });
    }
    let attempts = counters.join_all().await;
    assert_eq!(get(&client, "n").await, "100", "{attempts:?}");
    assert_eq!(client.value("state_increment", json!({ "key": "n", "delta": -58 })).await, 42);
    set(&client, "text", "x").await;
    let said = client.failure("state_increment", json!({ "key": "text", "delta": 1 })).await;
    assert!(said.contains("NotANumber"), "{said}");

    client.call("state_set", json!({ "key": "short", "value": "x", "ttl-ms": 300 })).await;
    assert_eq!(get(&client, "short").await, "x");
    until("the end of its life", async || get(&client, "short").await.is_null()).await;
}

#[tokio::test]
async fn lives_end_by_the_clock_that_is_believed() {
    let server = Site::with(&["state"]).config(GRANTED).with_clock().start().await;
    let client = Client::modern(&server);
    client.call("state_set", json!({ "key": "a", "value": "x", "ttl-ms": 3_600_000 })).await;
    server.advance(Duration::from_secs(3500));
    assert_eq!(get(&client, "a").await, "x");
    server.advance(Duration::from_secs(200));
    until("the end of its life", async || get(&client, "a").await.is_null()).await;
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_ends_in_the_middle_of_a_call_and_takes_nothing_away() {
    let (server, client) = state(GRANTED).await;
    set(&client, "kept", "x").await;
    let waiting = client.clone();
    let call = tokio::spawn(async move {
        waiting.failure("state_set_and_wait", json!({ "key": "a", "value": "b", "ms": 4000 })).await
    });
    until("the first half of the call", async || !get(&client, "a").await.is_null()).await;
    server.site().configure("");
    let said = call.await.unwrap();
    assert!(said.contains("AccessDenied"), "{said}");
    server.site().configure(GRANTED);
    until("the grant", async || client.call("state_get", json!({ "key": "kept" })).await.structured["result"] == "x")
        .await;
}

#[tokio::test]
async fn a_renamed_file_starts_empty() {
    let (server, client) = state("[plugin.state]\nkv = {}\nprefix = 'x'\n[plugin.renamed]\nkv = {}\n").await;
    client.call("x_set", json!({ "key": "a", "value": "b" })).await;
    // Another prefix is no other plugin.
    server.site().configure("[plugin.state]\nkv = {}\nprefix = 'y'\n[plugin.renamed]\nkv = {}\n");
    client.wait_for_tool("y_get").await;
    assert_eq!(client.value("y_get", json!({ "key": "a" })).await, "b");
    server.site().remove("state.wasm");
    server.site().put("renamed.wasm", &guest("state"));
    client.wait_for_tool("renamed_get").await;
    assert_eq!(client.value("renamed_get", json!({ "key": "a" })).await, Value::Null);
}
