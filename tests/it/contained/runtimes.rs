//! Guests with a whole language inside: they are large, start slowly, and import what they never use.

use serde_json::{Value, json};
use tinymcp_tests::BUILDING;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::kept_dir;
use tinymcp_tests::server::{Server, Site};

/// A server with one of these. Compiling it takes many seconds; the state directory is kept, so that it is done once for all runs.
async fn serve(name: &str) -> (Server, Client) {
    let state = kept_dir(&format!("state-{name}"));
    let site = Site::with(&[name]).config(&format!("[state]\ndir = \"{}\"\n", state.display()));
    let server = site.launch().await;
    server.ready_within(BUILDING).await;
    let client = Client::modern(&server);
    (server, client)
}

/// The two functions of these guests, well and failing, with their documentation.
async fn runs(name: &str, language: &str) {
    let (_server, client) = serve(name).await;
    let plugin = name.replace('-', "_");
    let tool = |function: &str| format!("{plugin}_{function}");
    assert_eq!(client.tool_names().await, [tool("greet"), tool("welcome")]);
    let said = client.value(&tool("greet"), json!({ "name": "Ada" })).await;
    assert_eq!(said, Value::String(format!("Hello from {language}, Ada!")));
    let called = client.call(&tool("welcome"), json!({ "guest": { "name": "Ada", "title": "Dr", "visits": 0 } })).await;
    assert_eq!(called.structured, json!({ "text": "Welcome, Dr Ada!", "first": true }), "{called:?}");
    let called = client.call(&tool("welcome"), json!({ "guest": { "name": "Ada", "visits": 3 } })).await;
    assert_eq!(called.structured, json!({ "text": "Welcome, Ada!", "first": false }), "{called:?}");
    let said = client.failure(&tool("welcome"), json!({ "guest": { "name": "", "visits": 0 } })).await;
    assert_eq!(said, "a guest needs a name");
}

#[tokio::test]
async fn a_python_component_runs() {
    runs("py-greet", "Python").await;
}

#[tokio::test]
async fn a_javascript_component_on_quickjs_runs() {
    runs("js-greet", "JavaScript").await;
}

#[tokio::test]
async fn a_javascript_component_on_quickjs_with_async_runs() {
    runs("js-greet-async", "JavaScript").await;
}

#[tokio::test]
async fn a_javascript_component_on_starlingmonkey_runs() {
    runs("js-greet-sm", "JavaScript").await;
}

#[tokio::test]
async fn a_guest_that_starts_slowly_starts_for_every_call() {
    let server = Server::with(&["slow-start"]).await;
    let client = Client::modern(&server);
    for _ in 0..3 {
        assert_eq!(client.value("slow_start_count", json!({})).await, 1);
    }
}
