//! What the operator shows and to whom: tools that are hidden or called otherwise, views with a list and an audience of
//! their own, and the server's own words.

mod audience;
mod bound;
mod changes;
mod hidden;
mod lists;
mod machines;
mod words;

use serde_json::Value;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

const INVALID_PARAMS: i64 = -32602;

/// Two views that share a plugin, and `everything` in one of them.
const VIEWS: &str = "[plugin.everything]\nprefix = \"\"\n\
    [view.ops]\nplugins = [\"greeter\", \"everything\"]\n[view.small]\nplugins = [\"greeter\"]\n";

fn with_views(site: Site) -> Site {
    site.plugin("greeter", &guest("greeter-v1")).plugin("everything", &guest("everything")).config(VIEWS)
}

/// A client of each era at a path of a server without a login.
async fn both_at(server: &Server, path: &'static str) -> [Client; 2] {
    [Client::modern(server).at(path), Client::legacy_at(server, path, None).await]
}

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}
