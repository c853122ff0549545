//! Demands of 2026-07-28 on the headers and metadata of each request.

use serde_json::{Value, json};
use tinymcp_tests::client::{Client, MODERN, modern_meta};
use tinymcp_tests::http::Request;
use tinymcp_tests::server::Server;

use super::refusal;

const HEADER_MISMATCH: i64 = -32020;
const UNSUPPORTED_VERSION: i64 = -32022;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

fn call() -> (&'static str, Value) {
    ("tools/call", json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } }))
}

/// Changes the headers of a correct request. Returns status, code and id of the answer.
async fn changed(params: (&str, Value), change: impl FnOnce(Request) -> Request) -> (u16, i64, Option<Value>) {
    let server = Server::with(&["greeter-v1"]).await;
    let (_, request) = Client::modern(&server).request(params.0, params.1);
    refusal(&change(request).send().await)
}

#[tokio::test]
async fn headers_that_differ_from_the_body_are_refused() {
    let mismatch = (400, HEADER_MISMATCH, Some(json!(1)));
    let list = || ("tools/list", json!({}));
    assert_eq!(changed(list(), |request| request.header("mcp-method", "prompts/list")).await, mismatch);
    assert_eq!(changed(list(), |request| request.header("mcp-method", "TOOLS/LIST")).await, mismatch);
    assert_eq!(changed(list(), |request| request.without("mcp-method")).await, mismatch);
    assert_eq!(changed(call(), |request| request.header("mcp-name", "another")).await, mismatch);
    assert_eq!(changed(call(), |request| request.without("mcp-name")).await, mismatch);
    assert_eq!(changed(call(), |request| request.header("mcp-name", "=?base64?!?=")).await, mismatch);
}

#[tokio::test]
async fn header_values_may_be_padded_or_encoded() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    for name in ["greeter_v1_greet", "  greeter_v1_greet  ", "=?base64?Z3JlZXRlcl92MV9ncmVldA==?="] {
        let answer = client.request(call().0, call().1).1.header("mcp-name", name).send().await;
        assert_eq!((answer.status, &answer.json()["result"]["isError"]), (200, &json!(false)), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn an_unsupported_version_names_the_supported_ones() {
    let server = Server::with(&[]).await;
    let client = Client::modern(&server);
    let supported = client.result("server/discover", json!({})).await["supportedVersions"].clone();
    let mut params = json!({ "_meta": modern_meta() });
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("v999.0.0");
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "server/discover", "params": params });
    let answer = client.post(&message).header("mcp-protocol-version", "v999.0.0").send().await;
    assert_eq!(refusal(&answer), (400, UNSUPPORTED_VERSION, Some(json!(7))));
    let data = &answer.json()["error"]["data"];
    assert_eq!(data["requested"], "v999.0.0");
    let named = data["supported"].as_array().unwrap();
    let supported = supported.as_array().unwrap();
    assert!(!named.is_empty() && named.iter().all(|version| supported.contains(version)), "{data}");

    // What differs is said before what is unsupported.
    let answer = client.post(&message).header("mcp-protocol-version", MODERN).send().await;
    assert_eq!(refusal(&answer), (400, HEADER_MISMATCH, Some(json!(7))));
}

#[tokio::test]
async fn a_call_in_an_unsupported_version_is_refused_too() {
    let server = Server::with(&["greeter-v1"]).await;
    let mut params = call().1;
    params["_meta"] = modern_meta();
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let answer = Client::modern(&server).post(&message).header("mcp-protocol-version", "2099-01-01").send().await;
    assert_eq!(refusal(&answer), (400, UNSUPPORTED_VERSION, Some(json!(7))));
}

#[tokio::test]
async fn missing_metadata_is_an_invalid_parameter() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    for method in ["server/discover", "tools/call"] {
        for missing in ["protocolVersion", "clientCapabilities"] {
            let mut params = call().1;
            params["_meta"] = modern_meta();
            params["_meta"].as_object_mut().unwrap().remove(&format!("io.modelcontextprotocol/{missing}"));
            let message = json!({ "jsonrpc": "2.0", "id": 9, "method": method, "params": params });
            let answer = client.post(&message).send().await;
            assert_eq!(refusal(&answer), (400, INVALID_PARAMS, Some(json!(9))), "{method} without {missing}");
        }
    }
}

#[tokio::test]
async fn a_client_need_not_say_who_it_is() {
    let server = Server::with(&["greeter-v1"]).await;
    let mut params = call().1;
    params["_meta"] = modern_meta();
    params["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientInfo");
    let message = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params });
    let answer = Client::modern(&server).post(&message).send().await;
    assert_eq!((answer.status, &answer.json()["result"]["isError"]), (200, &json!(false)), "{answer:?}");
}

#[tokio::test]
async fn unknown_and_removed_methods_are_not_found() {
    let server = Server::with(&[]).await;
    let client = Client::modern(&server);
    for method in
        ["unknown/method", "initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
    {
        let (id, request) = client.request(method, json!({}));
        assert_eq!(refusal(&request.send().await), (404, METHOD_NOT_FOUND, Some(json!(id))), "{method}");
    }
}

#[tokio::test]
async fn a_listener_is_told_what_it_listens_to() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    let (id, request) =
        client.request("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let mut events = request.open().await.events();
    let first = events.expect("an acknowledgement").await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id, "{first}");
    server.site().remove("greeter-v1.wasm");
    let changed = events.expect("a change").await;
    assert_eq!(changed["method"], "notifications/tools/list_changed", "{changed}");
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id, "{changed}");
}

#[tokio::test]
async fn who_did_not_ask_for_tools_is_not_told_of_them() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    let filter = json!({ "notifications": { "promptsListChanged": true } });
    let mut prompts = client.request("subscriptions/listen", filter).1.open().await.events();
    prompts.expect("an acknowledgement").await;
    let mut tools = client.listen().await;
    server.site().remove("greeter-v1.wasm");
    tools.expect("a change").await;
    server.terminate();
    let told = prompts.rest().await;
    assert!(told.iter().all(|message| message["method"] != "notifications/tools/list_changed"), "{told:?}");
}
