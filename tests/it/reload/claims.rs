//! Names that two files want, and the one that has them: over restarts, switches, and changes of either file.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::server::{Server, Site};

use super::{V2, greeter, problem};

/// Two plugins without prefixes, which export the same names.
const BARE: &str = "[plugin.first]\nprefix = \"\"\n[plugin.second]\nprefix = \"\"\n";

/// The tools of the guest's versions without a prefix.
const BARE_V1: [&str; 2] = ["greet", "wait"];
const BARE_V2: [&str; 3] = ["greet", "part", "wait"];

const V1_GREETS: &str = "v1 greets Ada";
const V2_GREETS: &str = "v2 greets Ada";

/// A server with version 1 as `second.wasm`, and version 2 as the newcomer `first.wasm`, which is refused. Its file
/// comes first by name, so that no order of files explains the outcome.
async fn rivals() -> (Server, Client) {
    let server = Site::new().config(BARE).plugin("second", &guest("greeter-v1")).start().await;
    let client = Client::modern(&server);
    server.site().put("first.wasm", &guest("greeter-v2"));
    server.log.wait_for("plugin `first` not loaded: tool name `greet` belongs to `second.wasm`").await;
    (server, client)
}

async fn greeting(client: &Client) -> Value {
    client.value("greet", json!({ "name": "Ada" })).await
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_to_the_newcomer_and_after_a_restart_too() {
    let (server, client) = rivals().await;
    assert_eq!(client.tool_names().await, BARE_V1);
    assert_eq!(greeting(&client).await, V1_GREETS);

    let server = server.kill().start().await;
    let client = Client::modern(&server);
    assert_eq!(greeting(&client).await, V1_GREETS);
    assert!(problem(&server, "first.wasm").contains("belongs to `second.wasm`"));

    // The name is free once its owner has gone.
    server.site().remove("second.wasm");
    client.wait_for_tools(&BARE_V2).await;
    assert_eq!(greeting(&client).await, V2_GREETS);
}

#[tokio::test]
async fn a_replaced_owner_keeps_its_names() {
    let (server, client) = rivals().await;
    let mark = server.log.mark();
    server.site().put("second.wasm", &marked(&guest("greeter-v1"), 1));
    server.log.wait_since(mark, "loaded plugin `second`").await;
    assert_eq!(greeting(&client).await, V1_GREETS);
}

#[tokio::test]
async fn a_broken_owner_keeps_its_names_over_a_restart() {
    let (server, _) = rivals().await;
    let site = server.kill();
    site.put("second.wasm", b"broken");
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, Vec::<String>::new());
    assert!(problem(&server, "first.wasm").contains("belongs to `second.wasm`"));
    server.site().put("second.wasm", &guest("greeter-v1"));
    client.wait_for_tools(&BARE_V1).await;
}

#[tokio::test]
async fn names_that_an_owner_gives_up_are_free() {
    let (server, client) = rivals().await;
    server.site().put("second.wasm", &guest("conformance"));
    let gives = ["test_error_handling", "test_logging_tool", "test_simple_text", "test_streaming_elicitation"];
    client.wait_for_tools(&[&BARE_V2[..2], &gives[..], &BARE_V2[2..]].concat()).await;
    assert_eq!(greeting(&client).await, V2_GREETS);
    // The new owner keeps them when the old one wants them back, now and after a restart.
    server.site().put("second.wasm", &guest("greeter-v1"));
    server.log.wait_for("plugin `second` not reloaded: tool name `greet` belongs to `first.wasm`").await;
    let server = server.kill().start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, BARE_V2);
    assert!(problem(&server, "second.wasm").contains("belongs to `first.wasm`"));
}

#[tokio::test]
async fn a_name_is_free_while_its_owner_is_switched_off_and_stays_with_the_next() {
    let (server, client) = rivals().await;
    server.site().configure("[plugin.first]\nprefix = \"\"\n[plugin.second]\nprefix = \"\"\nenabled = false\n");
    client.wait_for_tools(&BARE_V2).await;
    server.site().configure(BARE);
    server.log.wait_for("plugin `second` not loaded: tool name `greet` belongs to `first.wasm`").await;
    assert_eq!(greeting(&client).await, V2_GREETS);

    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, BARE_V2);
}

#[tokio::test]
async fn what_is_switched_on_again_is_the_file_as_it_is_then() {
    let (server, client) = greeter().await;
    server.site().configure("[plugin.greeter]\nenabled = false\n");
    client.wait_for_tools(&[]).await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    let mark = server.log.mark();
    server.site().configure("");
    client.wait_for_tools(&V2).await;
    let loads = server.log.lines_since(mark, "loaded plugin `greeter`");
    assert!(loads.len() == 1 && loads[0].contains("greeter_part"), "{loads:?}");
}

#[tokio::test]
async fn two_files_cannot_be_one_plugin() {
    let server = Site::new().plugin("my-tool", &guest("greeter-v1")).start().await;
    // No tool of it has a name that is taken, but limits and grants are given to a plugin by its name.
    server.site().put("my_tool.wasm", &guest("conformance"));
    let line = server.log.wait_for("plugin `my_tool` not loaded").await;
    assert!(line.contains("plugin name `my_tool` belongs to `my-tool.wasm`: rename one of the files"), "{line}");
    assert_eq!(Client::modern(&server).tool_names().await, ["my_tool_greet", "my_tool_wait"]);
}

#[tokio::test]
async fn prefixes_that_were_exchanged_are_in_force_after_a_restart() {
    let prefixes = |first: &str, second: &str| {
        format!("[plugin.first]\nprefix = \"{first}\"\n[plugin.second]\nprefix = \"{second}\"\n")
    };
    let site = Site::new().config(&prefixes("a", "b"));
    let server = site.plugin("first", &guest("greeter-v1")).plugin("second", &guest("greeter-v2")).start().await;
    let site = server.kill();
    site.configure(&prefixes("b", "a"));
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["a_greet", "a_part", "a_wait", "b_greet", "b_wait"]);
    assert_eq!(client.value("b_greet", json!({ "name": "Ada" })).await, V1_GREETS);
}
