//! Plugins beyond typed functions, and what nobody can do to them: the plugin `everything`, which the official suite
//! takes for a friend, among strangers.

mod asking;
mod discovery;
mod lists;
mod pages;
mod resources;
mod shown;
mod tasks;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Request;
use tinymcp_tests::server::{Server, Site};

/// Bare names, as the suite wants them.
const CONFIG: &str = "[plugin.everything]\nprefix = \"\"\n";

const INVALID_PARAMS: i64 = -32602;

fn site() -> Site {
    with_everything(Site::new())
}

fn with_everything(site: Site) -> Site {
    site.plugin("everything", &guest("everything")).config(CONFIG)
}

async fn serve() -> Server {
    site().start().await
}

/// A modern request whose client can do what `capabilities` say.
fn capable(client: &Client, method: &str, params: Value, capabilities: &Value) -> Request {
    let mut message = client.message(method, params);
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    // `Mcp-Name` of tasks is their id.
    let request = client.post(&message);
    match message["params"]["taskId"].as_str() {
        Some(id) => request.header("mcp-name", id),
        None => request,
    }
}

/// The answer to such a request.
async fn answer(client: &Client, method: &str, params: Value, capabilities: &Value) -> Value {
    capable(client, method, params, capabilities).messages().await.pop().unwrap()
}

fn forms() -> Value {
    json!({ "elicitation": {} })
}
