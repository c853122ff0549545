//! Tasks: their owner's alone, bounded in number, and stopped when they are cancelled.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};

use super::{INVALID_PARAMS, answer, serve, with_everything};

fn tasks() -> Value {
    json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

async fn begin(client: &Client, tool: &str, arguments: Value) -> Value {
    answer(client, "tools/call", json!({ "name": tool, "arguments": arguments }), &tasks()).await
}

async fn slow(client: &Client, seconds: f64) -> String {
    let begun = begin(client, "slow_compute", json!({ "seconds": seconds, "label": "it" })).await;
    begun["result"]["taskId"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned()
}

async fn get(client: &Client, id: &str) -> Value {
    answer(client, "tasks/get", json!({ "taskId": id }), &tasks()).await
}

#[tokio::test]
async fn a_task_is_its_owners_alone() {
    let world = World::of(with_everything(local())).await;
    let (_, alices) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (_, others) = world.log_in(Kind::VsCode, "alice").await;
    let (_, mallorys) = world.log_in(Kind::ClaudeCode, "mallory").await;
    let alice = world.modern(&alices.access);
    let id = slow(&alice, 20.0).await;
    for stranger in [&mallorys, &others] {
        let stranger = world.modern(&stranger.access);
        let update = json!({ "taskId": id, "inputResponses": {} });
        for (method, params) in [
            ("tasks/get", json!({ "taskId": id })),
            ("tasks/cancel", json!({ "taskId": id })),
            ("tasks/update", update),
        ] {
            let refused = answer(&stranger, method, params, &tasks()).await;
            assert_eq!(refused["error"]["code"], INVALID_PARAMS, "{method}: {refused}");
        }
    }
    assert_eq!(get(&alice, &id).await["result"]["status"], "working");
}

#[tokio::test]
async fn a_cancelled_task_stops_its_guest() {
    let site = super::site().config("[plugin.everything]\nprefix = \"\"\nconcurrency = 1\n");
    let server = site.start().await;
    let client = Client::modern(&server);
    let id = slow(&client, 25.0).await;
    answer(&client, "tasks/cancel", json!({ "taskId": id }), &tasks()).await;
    until("a cancelled task", async || get(&client, &id).await["result"]["status"] == "cancelled").await;
    // There is room for one call only.
    assert_eq!(client.value("greet", json!({ "name": "Ada" })).await, "Hello, Ada!");
}

#[tokio::test]
async fn nobody_has_more_tasks_than_there_are_places() {
    let server = serve().await;
    let client = Client::modern(&server);
    for _ in 0..64 {
        slow(&client, 0.0).await;
    }
    let refused = begin(&client, "slow_compute", json!({ "seconds": 0, "label": "it" })).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("64 tasks"), "{refused}");
}

#[tokio::test]
async fn a_client_without_tasks_gets_the_result_or_an_error() {
    let server = serve().await;
    let client = Client::modern(&server);
    let done = client.call("slow_compute", json!({ "seconds": 0, "label": "it" })).await;
    assert_eq!(done.text, "Computed it");
    let refused = client.answer("tools/call", json!({ "name": "failing_job", "arguments": {} })).await;
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
}
