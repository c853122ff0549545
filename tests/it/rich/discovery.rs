//! `find_tools` and `call_tool`: a tool of now for a client that has the list of before.

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, behind};

use super::{answer, forms};

const ON: &str = "[server]\ndiscovery_tools = true\n";

async fn serve() -> Server {
    Site::with(&["greeter-v1"]).config(ON).start().await
}

#[tokio::test]
async fn they_are_off_unless_somebody_wants_them() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    assert!(!client.tool_names().await.contains(&"find_tools".to_owned()));
    let unknown = client.answer("tools/call", json!({ "name": "find_tools", "arguments": {} })).await;
    assert_eq!(unknown["error"]["code"], super::INVALID_PARAMS, "{unknown}");
}

#[tokio::test]
async fn a_tool_that_was_dropped_in_now_can_be_used_now() {
    let server = serve().await;
    for client in Client::both(&server).await {
        let before = client.tools().await;
        server.site().put("everything.wasm", &guest("everything"));
        client.wait_for_tool("everything_greet").await;
        let found = client.call("find_tools", json!({ "query": "Greet somebody by name" })).await;
        let first = &found.structured["tools"][0];
        assert!(first["name"].as_str().unwrap().contains("greet"), "{found:?}");
        assert!(first["inputSchema"]["properties"].is_object(), "{found:?}");
        let called =
            client.call("call_tool", json!({ "name": "everything_greet", "arguments": { "name": "Ada" } })).await;
        assert_eq!(called.text, "Hello, Ada!");
        let own = |tools: &[serde_json::Value]| {
            let is_own = |tool: &&serde_json::Value| tool["name"] == "find_tools" || tool["name"] == "call_tool";
            tools.iter().filter(is_own).cloned().collect::<Vec<_>>()
        };
        assert_eq!(own(&client.tools().await), own(&before), "their own definitions never change");
        server.site().remove("everything.wasm");
        // The log says so a moment before the list does.
        client.wait_for_tools(&["greeter_v1_greet", "greeter_v1_wait", "find_tools", "call_tool"]).await;
    }
}

#[tokio::test]
async fn arguments_are_taken_as_clients_send_them() {
    let server = serve().await;
    for client in Client::both(&server).await {
        for (tool, arguments, text) in [
            ("greeter_v1_greet", json!(r#"{"name": "Ada"}"#), "v1 greets Ada"),
            ("greeter_v1_greet", json!({ "name": "{}" }), "v1 greets {}"),
        ] {
            let called = client.call("call_tool", json!({ "name": tool, "arguments": arguments })).await;
            assert_eq!((called.is_error, called.text.as_str()), (false, text), "{called:?}");
        }
        let absent = client.call("call_tool", json!({ "name": "find_tools", "arguments": null })).await;
        assert!(!absent.text.contains("`$.arguments`"), "{absent:?}");
    }
}

#[tokio::test]
async fn mistakes_are_told_to_the_model() {
    let server = serve().await;
    let client = Client::modern(&server);
    for (tool, arguments, told) in [
        ("call_tool", json!({}), "`$.name`"),
        ("call_tool", json!({ "name": "nothing" }), "`find_tools` tells which there are"),
        ("call_tool", json!({ "name": "greeter_v1_greet", "arguments": [] }), "`$.arguments`"),
        ("call_tool", json!({ "name": "greeter_v1_greet", "arguments": "{name}" }), "send it without quotes"),
        ("call_tool", json!({ "name": "greeter_v1_greet", "arguments": { "nobody": 1 } }), "`$."),
        ("call_tool", json!({ "name": "call_tool", "arguments": {} }), "there is no tool `call_tool`"),
        ("find_tools", json!({ "query": 1 }), "`$.query`"),
        ("find_tools", json!({ "limit": 1 }), "`$.limit`"),
    ] {
        let failure = client.failure(tool, arguments).await;
        assert!(failure.contains(told), "{tool}: {failure}");
    }
}

#[tokio::test]
async fn a_call_through_it_may_ask_back() {
    let site = super::site().config(&format!("{}{ON}", super::CONFIG));
    let server = site.start().await;
    let client = Client::modern(&server);
    let inner = json!({ "name": "test_input_required_result_elicitation", "arguments": {} });
    let mut params = json!({ "name": "call_tool", "arguments": inner });
    let asked = answer(&client, "tools/call", params.clone(), &forms()).await;
    params["requestState"] = asked["result"]["requestState"].clone();
    params["inputResponses"] = json!({ "user_name": { "action": "accept", "content": { "name": "Ada" } } });
    let done = answer(&client, "tools/call", params, &forms()).await;
    assert_eq!(done["result"]["content"][0]["text"], "Hello, Ada!", "{done}");
}

#[tokio::test]
async fn scopes_hold_for_calls_through_it() {
    let scopes = "[auth.scopes]\n\"a:b\" = [\"alice@example.com\"]\n[plugin.greeter-v1]\nscopes = [\"a:b\"]\n";
    let provider = Provider::start(Settings::auth0()).await;
    let world =
        World::of(behind(&provider).plugin("greeter-v1", &guest("greeter-v1")).config(&format!("{ON}{scopes}"))).await;
    let (_, mallorys) = world.log_in(Kind::ClaudeCode, "mallory").await;
    let mallory = world.modern(&mallorys.access);
    let through = json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } });
    assert!(mallory.failure("call_tool", through.clone()).await.contains("there is no tool"));
    assert_eq!(mallory.call("find_tools", json!({})).await.structured["total"], 0);
    let client = world.register(Kind::ClaudeCode).await;
    let mut person = tinymcp_tests::browser::Browser::of("alice");
    let tokens = client.redeem(&client.code(&mut person).await).await;
    let called = world.modern(&tokens.access).call("call_tool", through).await;
    assert!(!called.is_error, "{called:?}");
}
