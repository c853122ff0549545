//! Listeners of both eras are told of a changed list: once for each change, and never without one.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::server::{Server, Site};

use super::greeter;

const CHANGED: &str = "notifications/tools/list_changed";

/// Stops the server, and counts the changes that each stream told of until its end.
async fn told(server: &Server, streams: Vec<tinymcp_tests::http::Events>) -> Vec<usize> {
    server.terminate();
    let mut told = Vec::new();
    for stream in streams {
        let messages: Vec<Value> = stream.rest().await;
        told.push(messages.iter().filter(|message| message["method"] == CHANGED).count());
    }
    told
}

async fn listeners(server: &Server) -> Vec<tinymcp_tests::http::Events> {
    let mut streams = Vec::new();
    for client in Client::both(server).await {
        streams.push(client.listen().await);
    }
    streams
}

#[tokio::test]
async fn each_change_is_told_once_in_both_eras() {
    let (server, client) = greeter().await;
    let streams = listeners(&server).await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&super::V2).await;
    server.site().put("other.wasm", &guest("conformance"));
    client
        .wait_for_tools(&[
            "greeter_greet",
            "greeter_part",
            "greeter_wait",
            "other_test_error_handling",
            "other_test_logging_tool",
            "other_test_simple_text",
            "other_test_streaming_elicitation",
        ])
        .await;
    server.site().remove("greeter.wasm");
    server.log.wait_for("plugin `greeter` removed").await;
    client
        .wait_for_tools(&[
            "other_test_error_handling",
            "other_test_logging_tool",
            "other_test_simple_text",
            "other_test_streaming_elicitation",
        ])
        .await;
    assert_eq!(told(&server, streams).await, [3, 3]);
}

#[tokio::test]
async fn changed_code_behind_the_same_list_is_told_to_nobody() {
    let (server, _) = greeter().await;
    let streams = listeners(&server).await;
    let component = guest("greeter-v1");
    for mark in 0..3 {
        let before = server.log.mark();
        server.site().put("greeter.wasm", &marked(&component, mark));
        server.log.wait_since(before, "plugin `greeter`").await;
    }
    assert_eq!(told(&server, streams).await, [0, 0]);
}

#[tokio::test]
async fn a_broken_file_is_told_to_nobody() {
    let (server, _) = greeter().await;
    let streams = listeners(&server).await;
    server.site().put("greeter.wasm", b"broken");
    server.log.wait_for("plugin `greeter` not reloaded").await;
    server.site().put("other.wasm", b"broken");
    server.log.wait_for("plugin `other` not loaded").await;
    assert_eq!(told(&server, streams).await, [0, 0]);
}

#[tokio::test]
async fn a_changed_description_is_a_change_of_the_list() {
    let (server, client) = greeter().await;
    let mut streams = listeners(&server).await;
    // The same functions but one, whose descriptions say another version.
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    for stream in &mut streams {
        assert_eq!(stream.expect("a change").await["method"], CHANGED);
    }
    let greet = &client.tools().await[0];
    assert_eq!(greet["description"], "Greet somebody, version 2");
}

#[tokio::test]
async fn a_client_that_says_twice_that_it_is_initialized_is_told_once() {
    let (server, _) = greeter().await;
    let client = Client::legacy(&server).await;
    for _ in 0..2 {
        assert_eq!(client.notify("notifications/initialized", json!({})).await.status, 202);
    }
    let stream = client.listen().await;
    // Answered by the session, so the notifications before it have been heard.
    client.result("ping", json!({})).await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&super::V2).await;
    assert_eq!(told(&server, vec![stream]).await, [1]);
}

#[tokio::test]
async fn a_change_reaches_many_listeners() {
    let server = Site::new().start().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.extend(listeners(&server).await);
    }
    server.site().put("greeter.wasm", &guest("greeter-v1"));
    for stream in &mut streams {
        assert_eq!(stream.expect("a change").await["method"], CHANGED);
    }
}
