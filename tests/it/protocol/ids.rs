//! Clients that use one id for several requests at once: each gets its own answer, and nobody gets another's.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::client::{Client, LEGACY};
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Request;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, within};

/// A server with the plugin `everything`, and a guest that sleeps for as long as it is told.
async fn serve(timeout: &str) -> Server {
    let config =
        format!("[plugin.everything]\nprefix = \"\"\n[plugin.hostile]\ntimeout = \"{timeout}\"\nconcurrency = 3\n");
    Site::with(&["hostile"]).plugin("everything", &guest("everything")).config(&config).start().await
}

fn call(id: &Value, tool: &str, arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
}

fn sleep(id: &Value, ms: u64) -> Value {
    call(id, "hostile_sleep_ms", &json!({ "ms": ms }))
}

/// Sends all at once, and returns the last message that each is answered with.
async fn at_once(requests: impl IntoIterator<Item = Request>) -> Vec<Value> {
    all_at_once(requests).await.into_iter().map(|mut messages| messages.pop().unwrap()).collect()
}

/// The same, with all messages.
async fn all_at_once(requests: impl IntoIterator<Item = Request>) -> Vec<Vec<Value>> {
    let requests: Vec<_> = requests.into_iter().map(|request| tokio::spawn(request.messages())).collect();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(within("an answer", request).await.unwrap());
    }
    answers
}

#[tokio::test]
async fn eight_lists_with_one_id_are_eight_answers() {
    let server = serve("30s").await;
    for version in LEGACY {
        let client = Client::of_version(&server, version).await;
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        for accept in ["application/json, text/event-stream", "text/event-stream, application/json"] {
            let answers = at_once((0..8).map(|_| client.post(&list).header("accept", accept))).await;
            for answer in answers {
                assert_eq!(answer["id"], 1, "{version}: {answer}");
                assert!(
                    answer["result"]["tools"].as_array().is_some_and(|tools| tools.len() > 10),
                    "{version}: {answer}"
                );
            }
        }
    }
}

/// Calls of the short way, and those that may take longer.
#[tokio::test]
async fn slow_calls_with_one_id_get_their_own_answers() {
    for timeout in ["30s", "50s"] {
        let server = serve(timeout).await;
        let client = Client::legacy(&server).await;
        // The tool says how long it slept: at least as long as its own call said.
        let times = [2400, 1600, 800];
        let answers = at_once(times.map(|ms| client.post(&sleep(&json!(1), ms)))).await;
        for (ms, answer) in times.iter().zip(answers) {
            assert_eq!(answer["id"], 1, "{answer}");
            let slept = answer["result"]["structuredContent"]["result"].as_u64().unwrap_or_default();
            assert!((*ms..ms + 800).contains(&slept), "{ms} ms: {answer}");
        }
    }
}

#[tokio::test]
async fn a_number_and_a_text_are_two_ids() {
    let server = serve("50s").await;
    let client = Client::legacy(&server).await;
    let ids = [json!(1), json!("1"), json!(1), json!("1"), json!(-1), json!("")];
    let answers =
        at_once(ids.iter().map(|id| {
            client.post(&call(id, "slow_compute", &json!({ "seconds": 0.2, "label": format!("for {id}") })))
        }))
        .await;
    for (id, answer) in ids.iter().zip(answers) {
        assert_eq!(answer["id"], *id, "{answer}");
        assert_eq!(answer["result"]["content"][0]["text"], format!("Computed for {id}"), "{answer}");
    }
}

