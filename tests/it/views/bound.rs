//! What was made at one view is nothing at another, for the same person through the same client.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::http::Request;
use tinymcp_tests::server::{Server, Site};

use super::{INVALID_PARAMS, both_at, code, with_views};

/// Two views of the same plugins, so that nothing but the view tells them apart.
const TWINS: &str = "[server]\nlist_page = 2\n[plugin.everything]\nprefix = \"\"\n\
    [view.one]\nplugins = [\"everything\"]\n[view.other]\nplugins = [\"everything\"]\n";

async fn twins() -> Server {
    with_views(Site::new()).config(TWINS).start().await
}

fn capable(client: &Client, method: &str, params: Value) -> Request {
    let capabilities = json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let mut message = client.message(method, params);
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    let request = client.post(&message);
    match message["params"]["taskId"].as_str() {
        Some(id) => request.header("mcp-name", id),
        None => request,
    }
}

async fn answer(client: &Client, method: &str, params: Value) -> Value {
    capable(client, method, params).messages().await.pop().unwrap()
}

#[tokio::test]
async fn a_session_is_unknown_elsewhere() {
    let server = twins().await;
    let one = Client::legacy_at(&server, "/mcp/one", None).await;
    let main = Client::legacy(&server).await;
    for (client, paths) in [(&one, ["/mcp/other", "/mcp"]), (&main, ["/mcp/one", "/mcp/other"])] {
        for path in paths {
            let elsewhere = client.clone().at(path);
            let (_, request) = elsewhere.request("tools/list", json!({}));
            assert_eq!(request.send().await.status, 404, "{path}");
            let stream = elsewhere.other("GET").header("accept", "text/event-stream").send().await;
            assert_eq!(stream.status, 404, "{path}");
            assert_eq!(elsewhere.other("DELETE").send().await.status, 404, "{path}");
        }
        client.tools().await;
    }
}

/// An event's id names a stream of a session, and the session is one at its view. The answer of this call waits for
/// whoever comes with the id.
#[tokio::test]
async fn an_event_is_not_resumed_elsewhere() {
    let server = twins().await;
    let one = Client::legacy_at(&server, "/mcp/one", None).await;
    let call = json!({ "name": "test_reconnection", "arguments": {} });
    let mut events = one.request("tools/call", call).1.open().await.events();
    assert_eq!(events.next().await, None, "the plugin lets the stream go before its answer");
    let id = events.last_id().unwrap();
    let resume = async |client: &Client| {
        let request = client.other("GET").header("accept", "text/event-stream").header("last-event-id", &id);
        request.open().await
    };
    assert_eq!(resume(&one.clone().at("/mcp/other")).await.status, 404);
    // A session of the other view finds nothing by it.
    let other = Client::legacy_at(&server, "/mcp/other", None).await;
    assert_eq!(resume(&other).await.events().rest().await, Vec::<Value>::new());
    let resumed = resume(&one).await.events().rest().await;
    assert_eq!(resumed[0]["result"]["content"][0]["text"], "Reconnection test completed", "{resumed:?}");
}

#[tokio::test]
async fn a_task_is_unknown_elsewhere() {
    let server = twins().await;
    let one = Client::modern(&server).at("/mcp/one");
    let begun =
        answer(&one, "tools/call", json!({ "name": "slow_compute", "arguments": { "seconds": 20, "label": "it" } }));
    let begun = begun.await;
    let id = begun["result"]["taskId"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned();
    for path in ["/mcp/other", "/mcp"] {
        let elsewhere = one.clone().at(path);
        for (method, params) in [
            ("tasks/get", json!({ "taskId": id })),
            ("tasks/cancel", json!({ "taskId": id })),
            ("tasks/update", json!({ "taskId": id, "inputResponses": {} })),
        ] {
            assert_eq!(code(&answer(&elsewhere, method, params).await), INVALID_PARAMS, "{path} {method}");
        }
    }
    assert_eq!(answer(&one, "tasks/get", json!({ "taskId": id })).await["result"]["status"], "working");
}

#[tokio::test]
async fn a_request_state_is_refused_elsewhere() {
    let server = twins().await;
    let tool = "test_input_required_result_request_state";
    let one = Client::modern(&server).at("/mcp/one");
    let asked = answer(&one, "tools/call", json!({ "name": tool, "arguments": {} })).await;
    let state = asked["result"]["requestState"].as_str().unwrap_or_else(|| panic!("{asked}")).to_owned();
    let bring = async |client: &Client| {
        let confirm = json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
        let params = json!({ "name": tool, "arguments": {}, "inputResponses": confirm, "requestState": state });
        answer(client, "tools/call", params).await
    };
    for path in ["/mcp/other", "/mcp"] {
        assert_eq!(code(&bring(&one.clone().at(path)).await), INVALID_PARAMS, "{path}");
    }
    assert_eq!(bring(&one).await["result"]["content"][0]["text"], "state-ok");
}

#[tokio::test]
async fn a_cursor_is_unknown_elsewhere() {
    let server = twins().await;
    for (one, (other, main)) in both_at(&server, "/mcp/one")
        .await
        .iter()
        .zip(both_at(&server, "/mcp/other").await.iter().zip(&Client::both(&server).await))
    {
        for method in ["tools/list", "prompts/list", "resources/list"] {
            for (from, to) in [(one, other), (one, main), (main, one)] {
                let cursor = from.result(method, json!({})).await["nextCursor"].clone();
                assert!(cursor.is_string(), "{method}");
                let refused = to.answer(method, json!({ "cursor": cursor })).await;
                assert_eq!(code(&refused), INVALID_PARAMS, "{method}: {refused}");
                from.result(method, json!({ "cursor": cursor })).await;
            }
        }
    }
}
