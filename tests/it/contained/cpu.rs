//! The processor time of a call: a guest that computes ends at its bound, and one that waits does not.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};
use tokio::task::JoinSet;

use super::hostile;

const SAID: &str = "the tool needs more processor time than its limit of 200ms for one call: ask it for less at a time";

/// The processor time of all threads that the server has now.
fn processor_time(server: &Server) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let of_task = |task: fs::DirEntry| {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        schedstat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(of_task).sum())
}

#[tokio::test]
async fn a_guest_that_loops_ends_at_its_bound() {
    let (server, modern) = hostile("cpu = \"200ms\"\ntimeout = \"5m\"").await;
    for client in [modern, Client::legacy(&server).await] {
        client.value("hostile_now", json!({})).await;
        let (mark, before) = (server.log.mark(), processor_time(&server));
        assert_eq!(client.failure("hostile_spin", json!({})).await, SAID);
        let spent = processor_time(&server) - before;
        // The tick, a turn, and all that the server does for a call.
        assert!((Duration::from_millis(195)..Duration::from_millis(235)).contains(&spent), "{spent:?}");
        let line = server.log.wait_since(mark, "more processor time").await;
        assert!(line.contains("`cpu` in `[plugin.hostile]` or `[limits]` sets it"), "{line}");
        assert!(client.value("hostile_now", json!({})).await.is_u64());
    }
}

#[tokio::test]
async fn the_bound_is_that_of_the_plugin_and_of_each_call() {
    let config = "[limits]\ncpu = \"50ms\"\ntimeout = \"5m\"\n[plugin.hostile]\ncpu = \"200ms\"\n[plugin.other]\ncpu = \"unlimited\"\n";
    let site = Site::with(&["hostile"]).plugin("other", &guest("hostile")).plugin("third", &guest("hostile"));
    let server = site.config(config).start().await;
    let client = Client::modern(&server);
    assert!(client.failure("third_spin", json!({})).await.contains("limit of 50ms"));
    assert_eq!(client.failure("hostile_spin", json!({})).await, SAID);
    for _ in 0..3 {
        // What one call takes is no other call's.
        client.value("hostile_spin_for", json!({ "ms": 20 })).await;
        client.value("third_sleep_ms", json!({ "ms": 150 })).await;
    }
    client.value("other_spin_for", json!({ "ms": 400 })).await;
    // It holds for the next call when it is changed.
    server.site().configure(&config.replace("200ms", "30ms"));
    tinymcp_tests::until("the other bound", async || {
        client.failure("hostile_spin", json!({})).await.contains("limit of 30ms")
    })
    .await;
}

#[tokio::test]
async fn a_guest_that_loops_while_it_starts_ends_at_its_bound() {
    let server = Site::with(&["start-spin"]).config("[limits]\ncpu = \"200ms\"\ntimeout = \"5m\"\n").start().await;
    assert_eq!(Client::modern(&server).failure("start_spin_hello", json!({})).await, SAID);
}

#[tokio::test]
async fn guests_that_wait_for_their_turns_are_not_charged_for_it() {
    let (server, client) = hostile("cpu = \"200ms\"\ntimeout = \"5m\"").await;
    client.value("hostile_now", json!({})).await;
    let before = processor_time(&server);
    let mut calls = JoinSet::new();
    for _ in 0..12 {
        let client = client.clone();
        calls.spawn(async move { client.failure("hostile_spin", json!({})).await });
    }
    assert!(calls.join_all().await.iter().all(|said| said == SAID));
    let spent = processor_time(&server) - before;
    assert!((Duration::from_millis(12 * 195)..Duration::from_millis(12 * 235)).contains(&spent), "{spent:?}");
}