#[tokio::test]
async fn progress_comes_on_the_post_whose_call_reported_it() {
    let server = serve("30s").await;
    for version in LEGACY {
        let client = Client::of_version(&server, version).await;
        let mut message = call(&json!(1), "test_tool_with_progress", &json!({}));
        message["params"]["_meta"]["progressToken"] = json!("one for all");
        let mut silent = message.clone();
        silent["params"].as_object_mut().unwrap().remove("_meta");
        let answers = all_at_once([&message, &silent, &message, &message].map(|message| client.post(message))).await;
        for (answers, reports) in answers.iter().zip([3, 0, 3, 3]) {
            let (answer, reported) = answers.split_last().unwrap();
            assert_eq!((&answer["id"], answer.get("error")), (&json!(1), None), "{version}: {answer}");
            let done: Vec<&Value> = reported.iter().map(|report| &report["params"]["progress"]).collect();
            let expected = [json!(0.0), json!(50.0), json!(100.0)];
            assert_eq!(done, expected.iter().take(reports).collect::<Vec<_>>(), "{version}: {answers:?}");
            assert!(reported.iter().all(|report| report["params"]["progressToken"] == "one for all"), "{reported:?}");
        }
    }
}

#[tokio::test]
async fn a_cancellation_that_fits_several_requests_cancels_none() {
    const LONG: u64 = 6000;
    for timeout in ["30s", "50s"] {
        let server = serve(timeout).await;
        let client = Client::legacy(&server).await;
        let calls = [sleep(&json!(1), LONG), sleep(&json!(1), LONG), sleep(&json!("1"), 29_000)];
        let calls = calls.map(|call| tokio::spawn(client.post(&call).try_send()));
        // All three places are taken: a fourth call waits for its turn.
        let soon = Duration::from_millis(300);
        until("three calls under way", async || {
            tokio::time::timeout(soon, client.value("hostile_now", json!({}))).await.is_err()
        })
        .await;
        for id in [json!(1), json!("1")] {
            assert_eq!(client.notify("notifications/cancelled", json!({ "requestId": id })).await.status, 202);
        }
        let [first, second, alone] = calls;
        let alone = within("the end of a call that was cancelled", alone).await.unwrap().unwrap();
        assert!(!alone.text().contains("\"structuredContent\""), "{alone:?}");
        for call in [first, second] {
            let answer = within("a call that was not", call).await.unwrap().unwrap();
            let slept = answer.json()["result"]["structuredContent"]["result"].as_u64();
            assert!(slept.is_some_and(|slept| slept >= LONG), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn questions_of_calls_with_one_id_are_answered_each_for_itself() {
    let server = serve("30s").await;
    let initialize = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": LEGACY[0], "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "tinymcp-tests", "version": "1.0.0" },
        },
    });
    let begun = Request::new(server.address, "POST", "/mcp").json(&initialize).send().await;
    let session = begun.header("mcp-session-id").to_owned();
    let post = |message: &Value| {
        let request = Request::new(server.address, "POST", "/mcp").json(message);
        request.header("mcp-session-id", &session).header("mcp-protocol-version", LEGACY[0])
    };
    post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).send().await;
    let mut calls = Vec::new();
    for file in ["a.txt", "b.txt", "c.txt"] {
        let mut events = post(&call(&json!(1), "confirm_delete", &json!({ "filename": file }))).open().await.events();
        let question = events.expect("a question").await;
        assert_eq!(question["params"]["message"], format!("Delete {file}?"), "{question}");
        calls.push((file, events, question["id"].clone()));
    }
    let ids: HashSet<String> = calls.iter().map(|(_, _, id)| id.to_string()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    calls.reverse();
    for (file, mut events, id) in calls {
        let accepted = json!({ "action": "accept", "content": { "confirm": true } });
        let reply = json!({ "jsonrpc": "2.0", "id": id, "result": accepted });
        assert_eq!(post(&reply).send().await.status, 202);
        let answer = events.expect("an answer").await;
        assert_eq!(answer["id"], 1, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(text.starts_with(file), "{file}: {answer}");
    }
}

#[tokio::test]
async fn many_at_once_find_a_session_again_after_a_restart() {
    let server = serve("30s").await;
    let client = Client::legacy(&server).await;
    let again = server.kill().start().await;
    let client = client.moved_to(&again);
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    for answer in at_once((0..8).map(|_| client.post(&list))).await {
        assert!(answer["result"]["tools"].is_array(), "{answer}");
    }
}
