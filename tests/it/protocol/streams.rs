//! The event streams of legacy sessions: their beginnings, the choice among several, and resumption.

use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::client::{Client, LEGACY};
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Events;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, within};

const STREAMS: &str = "text/event-stream, application/json";

async fn with_everything() -> Server {
    let config = "[plugin.everything]\nprefix = \"\"\n";
    Site::new().plugin("everything", &guest("everything")).config(config).start().await
}

/// Changes the list, and back at the next time.
fn change(server: &Server) {
    let site = server.site();
    if site.plugin_path("greeter.wasm").exists() {
        site.remove("greeter.wasm");
    } else {
        site.put("greeter.wasm", &guest("greeter-v1"));
    }
}

async fn is_told(events: &mut Events) {
    let told = events.expect("a change").await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
}

/// The same once the server has noticed that a newer stream is gone: until then that one gets the messages.
async fn is_told_in_the_end(server: &Server, events: &mut Events) {
    until("a change", async || {
        change(server);
        tokio::time::timeout(Duration::from_secs(2), events.next()).await.is_ok()
    })
    .await;
}

/// Events whose data is no message, by the line that ends each.
fn events_without_data(raw: &str) -> Vec<&str> {
    let events = raw.split("\n\n").filter(|event| event.lines().any(|line| line.starts_with("data")));
    let data = |event: &str| event.lines().filter_map(|line| line.strip_prefix("data:")).collect::<String>();
    events.filter(|event| serde_json::from_str::<Value>(&data(event)).is_err()).collect()
}

#[tokio::test]
async fn only_revisions_that_know_it_get_an_event_without_data() {
    let server = with_everything().await;
    for version in LEGACY {
        let client = Client::of_version(&server, version).await;
        let mut events = client.listen().await;
        change(&server);
        is_told(&mut events).await;
        let standing = events.raw();

        let call = json!({ "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": 1 } });
        let mut posts = Vec::new();
        for accept in [STREAMS, "application/json, text/event-stream"] {
            let request = client.request("tools/call", call.clone()).1.header("accept", accept);
            let mut events = request.open().await.events();
            while events.next().await.is_some() {}
            posts.push(events.raw());
        }
        for raw in [&standing, &posts[0], &posts[1]] {
            let expected = usize::from(version == LEGACY[0]);
            assert_eq!(events_without_data(raw).len(), expected, "{version}: {raw}");
            assert!(raw.contains("\"jsonrpc\""), "{version}: {raw}");
        }
    }
}

#[tokio::test]
async fn the_newest_stream_gets_the_messages() {
    let server = Server::with(&[]).await;
    for version in LEGACY {
        let client = Client::of_version(&server, version).await;
        let mut first = client.listen().await;
        change(&server);
        is_told(&mut first).await;

        // Whoever lost the first without noticing opens another.
        let mut second = client.listen().await;
        change(&server);
        is_told(&mut second).await;
        let mut third = client.listen().await;
        change(&server);
        is_told(&mut third).await;

        // The older ones are open, and silent until the newer ones end.
        drop(third);
        is_told_in_the_end(&server, &mut second).await;
        drop(second);
        is_told_in_the_end(&server, &mut first).await;
    }
}

#[tokio::test]
async fn what_was_said_while_nobody_listened_is_said_to_who_comes() {
    let server = Server::with(&[]).await;
    let client = Client::legacy(&server).await;
    let watcher = Client::legacy(&server).await;
    let mut watched = watcher.listen().await;
    change(&server);
    is_told(&mut watched).await;
    is_told(&mut client.listen().await).await;
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_that_was_seen() {
    let server = Server::with(&[]).await;
    let client = Client::legacy(&server).await;
    let mut events = client.listen().await;
    change(&server);
    is_told(&mut events).await;
    let seen = events.last_id().unwrap();
    change(&server);
    is_told(&mut events).await;
    drop(events);
    let resume = |id: &str| client.other("GET").header("accept", "text/event-stream").header("last-event-id", id);
    let mut again = resume(&seen).open().await.events();
    is_told(&mut again).await;
    let last = again.last_id().unwrap();
    assert_ne!(last, seen);
    drop(again);
    // It was seen now: the next message is another.
    let mut again = resume(&last).open().await.events();
    change(&server);
    is_told(&mut again).await;
    assert_ne!(again.last_id(), Some(last));
    // Events of another time are not known, and the stream goes on all the same.
    for unknown in ["0", "17", "00000000-0-5", "nonsense"] {
        let mut again = resume(unknown).open().await.events();
        change(&server);
        is_told(&mut again).await;
    }
}

#[tokio::test]
async fn an_answer_waits_for_a_client_that_was_let_go() {
    let server = with_everything().await;
    let client = Client::legacy(&server).await;
    let call = json!({ "name": "test_reconnection", "arguments": {} });
    let (id, request) = client.request("tools/call", call);
    let mut events = request.open().await.events();
    assert_eq!(within("the end of the stream", events.next()).await, None);
    let seen = events.last_id().unwrap();
    assert!(events.raw().contains("retry:"), "{}", events.raw());
    // By now the answer is there, and nobody has read it.
    client.result("tools/call", json!({ "name": "slow_compute", "arguments": { "seconds": 1, "label": "x" } })).await;
    let request = client.other("GET").header("accept", "text/event-stream").header("last-event-id", &seen);
    let messages = request.open().await.events().rest().await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["id"], id);
    assert_eq!(messages[0]["result"]["content"][0]["text"], "Reconnection test completed");
}
