//! What is kept for a client that has logged in: sessions, listeners and their subscriptions, each with an end.

use serde_json::{Value, json};
use tinymcp_tests::client::{Client, LEGACY, initialize};
use tinymcp_tests::http::Events;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

use super::refusal;

const INVALID_PARAMS: i64 = -32602;

#[tokio::test]
async fn little_is_kept_of_a_large_handshake() {
    let server = Server::with(&[]).await;
    Client::legacy(&server).await;
    let mut message = initialize(LEGACY[0]);
    message["params"]["capabilities"] = json!({ "elicitation": { "form": {} }, "experimental": { "x": {} } });
    // Twenty thousand lists, as text: as values they take more than half a megabyte.
    let lists = format!(r#""x":{{"y":[{}[]]}}"#, "[],".repeat(20_000));
    let body = message.to_string().replace(r#""x":{}"#, &lists);
    let before = server.resident_kib();
    for _ in 0..100 {
        let request = server.request("POST", "/mcp").header("content-type", "application/json").body(body.clone());
        let answer = request.send().await;
        assert_eq!(answer.json()["result"]["protocolVersion"], LEGACY[0], "{answer:?}");
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 30 * 1024, "{grown} KiB");
}

#[tokio::test]
async fn an_idle_session_costs_little_and_goes_on() {
    const SESSIONS: u64 = 400;
    let site = Site::with(&["greeter-v1"]).config("[server]\nsessions_per_person = 1000\n");
    let server = site.start().await;
    let first = Client::legacy(&server).await;
    first.result("ping", json!({})).await;
    // Their services end after a moment without use, and the next ones use that memory again: time itself is tested.
    let mut resident = Vec::new();
    for _ in 0..4 {
        for _ in 0..SESSIONS / 2 {
            Client::legacy(&server).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(7)).await;
        resident.push(server.resident_kib());
    }
    let grown = resident[3].saturating_sub(resident[1]);
    assert!(grown < 20 * SESSIONS, "{grown} KiB for {SESSIONS} sessions: {resident:?}");
    assert_eq!(first.result("ping", json!({})).await, json!({}));
    assert_eq!(first.value("greeter_v1_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}

#[tokio::test]
async fn wishes_of_a_session_outlive_its_service() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::legacy(&server).await;
    let mut events = client.listen().await;
    // The service of an idle session ends after five seconds: time itself is tested.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert_eq!(client.result("ping", json!({})).await, json!({}));
    server.site().remove("greeter-v1.wasm");
    assert_eq!(events.expect("a change").await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn listeners_leave_connections_to_others_and_are_told_so() {
    let server = Site::new().config("[server]\nconnections = 16\n").start().await;
    let [modern, legacy] = Client::both(&server).await;
    let mut streams: Vec<Events> = Vec::new();
    for number in 0..15 {
        streams.push(if number % 2 == 0 { modern.listen().await } else { legacy.listen().await });
    }
    let (id, request) =
        modern.request("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let refused = request.send().await;
    assert_eq!(refusal(&refused), (429, INVALID_PARAMS, Some(json!(id))));
    assert!(refused.text().contains("close one"), "{}", refused.text());
    let refused = legacy.other("GET").header("accept", "text/event-stream").send().await;
    assert!(refused.status == 429 && refused.text().contains("close one"), "{refused:?}");
    assert_eq!(legacy.result("ping", json!({})).await, json!({}));
    streams.pop();
    until("a place", async || legacy.other("GET").header("accept", "text/event-stream").open().await.status == 200)
        .await;
}

#[tokio::test]
async fn subscriptions_are_few_and_short() {
    let server = Server::with(&["everything"]).await;
    let [modern, legacy] = Client::both(&server).await;
    let many: Vec<String> = (0..1001).map(|number| format!("x:{number}")).collect();
    let long: Vec<String> = (0..10).map(|number| format!("x:{number}{}", "y".repeat(7000))).collect();
    let huge: Vec<String> = (0..3).map(|number| format!("x:{number}{}", "y".repeat(1_000_000))).collect();
    for uris in [many, long, huge] {
        let params = json!({ "notifications": { "resourceSubscriptions": uris } });
        let (_, request) = modern.request("subscriptions/listen", params);
        let refused = request.send().await;
        assert_eq!(refusal(&refused).1, INVALID_PARAMS);
        assert!(refused.text().contains("1000 resources"), "{}", refused.text());
    }
    let mut last = Value::Null;
    for number in 0..40 {
        let uri = format!("test://template/{number}{}/data", "y".repeat(2000));
        last = legacy.answer("resources/subscribe", json!({ "uri": uri })).await;
    }
    assert_eq!(last["error"]["code"], INVALID_PARAMS, "{last}");
    assert!(last["error"]["message"].as_str().unwrap().contains("1000 resources"), "{last}");
}
