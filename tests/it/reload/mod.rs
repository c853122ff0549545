//! Hot reload: files come, change and go while the server serves.

mod broken;
mod files;
mod listeners;
mod versions;

use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

/// What the guests `greeter-v1` and `greeter-v2` have as the plugin `greeter`.
const V1: [&str; 2] = ["greeter_greet", "greeter_wait"];
const V2: [&str; 3] = ["greeter_greet", "greeter_part", "greeter_wait"];

/// A server with version 1 as the plugin `greeter`.
async fn greeter() -> (Server, Client) {
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, V1);
    (server, client)
}
