//! Approval and trust: what may go live, and who has looked at it.

mod damaged;
mod held;
mod interface;
mod kept;
mod lists;
mod many;
mod races;
mod trust;

use serde_json::Value;
use tinymcp_tests::command::CommandOutput;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

/// The tools of the guests `greeter-v1` and `greeter-v2` as the plugin `greeter`.
const V1: [&str; 2] = ["greeter_greet", "greeter_wait"];
const V2: [&str; 3] = ["greeter_greet", "greeter_part", "greeter_wait"];

const ON: &str = "[plugins]\napprove = true\n";

/// A server that serves version 1 as the plugin `greeter`, approved.
async fn approved() -> Server {
    let server = Site::new().config(ON).plugin("greeter", &guest("greeter-v1")).start().await;
    approve(server.site(), "greeter");
    server
}

/// The name of what waits of a plugin.
fn reference(site: &Site, plugin: &str) -> String {
    let shown = site.run(&["approve", plugin, "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    shown["waiting"]["reference"].as_str().unwrap().to_owned()
}

/// What is shown to the operator.
fn shown(site: &Site, plugin: &str) -> String {
    let shown = site.run(&["approve", plugin]);
    assert_eq!(shown.code, 0, "{shown:?}");
    shown.stdout
}

/// Approves what waits of a plugin.
fn approve(site: &Site, plugin: &str) -> CommandOutput {
    let approved = site.run(&["approve", &reference(site, plugin)]);
    assert_eq!(approved.code, 0, "{approved:?}");
    approved
}

/// The plugins of which something waits.
fn waiting(site: &Site) -> Vec<String> {
    let listed = site.run(&["approve", "--json"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    listed.as_array().unwrap().iter().map(|one| one["plugin"].as_str().unwrap().to_owned()).collect()
}

/// Waits until something of a plugin waits.
async fn until_it_waits(server: &Server, plugin: &str) {
    tinymcp_tests::until("a plugin that waits", async || waiting(server.site()).iter().any(|one| one == plugin)).await;
}
