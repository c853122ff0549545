//! A start: clients get a whole list, and nobody waits for a file that compiles for long.

use std::time::Duration;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::server::Site;
use tinymcp_tests::until_within;

/// Compiling a component with Python inside takes many seconds.
const COMPILE: Duration = Duration::from_secs(900);

#[tokio::test]
async fn the_first_list_waits_for_the_first_scan() {
    let names: Vec<String> = (0..20).map(|number| format!("greeter-{number:02}")).collect();
    let mut site = Site::new();
    for name in &names {
        site = site.plugin(name, &tinymcp_tests::guests::guest("greeter-v1"));
    }
    let server = site.launch().await;
    // Whoever comes first, in either era, and without a session.
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let plain = tokio::spawn(server.request("POST", "/mcp").json(&list).messages());
    let call = json!({ "name": "greeter_19_greet", "arguments": { "name": "Ada" } });
    let called = tokio::spawn(Client::modern(&server).request("tools/call", call).1.messages());
    let legacy = Client::legacy(&server).await;
    assert_eq!(legacy.result("ping", json!({})).await, json!({}));
    let wanted = 2 * names.len();
    assert_eq!(legacy.tool_names().await.len(), wanted);
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(Client::modern(&server).tool_names().await.len(), wanted);
    let listed = plain.await.unwrap().pop().unwrap();
    assert_eq!(listed["result"]["tools"].as_array().map(Vec::len), Some(wanted), "{listed}");
    let called = called.await.unwrap().pop().unwrap();
    assert_eq!(called["result"]["content"][0]["text"], "v1 greets Ada", "{called}");
}

#[tokio::test]
async fn a_file_that_compiles_for_long_comes_later() {
    let site = Site::with(&["greeter-v1", "py-greet"]).variable("TINYMCP_PLUGINS_WAIT", "6s");
    let server = site.launch().await;
    let client = Client::legacy(&server).await;
    let mut events = client.listen().await;
    let names = client.tool_names().await;
    assert!(names.iter().any(|name| name == "greeter_v1_greet"), "{names:?}");
    assert_eq!(server.get("/readyz").await.status, 200);
    let is_late = !names.iter().any(|name| name == "py_greet_greet");
    if is_late {
        server.log.wait_for("plugins.wait").await;
    }
    until_within(COMPILE, "the tools of the slow file", async || {
        client.tool_names().await.iter().any(|name| name == "py_greet_greet")
    })
    .await;
    // One for the first list, which the session was there before, and one for the other.
    for _ in 0..1 + usize::from(is_late) {
        assert_eq!(events.expect("a change").await["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn code_takes_no_memory_until_it_is_called() {
    let server = Site::new().plugin("greeter", &tinymcp_tests::guests::guest("greeter-v1")).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await.len(), 2);
    let before = server.resident_code_kib();
    assert!(before <= 8, "{before} KiB of code are in memory, and nobody has called it");
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    assert!(server.resident_code_kib() > before, "what is called is in memory");
}
