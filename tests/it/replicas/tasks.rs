//! Tasks that one server runs and that their clients ask others about.

use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::Client;
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::{until, until_within};

use super::clients::Pair;

const INVALID_PARAMS: i64 = -32602;

/// Time after which a server that says nothing is gone, and some more.
const GONE_WITHIN: Duration = Duration::from_secs(25);

/// The answer to a request of a client that knows tasks and can be asked.
async fn answer(client: &Client, method: &str, params: Value) -> Value {
    let mut message = client.message(method, params);
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let request = client.post(&message);
    // `Mcp-Name` of tasks is their id.
    let request = match message["params"]["taskId"].as_str() {
        Some(id) => request.header("mcp-name", id),
        None => request,
    };
    request.messages().await.pop().unwrap()
}

async fn begin(client: &Client, tool: &str, arguments: Value) -> String {
    let begun = answer(client, "tools/call", json!({ "name": tool, "arguments": arguments })).await;
    begun["result"]["taskId"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned()
}

pub(crate) async fn slow(client: &Client, seconds: f64) -> String {
    begin(client, "slow_compute", json!({ "seconds": seconds, "label": "it" })).await
}

async fn get(client: &Client, id: &str) -> Value {
    answer(client, "tasks/get", json!({ "taskId": id })).await["result"].clone()
}

pub(crate) async fn becomes(client: &Client, id: &str, status: &str) -> Value {
    let mut last = Value::Null;
    until(status, async || {
        last = get(client, id).await;
        last["status"] == status
    })
    .await;
    last
}

fn modern(pair: &Pair) -> [Client; 2] {
    [&pair.one, &pair.other].map(Client::modern)
}

#[tokio::test]
async fn a_task_is_seen_answered_and_cancelled_through_another_server() {
    let pair = Pair::open().await;
    let [here, there] = modern(&pair);
    let id = slow(&here, 1.0).await;
    assert_eq!(get(&there, &id).await["status"], "working");
    let done = becomes(&there, &id, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "Computed it", "{done}");
    assert_eq!(done, get(&here, &id).await);

    let id = slow(&here, 25.0).await;
    let cancelled = answer(&there, "tasks/cancel", json!({ "taskId": id })).await;
    assert!(cancelled.get("result").is_some(), "{cancelled}");
    becomes(&there, &id, "cancelled").await;
    assert_eq!(get(&here, &id).await["status"], "cancelled");

    let id = begin(&here, "confirm_delete", json!({ "filename": "a.txt" })).await;
    let asks = becomes(&there, &id, "input_required").await;
    let (key, _) = asks["inputRequests"].as_object().unwrap().iter().next().unwrap();
    let accepted = json!({ key: { "action": "accept", "content": { "confirm": true } } });
    let updated = answer(&there, "tasks/update", json!({ "taskId": id, "inputResponses": accepted })).await;
    assert!(updated.get("result").is_some(), "{updated}");
    let done = becomes(&there, &id, "completed").await;
    assert!(done["result"]["content"][0]["text"].as_str().unwrap().starts_with("a.txt"), "{done}");
}

#[tokio::test]
async fn a_task_is_its_owners_alone_on_all_servers_and_the_operator_sees_all() {
    let (pair, base) = Pair::with_login().await;
    let oauth = OAuthClient::register(&base, Kind::ClaudeCode).await;
    let alices = oauth.log_in(&mut Browser::of("alice")).await;
    let mallorys = oauth.log_in(&mut Browser::of("mallory")).await;
    let elsewhere = OAuthClient::register(&base, Kind::VsCode).await;
    let others = elsewhere.log_in(&mut Browser::of("alice")).await;
    let alice = Client::modern(&pair.one).with_token(&alices.access);
    let id = slow(&alice, 20.0).await;
    for stranger in [&mallorys, &others] {
        let stranger = Client::modern(&pair.other).with_token(&stranger.access);
        let update = json!({ "taskId": id, "inputResponses": {} });
        let named = json!({ "taskId": id });
        for (method, params) in [("tasks/get", &named), ("tasks/cancel", &named), ("tasks/update", &update)] {
            let refused = answer(&stranger, method, params.clone()).await;
            assert_eq!(refused["error"]["code"], INVALID_PARAMS, "{method}: {refused}");
        }
    }
    let there = Client::modern(&pair.other).with_token(&alices.access);
    assert_eq!(get(&there, &id).await["status"], "working");
    // The other server lists it, and forgets it for all.
    let export = pair.other.site().run(&["people", "export", "alice"]);
    assert!(export.code == 0 && export.stdout.contains(&id), "{export:?}");
    let forgotten = pair.other.site().run(&["people", "delete", "alice", "--yes"]);
    assert_eq!(forgotten.code, 0, "{forgotten:?}");
    let alices = oauth.log_in(&mut Browser::of("alice")).await;
    for server in [&pair.one, &pair.other] {
        let alice = Client::modern(server).with_token(&alices.access);
        until("the task is gone", async || {
            answer(&alice, "tasks/get", json!({ "taskId": id })).await["error"]["code"] == INVALID_PARAMS
        })
        .await;
    }
}

#[tokio::test]
async fn tasks_count_on_all_servers() {
    let pair = Pair::open().await;
    let clients = modern(&pair);
    for number in 0..64 {
        slow(&clients[number % 2], 0.0).await;
    }
    for client in &clients {
        let arguments = json!({ "seconds": 0, "label": "it" });
        let refused = answer(client, "tools/call", json!({ "name": "slow_compute", "arguments": arguments })).await;
        assert!(refused["error"]["message"].as_str().unwrap().contains("64 tasks"), "{refused}");
    }
}

#[tokio::test]
async fn what_a_task_gave_outlives_its_server_and_work_that_was_cut_has_failed() {
    let mut pair = Pair::open().await;
    let [here, there] = modern(&pair);
    let done = slow(&here, 0.0).await;
    becomes(&there, &done, "completed").await;
    let cut = slow(&here, 30.0).await;
    // Ended properly: it says at once what it has cut.
    pair.one.terminate();
    pair.one.ended().await;
    let failed = becomes(&there, &cut, "failed").await;
    assert!(failed["error"]["message"].as_str().unwrap().contains("was stopped"), "{failed}");
    assert_eq!(get(&there, &done).await["result"]["content"][0]["text"], "Computed it");
    let refused = answer(&there, "tasks/cancel", json!({ "taskId": cut })).await;
    assert!(refused.get("result").is_some(), "{refused}");
}

#[tokio::test]
async fn a_task_whose_server_died_has_failed() {
    let pair = Pair::open().await;
    let [here, there] = modern(&pair);
    let (done, lost) = (slow(&here, 0.0).await, slow(&here, 30.0).await);
    becomes(&there, &done, "completed").await;
    assert_eq!(get(&there, &lost).await["status"], "working");
    let site = pair.one.kill();
    until_within(GONE_WITHIN, "the task has failed", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        get(&there, &lost).await["status"] == "failed"
    })
    .await;
    let failed = get(&there, &lost).await;
    assert!(failed["error"]["message"].as_str().unwrap().contains("is gone"), "{failed}");
    assert_eq!(get(&there, &done).await["status"], "completed");
    // The same on a server that began later, in the place of the one that died.
    let again = site.start().await;
    assert_eq!(get(&here.moved_to(&again), &lost).await["status"], "failed");
}
