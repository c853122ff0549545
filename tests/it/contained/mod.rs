//! A call is contained: whatever a guest does, its caller reads why, the log says the cause, and nobody else notices.

mod budget;
mod cancelled;
mod cpu;
mod folders;
mod grants;
mod limits;
mod names;
mod needs;
mod neighbours;
mod rates;
mod runtimes;
mod sockets;
mod stacks;
mod values;
mod warm;

use std::time::Duration;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

/// A server with the guest `hostile` under these limits.
async fn hostile(limits: &str) -> (Server, Client) {
    let server = Site::with(&["hostile"]).config(&format!("[limits]\n{limits}\n")).start().await;
    let client = Client::modern(&server);
    (server, client)
}

/// Waits until all places of a plugin are taken, or one is free: a call that finds none waits for its turn, and is given up
/// soon.
async fn wait_for_place(client: &Client, is_taken: bool) {
    const SOON: Duration = Duration::from_millis(500);
    let what = if is_taken { "a call that is under way" } else { "a free place" };
    until(what, async || tokio::time::timeout(SOON, client.value("hostile_now", json!({}))).await.is_err() == is_taken)
        .await;
}

/// Calls that nobody stops go on for longer than any test.
const ONE_PLACE: &str = "concurrency = 1\ntimeout = \"10m\"";

/// The most memory that the server has had, in megabytes.
fn peak_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
