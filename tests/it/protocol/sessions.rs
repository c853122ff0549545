//! Legacy sessions: their owners, their ends, and their survival.

use serde_json::json;
use tinymcp_tests::client::{Client, LEGACY, initialize};
use tinymcp_tests::server::{Server, Site};

use super::refusal;

const INVALID_REQUEST: i64 = -32600;

#[tokio::test]
async fn a_deleted_session_is_gone() {
    let server = Server::with(&[]).await;
    let client = Client::legacy(&server).await;
    assert_eq!(client.other("DELETE").send().await.status, 204);
    for method in ["tools/list", "tools/call"] {
        let answer = client.request(method, json!({ "name": "x", "arguments": {} })).1.send().await;
        assert_eq!(refusal(&answer).0, 404, "{method}");
    }
    assert_eq!(client.other("GET").header("accept", "text/event-stream").send().await.status, 404);
    assert_eq!(client.other("DELETE").send().await.status, 404);
    assert_eq!(client.notify("notifications/initialized", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_session_goes_on_after_a_restart() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::legacy(&server).await;
    let again = server.kill().start().await;
    let client = client.moved_to(&again);
    assert_eq!(client.value("greeter_v1_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let mut events = client.listen().await;
    again.site().remove("greeter-v1.wasm");
    assert_eq!(events.expect("a change").await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_session_of_another_server_is_unknown() {
    let (server, other) = (Server::with(&[]).await, Server::with(&[]).await);
    let stranger = Client::legacy(&other).await.moved_to(&server);
    let answer = stranger.request("tools/list", json!({})).1.send().await;
    assert_eq!((refusal(&answer).0, refusal(&answer).1), (404, INVALID_REQUEST));
    assert!(answer.text().contains("initialize"), "{}", answer.text());
}

#[tokio::test]
async fn a_forged_session_id_is_unknown() {
    let server = Server::with(&[]).await;
    let client = Client::legacy(&server).await;
    let id = client.session();
    let last = if id.ends_with('A') { 'B' } else { 'A' };
    let forged =
        [format!("{}{last}", &id[..id.len() - 1]), format!("{id}A"), id[..id.len() / 2].to_owned(), "x".into()];
    for forged in forged {
        for method in ["POST", "GET", "DELETE"] {
            let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
            let request = server.request(method, "/mcp").json(&message).header("mcp-session-id", &forged);
            assert_eq!(refusal(&request.send().await).0, 404, "{method} {forged}");
        }
    }
}

#[tokio::test]
async fn a_request_without_a_session_is_served() {
    let server = Server::with(&["greeter-v1"]).await;
    for (method, params) in [
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } })),
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        for version in [None, Some(LEGACY[0]), Some(LEGACY[2])] {
            let mut request = server.request("POST", "/mcp").json(&message);
            if let Some(version) = version {
                request = request.header("mcp-protocol-version", version);
            }
            let answer = request.send().await;
            assert_eq!(answer.status, 200, "{method} {version:?}: {answer:?}");
            assert!(answer.json().get("result").is_some(), "{method} {version:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn initialize_with_a_stale_session_begins_anew() {
    let server = Server::with(&[]).await;
    let client = Client::legacy(&server).await;
    client.other("DELETE").send().await;
    for stale in [client.session(), "forged"] {
        let request = server.request("POST", "/mcp").json(&initialize(LEGACY[0])).header("mcp-session-id", stale);
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let begun = answer.header("mcp-session-id");
        assert!(!begun.is_empty() && begun != stale, "{answer:?}");
    }
}

#[tokio::test]
async fn sessions_over_the_cap_make_room_and_go_on() {
    let site = Site::with(&["greeter-v1"]).config("[server]\nsessions_per_person = 3\n");
    let server = site.start().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::legacy(&server).await);
    }
    // The oldest were put away, and are made again from their ids.
    for client in &clients {
        assert_eq!(client.value("greeter_v1_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    }
}

#[tokio::test]
async fn the_stream_of_a_session_that_made_room_ends() {
    let server = Site::new().config("[server]\nsessions_per_person = 1\n").start().await;
    let first = Client::legacy(&server).await;
    let events = first.listen().await;
    Client::legacy(&server).await;
    assert_eq!(events.rest().await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_session_in_use_does_not_make_room() {
    let site = Site::with(&["greeter-v1"]).config("[server]\nsessions_per_person = 2\n");
    let server = site.start().await;
    let busy = Client::legacy(&server).await;
    let mut events = busy.listen().await;
    let idle = Client::legacy(&server).await.listen().await;
    busy.value("greeter_v1_greet", json!({ "name": "Ada" })).await;
    Client::legacy(&server).await;
    idle.rest().await;
    server.site().remove("greeter-v1.wasm");
    assert_eq!(events.expect("a change").await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn notifications_are_accepted_without_a_body() {
    let server = Server::with(&[]).await;
    for client in Client::both(&server).await {
        for method in ["notifications/initialized", "notifications/cancelled", "notifications/unheard_of"] {
            let params = if method.ends_with("cancelled") { json!({ "requestId": 77 }) } else { json!({}) };
            let answer = client.notify(method, params).await;
            assert_eq!((answer.status, answer.text()), (202, String::new()), "{method}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_handshake_hurts_nobody() {
    let server = Server::with(&[]).await;
    for _ in 0..20 {
        drop(server.request("POST", "/mcp").json(&initialize(LEGACY[0])).open().await);
    }
    assert_eq!(Client::legacy(&server).await.result("ping", json!({})).await, json!({}));
}
