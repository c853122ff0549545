//! The calls that one person may make in a span of time: of a plugin, and of one of its tools.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};
use tokio::task::JoinSet;

/// The refusal of a call, but for the time after which to try again.
const REFUSED: &str = "too many calls: this plugin allows 3/h for each person, try again in ";

async fn now(client: &Client) -> Result<(), String> {
    let called = client.call("hostile_now", json!({})).await;
    if called.is_error { Err(called.text) } else { Ok(()) }
}

/// Calls that succeed, of so many one after the other.
async fn calls(client: &Client, tries: usize) -> usize {
    let mut done = 0;
    for _ in 0..tries {
        done += usize::from(now(client).await.is_ok());
    }
    done
}

#[tokio::test]
async fn each_person_has_so_many_calls_through_whatever_client() {
    let site = local().plugin("hostile", &guest("hostile")).plugin("other", &guest("hostile"));
    let world = World::of(site.config("[limits]\nrate = \"3/h\"\n[plugin.other]\nrate = \"unlimited\"\n")).await;
    let token = async |kind, name: &str| world.log_in(kind, name).await.1.access;
    let alice = world.modern(&token(Kind::ClaudeCode, "alice").await);
    let again = Client::legacy_with_token(&world.server, &token(Kind::VsCode, "alice").await).await;
    let bob = world.modern(&token(Kind::ClaudeCode, "bob").await);
    for _ in 0..10 {
        // Lists are no calls, and neither is what nobody gets.
        alice.tools().await;
        alice.answer("tools/call", json!({ "name": "hostile_nothing", "arguments": {} })).await;
    }
    let mark = world.server.log.mark();
    assert_eq!((calls(&alice, 2).await, calls(&again, 3).await), (2, 1));
    for client in [&alice, &again] {
        let said = now(client).await.unwrap_err();
        let wait = said.strip_prefix(REFUSED).unwrap_or_else(|| panic!("{said}"));
        // An hour for three: the first is back after a third of it.
        assert!(wait == "20m" || wait.starts_with("19m"), "{said}");
    }
    let line = world.server.log.wait_since(mark, "call of tool `hostile_now` refused: too many calls").await;
    assert!(line.contains("person") && !line.contains("alice"), "{line}");
    assert_eq!(calls(&bob, 4).await, 3);
    assert!(!alice.call("other_now", json!({})).await.is_error, "another plugin has its own");
}

#[tokio::test]
async fn what_was_counted_outlives_reloads_and_changes_but_no_restart() {
    let config = "[plugin.hostile]\nrate = \"3/h\"\n";
    let server = Site::with(&["hostile"]).config(config).start().await;
    let client = Client::modern(&server);
    assert_eq!(calls(&client, 5).await, 3);
    let mark = server.log.mark();
    server.site().put("hostile.wasm", &marked(&guest("hostile"), 1));
    server.log.wait_since(mark, "loaded plugin `hostile`").await;
    assert!(now(&client).await.unwrap_err().starts_with(REFUSED));
    // Others' places and the plugin's switch make no difference.
    server.site().configure(&format!("{config}concurrency = 3\nenabled = false\n"));
    until("a plugin that is switched off", async || client.tools().await.is_empty()).await;
    server.site().configure(&format!("{config}concurrency = 3\n"));
    client.wait_for_tool("hostile_now").await;
    assert!(now(&client).await.unwrap_err().starts_with(REFUSED));
    // One more than before.
    server.site().configure("[plugin.hostile]\nrate = \"4/h\"\n");
    until("the other rate", async || now(&client).await.is_ok()).await;
    assert!(now(&client).await.unwrap_err().contains("allows 4/h"));
    let server = server.kill().start().await;
    assert_eq!(calls(&client.moved_to(&server), 5).await, 4);
}

#[tokio::test]
async fn a_burst_is_counted_call_by_call() {
    let server = Site::with(&["hostile"]).config("[plugin.hostile]\nrate = \"10/d\"\n").start().await;
    let clients = Client::both(&server).await;
    let mut burst = JoinSet::new();
    for client in clients.iter().cycle().take(60) {
        let client = client.clone();
        burst.spawn(async move { now(&client).await.is_ok() });
    }
    assert_eq!(burst.join_all().await.into_iter().filter(|is_done| *is_done).count(), 10);
}

