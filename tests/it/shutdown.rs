//! The end of a server, orderly or not, and the next beginning.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, within};

/// Sends a request after all others and waits for its answer: those before it have been received.
async fn all_under_way(client: &Client) {
    client.value("greeter_v1_wait", json!({ "ms": 200 })).await;
}

async fn greeter(config: &str) -> Server {
    Site::with(&["greeter-v1"]).config(config).start().await
}

#[tokio::test]
async fn a_call_under_way_finishes_before_the_end() {
    let mut server = greeter("").await;
    let mut calls = Vec::new();
    for client in Client::both(&server).await {
        calls.push(tokio::spawn(async move { client.value("greeter_v1_wait", json!({ "ms": 4000 })).await }));
    }
    all_under_way(&Client::modern(&server)).await;
    server.terminate();
    server.log.wait_for("stopping").await;
    until("refused connections", async || TcpStream::connect(server.address).is_err()).await;
    assert!(calls.iter().all(|call| !call.is_finished()), "the calls were over before");
    for call in calls {
        assert_eq!(call.await.unwrap(), "v1");
    }
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
}

#[tokio::test]
async fn ctrl_c_ends_a_server_too() {
    let mut server = greeter("").await;
    server.interrupt();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(server.log.text().contains("stopped"), "{}", server.log.text());
}

#[tokio::test]
async fn what_outlasts_the_grace_period_is_cut() {
    let mut server = greeter("[server]\ngrace = \"300ms\"\n[limits]\ntimeout = \"10m\"\n").await;
    let mut calls = Vec::new();
    for client in Client::both(&server).await {
        calls.push(tokio::spawn(async move { client.try_call("greeter_v1_wait", json!({ "ms": 600_000 })).await }));
    }
    all_under_way(&Client::modern(&server)).await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    server.log.wait_for("grace period is over").await;
    for call in calls {
        assert!(within("a cut call", call).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = greeter("[server]\ngrace = \"5m\"\n[limits]\ntimeout = \"10m\"\n").await;
    let client = Client::modern(&server);
    let call = tokio::spawn(async move { client.try_call("greeter_v1_wait", json!({ "ms": 600_000 })).await });
    all_under_way(&Client::modern(&server)).await;
    server.terminate();
    server.log.wait_for("stopping").await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(within("a cut call", call).await.unwrap().is_err());
}

#[tokio::test]
async fn open_streams_end_and_hold_nothing_up() {
    let mut server = greeter("").await;
    let mut streams = Vec::new();
    for client in Client::both(&server).await {
        streams.push(client.listen().await);
    }
    server.terminate();
    for stream in streams {
        stream.rest().await;
    }
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
}

#[tokio::test]
async fn a_subscription_that_ends_in_order_gets_its_result() {
    let server = greeter("").await;
    let client = Client::modern(&server);
    let (id, request) =
        client.request("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let mut events = request.open().await.events();
    events.expect("an acknowledgement").await;
    server.terminate();
    let rest = events.rest().await;
    let last = rest.last().expect("a result");
    assert!(last["id"] == id && last.get("result").is_some(), "{last}");
}

#[tokio::test]
async fn idle_connections_hold_nothing_up() {
    let mut server = greeter("").await;
    let silent = TcpStream::connect(server.address).unwrap();
    let mut idle = TcpStream::connect(server.address).unwrap();
    idle.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).as_bytes()).unwrap();
    let mut answered = [0; 12];
    idle.read_exact(&mut answered).unwrap();
    assert_eq!(&answered, b"HTTP/1.1 200");
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
    drop((silent, idle));
}

#[tokio::test]
async fn a_killed_server_starts_again_from_its_state() {
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).start().await;
    let client = Client::legacy(&server).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.try_call("greeter_wait", json!({ "ms": 5000 })).await })
        })
        .collect();
    client.value("greeter_wait", json!({ "ms": 200 })).await;
    // In the middle of calls and of a load.
    server.site().put("other.wasm", &guest("greeter-v2"));
    let server = server.kill().start().await;
    for call in calls {
        assert!(within("a cut call", call).await.unwrap().is_err());
    }
    let client = client.moved_to(&server);
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    assert_eq!(client.value("other_greet", json!({ "name": "Ada" })).await, "v2 greets Ada");
    assert_eq!(server.log.lines("WARN"), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_state_is_survived_or_named() {
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).start().await;
    let site = server.kill();
    let state = site.path().join(".tinymcp");
    std::fs::write(state.join("names.json"), "{").unwrap();
    for entry in std::fs::read_dir(&state).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in std::fs::read_dir(entry.path()).unwrap().flatten().filter(|file| file.path().is_file()) {
            std::fs::write(file.path(), "damaged").unwrap();
        }
    }
    let server = site.start().await;
    assert_eq!(Client::modern(&server).value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let site = server.kill();
    std::fs::write(site.path().join(".tinymcp/key"), "short").unwrap();
    let finished = site.refusal();
    assert!(finished.code == 2 && finished.stderr.contains("expected 32 bytes, found 5"), "{finished:?}");
}
