//! A guest does nothing to its neighbours.

use serde_json::{Value, json};
use tinymcp_tests::client::{CallOutcome, Client};
use tinymcp_tests::server::Site;
use tokio::task::JoinHandle;

use super::{hostile, peak_mib, wait_for_place};

/// Rounds of two requests that others get while sixteen guests spin for six seconds. On two cores that have nothing else to do
/// it is more than a hundred.
const ROUNDS: usize = 5;

#[tokio::test]
async fn sixteen_spinning_guests_leave_the_others_their_time() {
    let site = Site::with(&["hostile", "greeter-v1"]).config("[limits]\ntimeout = \"6s\"\nconcurrency = 16\n");
    let server = site.start().await;
    let client = Client::modern(&server);
    client.value("greeter_v1_greet", json!({ "name": "Ada" })).await;
    let mut spinning = Vec::new();
    for _ in 0..16 {
        let client = client.clone();
        spinning.push(tokio::spawn(async move { client.failure("hostile_spin", json!({})).await }));
    }
    wait_for_place(&client, true).await;
    let mut rounds = 0;
    loop {
        assert_eq!(server.get("/healthz").await.status, 200);
        client.value("greeter_v1_greet", json!({ "name": "Ada" })).await;
        if spinning.iter().any(JoinHandle::is_finished) {
            break;
        }
        rounds += 1;
    }
    assert!(rounds >= ROUNDS, "{rounds} rounds");
    for call in spinning {
        assert_eq!(call.await.unwrap(), "the tool did not finish within 6s");
    }
}

#[tokio::test]
async fn every_call_gets_a_fresh_instance() {
    let (server, _) = hostile("").await;
    let mut calls = Vec::new();
    for round in 0..12 {
        for client in Client::both(&server).await {
            calls.push(tokio::spawn(async move {
                // Failing calls in between leave nothing either.
                if round % 3 == 0 {
                    client.failure("hostile_trap", json!({})).await;
                }
                client.call("hostile_dirty", json!({})).await.structured
            }));
        }
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), json!({ "calls": 0, "bytes": 0 }));
    }
}

/// With one slot, each instance gets what the one before had: memory and table, touched a little or all over.
async fn a_slot_is_clean(pool: &str) {
    let server = Site::with(&["leftovers"]).config(&format!("[pool]\nslots = 1\n{pool}")).start().await;
    let client = Client::modern(&server);
    for pages in [1, 15, 16, 17, 64].repeat(4) {
        assert_eq!(client.value("leftovers_count", json!({ "pages": pages })).await, 0, "{pages} pages");
    }
}

#[tokio::test]
async fn a_slot_that_is_used_again_is_clean() {
    a_slot_is_clean("").await;
}

#[tokio::test]
async fn a_slot_that_is_cleaned_by_a_scan_is_clean() {
    a_slot_is_clean("scan = true\n").await;
}

#[tokio::test]
async fn large_values_of_many_calls_wait_for_each_other() {
    let server = Site::with(&["hostile", "echo"]).config("[limits]\ntimeout = \"10m\"\n").start().await;
    let client = Client::modern(&server);
    // As values, each result takes 120 MB, and so does each argument.
    for called in sixteen(&client, "hostile_huge_list", json!({ "length": 3_000_000 })).await {
        assert!(called.text.contains("result larger than"), "{called:?}");
    }
    assert!(peak_mib(&server) < 1100, "{} MiB for results", peak_mib(&server));
    let bytes = "A".repeat(3_900_000);
    for called in sixteen(&client, "echo_echo_bytes", json!({ "value": bytes })).await {
        assert_eq!(called.text.len(), bytes.len());
    }
    assert!(peak_mib(&server) < 2200, "{} MiB for arguments", peak_mib(&server));
}

/// Sixteen calls at once.
async fn sixteen(client: &Client, tool: &'static str, arguments: Value) -> Vec<CallOutcome> {
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (client, arguments) = (client.clone(), arguments.clone());
            tokio::spawn(async move { client.try_call(tool, arguments).await })
        })
        .collect();
    let mut called = Vec::new();
    for call in calls {
        called.push(call.await.unwrap().unwrap());
    }
    called
}

#[tokio::test]
async fn crashes_beside_good_calls_touch_none_of_them() {
    let server =
        Site::with(&["hostile", "greeter-v1"]).config("[limits]\ntimeout = \"3s\"\nmemory = \"16MiB\"\n").start().await;
    let client = Client::modern(&server);
    let mut crashes = Vec::new();
    for tool in ["trap", "panic", "exit_zero", "recurse", "eat_memory", "spin", "nan"] {
        for _ in 0..3 {
            let client = client.clone();
            crashes.push(tokio::spawn(async move { client.failure(&format!("hostile_{tool}"), json!({})).await }));
        }
    }
    while crashes.iter().any(|crash| !crash.is_finished()) {
        assert_eq!(client.value("greeter_v1_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    }
    for crash in crashes {
        assert!(!crash.await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn more_calls_than_places_all_end() {
    let server = Site::with(&["greeter-v1"]).config("[pool]\nslots = 2\n").start().await;
    let client = Client::modern(&server);
    let mut calls = Vec::new();
    for _ in 0..30 {
        let client = client.clone();
        calls.push(tokio::spawn(async move { client.value("greeter_v1_wait", json!({ "ms": 20 })).await }));
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), "v1");
    }
}
