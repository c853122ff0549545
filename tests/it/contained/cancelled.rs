//! A caller that goes away, or takes its call back, stops the guest.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::within;

use super::{ONE_PLACE, hostile, wait_for_place};

/// One guest that computes and one that waits: the host stops them in different places.
fn endless() -> [(&'static str, Value); 2] {
    [("hostile_spin", json!({})), ("hostile_sleep_ms", json!({ "ms": 600_000 }))]
}

#[tokio::test]
async fn a_client_that_goes_away_stops_its_guest() {
    let (server, watcher) = hostile(ONE_PLACE).await;
    for client in Client::both(&server).await {
        for (tool, arguments) in endless() {
            let call = client.request("tools/call", json!({ "name": tool, "arguments": arguments })).1;
            let call = tokio::spawn(call.try_send());
            wait_for_place(&watcher, true).await;
            assert!(!call.is_finished());
            call.abort();
            wait_for_place(&watcher, false).await;
        }
    }
}

#[tokio::test]
async fn a_client_without_a_session_that_goes_away_stops_its_guest() {
    let (server, watcher) = hostile(ONE_PLACE).await;
    for (tool, arguments) in endless() {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments },
        });
        let call = tokio::spawn(server.request("POST", "/mcp").json(&message).try_send());
        wait_for_place(&watcher, true).await;
        assert!(!call.is_finished());
        call.abort();
        wait_for_place(&watcher, false).await;
    }
}

#[tokio::test]
async fn a_cancelled_call_stops_its_guest() {
    let (server, watcher) = hostile(ONE_PLACE).await;
    let client = Client::legacy(&server).await;
    for (tool, arguments) in endless() {
        let (id, call) = client.request("tools/call", json!({ "name": tool, "arguments": arguments }));
        let call = tokio::spawn(call.try_send());
        wait_for_place(&watcher, true).await;
        let answer = client.notify("notifications/cancelled", json!({ "requestId": id, "reason": "enough" })).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        wait_for_place(&watcher, false).await;
        within("the end of a cancelled call", call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_session_cannot_cancel_the_calls_of_another() {
    let (server, watcher) = hostile("concurrency = 1\ntimeout = \"3s\"").await;
    let (client, other) = (Client::legacy(&server).await, Client::legacy(&server).await);
    let (id, call) = client.request("tools/call", json!({ "name": "hostile_spin", "arguments": {} }));
    let call = tokio::spawn(call.try_send());
    wait_for_place(&watcher, true).await;
    other.notify("notifications/cancelled", json!({ "requestId": id })).await;
    let answer = within("the call", call).await.unwrap().unwrap();
    assert!(answer.text().contains("did not finish within 3s"), "{answer:?}");
}

#[tokio::test]
async fn cancelling_what_is_not_there_hurts_nobody() {
    let (server, client) = hostile("").await;
    let legacy = Client::legacy(&server).await;
    for id in [json!(99), json!("x"), Value::Null] {
        assert_eq!(legacy.notify("notifications/cancelled", json!({ "requestId": id })).await.status, 202);
    }
    assert!(client.value("hostile_now", json!({})).await.is_u64());
    assert!(legacy.value("hostile_now", json!({})).await.is_u64());
}
