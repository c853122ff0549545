//! Hot reload: files come, change and go while the server serves.

mod broken;
mod claims;
mod compiling;
mod files;
mod links;
mod listeners;
mod starting;
mod versions;

use serde_json::Value;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

/// The tools of the guests `greeter-v1` and `greeter-v2` as the plugin `greeter`.
const V1: [&str; 2] = ["greeter_greet", "greeter_wait"];
const V2: [&str; 3] = ["greeter_greet", "greeter_part", "greeter_wait"];

/// A server with version 1 as the plugin `greeter`.
async fn greeter() -> (Server, Client) {
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, V1);
    (server, client)
}

/// The reason why the file is not served, as `tinymcp list` says it beside the running server.
fn problem(server: &Server, file: &str) -> String {
    let listed: Value = serde_json::from_str(&server.site().run(&["list", "--json"]).stdout).unwrap();
    let plugins = listed["plugins"].as_array().unwrap();
    let plugin = plugins.iter().find(|plugin| plugin["file"] == file).unwrap();
    plugin["problem"].as_str().unwrap_or_default().to_owned()
}