#[tokio::test]
async fn calls_that_are_turned_away_by_the_queue_count() {
    let config = "[plugin.hostile]\nrate = \"20/d\"\nconcurrency = 1\nqueue = 0\n";
    let server = Site::with(&["hostile"]).config(config).start().await;
    let client = Client::modern(&server);
    let mut burst = JoinSet::new();
    for _ in 0..30 {
        let client = client.clone();
        burst.spawn(async move { client.call("hostile_sleep_ms", json!({ "ms": 500 })).await });
    }
    let texts = burst.join_all().await;
    let with = |part: &str| texts.iter().filter(|called| called.is_error && called.text.contains(part)).count();
    let (busy, refused) = (with("the tool is busy"), with("too many calls: this plugin"));
    let done = texts.iter().filter(|called| !called.is_error).count();
    assert!(busy > 0 && done > 0, "{texts:?}");
    assert_eq!((done + busy, refused), (20, 10), "{texts:?}");
}

#[tokio::test]
async fn a_tool_has_a_rate_of_its_own_also_by_way_of_call_tool() {
    let config = "[server]\ndiscovery_tools = true\n[plugin.hostile]\nrate = \"5/h\"\n\
                  [plugin.hostile.tool.sleep-ms]\nrate = \"2/h\"\n[plugin.hostile.tool.slep_ms]\nrate = \"1/h\"\n";
    let server = Site::with(&["hostile"]).config(config).start().await;
    let warning =
        "`[plugin.hostile.tool.slep_ms]`: there is no such tool, so this does nothing; did you mean `sleep_ms`?";
    server.log.wait_for(warning).await;
    let listed = server.site().run(&["list"]);
    assert!(listed.stderr.contains(warning), "{listed:?}");
    let client = Client::modern(&server);
    let sleep = json!({ "ms": 0 });
    let through = json!({ "name": "hostile_sleep_ms", "arguments": sleep });
    assert!(!client.call("hostile_sleep_ms", sleep.clone()).await.is_error);
    assert!(!client.call("call_tool", through.clone()).await.is_error);
    for (tool, arguments) in [("hostile_sleep_ms", sleep), ("call_tool", through)] {
        let said = client.failure(tool, arguments).await;
        assert!(said.starts_with("too many calls: this tool allows 2/h for each person, try again in "), "{said}");
    }
    assert_eq!(calls(&client, 5).await, 3, "what the tool refused did not count for the plugin");
}

/// A server with the plugin `everything`, and this rate.
async fn everything(rate: &str) -> Server {
    let config = format!("[plugin.everything]\nprefix = \"\"\nrate = \"{rate}\"\n");
    Site::new().plugin("everything", &guest("everything")).config(&config).start().await
}

#[tokio::test]
async fn resources_prompts_and_suggestions_are_calls_too() {
    let server = everything("3/h").await;
    for client in Client::both(&server).await {
        client.result("resources/list", json!({})).await;
        client.result("prompts/list", json!({})).await;
    }
    let client = Client::modern(&server);
    let read = json!({ "uri": "test://static-text" });
    let prompt = json!({ "name": "test_simple_prompt" });
    let complete = json!({
        "ref": { "type": "ref/prompt", "name": "test_prompt_with_arguments" }, "argument": { "name": "arg1", "value": "" },
    });
    let asked = [("resources/read", read), ("prompts/get", prompt), ("completion/complete", complete)];
    for (method, params) in &asked {
        client.result(method, params.clone()).await;
    }
    for (method, params) in &asked {
        let refused = client.answer(method, params.clone()).await;
        let said = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(said.starts_with(REFUSED), "{method}: {refused}");
    }
}

#[tokio::test]
async fn questions_within_a_request_are_no_further_calls() {
    let server = everything("1/h").await;
    let version = "2025-11-25";
    let mut initialize = tinymcp_tests::client::initialize(version);
    initialize["params"]["capabilities"] = json!({ "elicitation": {} });
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
    let (mut questions, mut result) = (0, Value::Null);
    while let Some(message) = events.next().await {
        if message["method"] == "elicitation/create" {
            questions += 1;
            let content = json!({ "name": "Ada", "color": "red" });
            let answer = json!({
                "jsonrpc": "2.0", "id": message["id"], "result": { "action": "accept", "content": content },
            });
            assert_eq!(post(&answer).send().await.status, 202);
        } else if message["id"] == 1 {
            result = message["result"].clone();
        }
    }
    assert!(questions > 1 && result["isError"] != true, "{questions} {result}");
}
