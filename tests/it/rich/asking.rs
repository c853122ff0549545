//! Questions and answers: a state is good for its client and its request, and for nothing else.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::world::{World, local};

use super::{INVALID_PARAMS, answer, forms, serve, with_everything};

const TOOL: &str = "test_input_required_result_request_state";
const OTHER_TOOL: &str = "test_input_required_result_tampered_state";

/// The state that a first call gives.
async fn state(client: &Client, tool: &str) -> String {
    let asked = answer(client, "tools/call", json!({ "name": tool, "arguments": {} }), &forms()).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    asked["result"]["requestState"].as_str().unwrap().to_owned()
}

async fn brought(client: &Client, tool: &str, state: &str) -> Value {
    let confirm = json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
    let params = json!({ "name": tool, "arguments": {}, "inputResponses": confirm, "requestState": state });
    answer(client, "tools/call", params, &forms()).await
}

#[tokio::test]
async fn a_state_is_good_for_its_own_request_alone() {
    let server = serve().await;
    let client = Client::modern(&server);
    let state = state(&client, TOOL).await;
    let done = brought(&client, TOOL, &state).await;
    assert_eq!(done["result"]["content"][0]["text"], "state-ok", "{done}");
    let elsewhere = brought(&client, OTHER_TOOL, &state).await;
    assert_eq!(elsewhere["error"]["code"], INVALID_PARAMS, "{elsewhere}");
    for position in [0, 3, state.len() / 2, state.len() - 1] {
        let mut changed = state.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let refused = brought(&client, TOOL, &changed).await;
        assert_eq!(refused["error"]["code"], INVALID_PARAMS, "{position}: {refused}");
    }
    for nonsense in ["", "AAAA", "not base64!", &"A".repeat(100_000)] {
        assert_eq!(brought(&client, TOOL, nonsense).await["error"]["code"], INVALID_PARAMS);
    }
}

#[tokio::test]
async fn a_state_is_good_for_its_own_person_and_client_alone() {
    let world = World::of(with_everything(local())).await;
    let (_, alices) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (_, others) = world.log_in(Kind::VsCode, "alice").await;
    let (_, mallorys) = world.log_in(Kind::ClaudeCode, "mallory").await;
    let alice = world.modern(&alices.access);
    let state = state(&alice, TOOL).await;
    for stranger in [&mallorys, &others] {
        let refused = brought(&world.modern(&stranger.access), TOOL, &state).await;
        assert_eq!(refused["error"]["code"], INVALID_PARAMS, "{refused}");
    }
    assert!(brought(&alice, TOOL, &state).await.get("result").is_some());
}

#[tokio::test]
async fn a_state_survives_a_restart() {
    let server = serve().await;
    let client = Client::modern(&server);
    let state = state(&client, TOOL).await;
    let server = server.kill().start().await;
    let done = brought(&client.moved_to(&server), TOOL, &state).await;
    assert_eq!(done["result"]["content"][0]["text"], "state-ok", "{done}");
}

#[tokio::test]
async fn answers_that_are_none_are_asked_for_again() {
    let server = serve().await;
    let client = Client::modern(&server);
    for nonsense in [
        json!({ "user_name": 1 }),
        json!({ "user_name": { "action": "yes" } }),
        json!({ "user_name": { "action": "accept", "content": { "name": { "a": 1 } } } }),
        json!({ "user_name": { "roots": [{ "name": "no uri" }] } }),
        json!({ "user_name": { "model": "m" } }),
        json!({ "other": { "action": "accept", "content": { "name": "Alice" } } }),
        json!({}),
    ] {
        let params = json!({
            "name": "test_input_required_result_elicitation", "arguments": {}, "inputResponses": nonsense,
        });
        let again = answer(&client, "tools/call", params, &forms()).await;
        assert_eq!(again["result"]["resultType"], "input_required", "{nonsense}: {again}");
    }
}

#[tokio::test]
async fn what_a_client_cannot_do_is_an_error_of_its_era() {
    let server = serve().await;
    let client = Client::modern(&server);
    for tool in ["test_missing_capability", "test_sampling"] {
        let params = json!({ "name": tool, "arguments": if tool == "test_sampling" { json!({ "prompt": "?" }) } else { json!({}) } });
        let refused = answer(&client, "tools/call", params, &json!({})).await;
        assert_eq!(refused["error"]["code"], -32021, "{refused}");
        assert_eq!(refused["error"]["data"]["requiredCapabilities"], json!({ "sampling": {} }), "{refused}");
    }
    let legacy = Client::legacy(&server).await;
    assert!(legacy.failure("test_missing_capability", json!({})).await.contains("needs sampling"));
    assert!(legacy.failure("test_elicitation", json!({ "message": "?" })).await.contains("needs elicitation"));
}

/// A legacy client that can be asked, with the answer that it gives.
async fn asked_on_its_stream(version: &str, reply: &Value) -> Vec<Value> {
    let server = serve().await;
    let initialize = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": version, "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "tinymcp-tests", "version": "1.0.0" },
        },
    });
    let begun = Request::new(server.address, "POST", "/mcp").json(&initialize).send().await;
    let session = begun.header("mcp-session-id").to_owned();
    let post = |message: &Value| {
        let request = Request::new(server.address, "POST", "/mcp").json(message);
        request.header("mcp-session-id", &session).header("mcp-protocol-version", version)
    };
    post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).send().await;
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "test_input_required_result_multi_round", "arguments": {} },
    });
    let mut events = post(&call).open().await.events();
    let mut seen = Vec::new();
    while let Some(message) = events.next().await {
        if message["method"] == "elicitation/create" {
            let mut answer = reply.clone();
            (answer["jsonrpc"], answer["id"]) = (json!("2.0"), message["id"].clone());
            assert_eq!(post(&answer).send().await.status, 202);
        }
        seen.push(message);
    }
    seen
}

#[tokio::test]
async fn a_legacy_client_is_asked_on_the_stream_of_its_call() {
    for version in ["2025-11-25", "2025-06-18"] {
        let reply = json!({ "result": { "action": "accept", "content": { "name": "Ada", "color": "blue" } } });
        let seen = asked_on_its_stream(version, &reply).await;
        let methods: Vec<&Value> = seen.iter().map(|message| &message["method"]).collect();
        assert_eq!(methods, [&json!("elicitation/create"), &json!("elicitation/create"), &Value::Null], "{seen:?}");
        assert_eq!(seen[2]["result"]["content"][0]["text"], "Ada likes blue", "{seen:?}");
    }
}

#[tokio::test]
async fn a_legacy_client_that_answers_with_an_error_ends_the_call() {
    let seen = asked_on_its_stream("2025-11-25", &json!({ "error": { "code": -1, "message": "no" } })).await;
    let last = seen.last().unwrap();
    assert_eq!(last["result"]["isError"], true, "{seen:?}");
    assert!(last["result"]["content"][0]["text"].as_str().unwrap().contains("did not answer"), "{last}");
}
