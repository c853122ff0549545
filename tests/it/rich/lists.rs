//! Lists that a plugin makes itself, and the versions of the package by which it does.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::Site;

use super::serve;

#[tokio::test]
async fn a_raw_schema_reaches_clients_and_is_held_against_arguments() {
    let server = serve().await;
    for client in Client::both(&server).await {
        let tools = client.tools().await;
        let tool = tools.iter().find(|tool| tool["name"] == "json_schema_2020_12_tool").unwrap();
        assert_eq!(tool["inputSchema"]["$defs"]["address"]["$anchor"], "addressDef", "{tool}");
        let fits = json!({ "contactMethod": "email", "email": "a@example.com" });
        assert_eq!(client.call("json_schema_2020_12_tool", fits.clone()).await.text, fits.to_string());
        for (misfit, place) in [
            (json!({ "contactMethod": "phone", "email": "a@example.com" }), "phone"),
            (json!({ "email": "a@example.com", "address": { "street": 1 } }), "`$.address.street`"),
            (json!({ "email": "a@example.com", "other": 1 }), "other"),
        ] {
            let told = client.failure("json_schema_2020_12_tool", misfit).await;
            assert!(told.contains(place), "{told}");
        }
    }
}

#[tokio::test]
async fn a_list_that_a_plugin_says_is_new_is_told_of_once() {
    let server = serve().await;
    let mut streams = Vec::new();
    for client in Client::both(&server).await {
        streams.push(client.listen().await);
    }
    let client = Client::modern(&server);
    client.call("test_trigger_prompt_change", json!({})).await;
    client.call("test_trigger_tool_change", json!({})).await;
    for events in &mut streams {
        loop {
            let told = events.expect("a change").await;
            if told["method"] == "notifications/tools/list_changed" {
                break;
            }
            assert_eq!(told["method"], "notifications/prompts/list_changed", "{told}");
        }
    }
    server.terminate();
    for events in streams {
        let told: Vec<Value> = events.rest().await;
        assert!(told.iter().all(|message| message["method"] != "notifications/tools/list_changed"), "{told:?}");
    }
}

/// The component, built for another version of the package.
fn of_version(version: &str) -> Vec<u8> {
    let mut bytes = guest("everything");
    let (here, there) = (b"@0.1.0", format!("@{version}"));
    assert_eq!(here.len(), there.len());
    let package = b"tinymcp:plugin/";
    for at in 0..bytes.len() - 64 {
        if bytes[at..].starts_with(package)
            && let Some(end) = bytes[at..at + 64].windows(here.len()).position(|it| it == here)
        {
            bytes[at + end..at + end + here.len()].copy_from_slice(there.as_bytes());
        }
    }
    bytes
}

#[tokio::test]
async fn a_plugin_for_another_version_is_refused_with_both_named() {
    let site = Site::new().plugin("newer", &of_version("0.9.0"));
    let told = site.run(&["inspect", site.plugin_path("newer.wasm").to_str().unwrap()]);
    assert!(told.stderr.contains("built for `tinymcp:plugin@0.9.0`, and this host has `0.1.0`"), "{}", told.stderr);
    let server = site.start().await;
    server.log.wait_for("plugin `newer` not loaded: built for `tinymcp:plugin@0.9.0`").await;
}

#[tokio::test]
async fn prompts_take_strings_that_they_know() {
    let server = serve().await;
    let client = Client::modern(&server);
    let name = "test_prompt_with_arguments";
    for (arguments, problem) in [
        (json!({ "arg1": "a" }), "`arg2`"),
        (json!({ "arg1": "a", "arg2": 2 }), "not a string"),
        (json!({ "arg1": "a", "arg2": "b", "arg3": "c" }), "no argument `arg3`"),
    ] {
        let refused = client.answer("prompts/get", json!({ "name": name, "arguments": arguments })).await;
        assert_eq!(refused["error"]["code"], super::INVALID_PARAMS, "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(problem), "{refused}");
    }
}
