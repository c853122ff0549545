//! `http` of a plugin: requests that are granted go where they may, and all others nowhere.

mod credentials;
mod granted;
mod limits;
pub(crate) mod login;
mod peers;
pub(crate) mod tls;
mod withdrawn;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::peer::Peer;
use tinymcp_tests::server::{Server, Site};

/// A server with the guest `fetch`, whose table has these lines.
async fn fetching(table: &str) -> (Server, Client) {
    let server = site(table).start().await;
    let client = Client::modern(&server);
    (server, client)
}

fn site(table: &str) -> Site {
    Site::new().plugin("fetch", &guest("fetch")).config(&configuration(table))
}

fn configuration(table: &str) -> String {
    format!("[log]\nlevel = \"debug\"\n[plugin.fetch]\n{table}\n")
}

/// The lines that grant all of a peer.
fn all_of(peer: &Peer) -> String {
    format!("http = [\"http://{}\"]", peer.address)
}

pub(crate) fn get(url: &str) -> Value {
    json!({ "method": "GET", "url": url, "headers": [] })
}

/// Lets the guest send a request, which is answered.
async fn ask(client: &Client, arguments: Value) -> Value {
    let called = client.call("fetch", arguments).await;
    assert!(!called.is_error, "{called:?}");
    called.structured
}

/// The value of a header of an answer.
fn header<'v>(answer: &'v Value, name: &str) -> Option<&'v str> {
    let headers = answer["headers"].as_array().unwrap();
    headers.iter().find(|header| header["name"] == name).map(|header| header["value"].as_str().unwrap())
}
