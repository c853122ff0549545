//! Clients that were not written here log in end to end: the scripts of `tests/clients`, with a browser that the rig drives.

use std::process::Command;

use tinymcp_tests::command::{browser, finish, report, script, tool};
use tinymcp_tests::guests::shipped;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::{Site, free_port};
use tinymcp_tests::world::{World, behind, local};

const ERAS: [&str; 3] = ["legacy", "modern", "auto"];
const NODE: &str = "node/node_modules/.bin/node";
const PYTHON: &str = "python/bin/python";

/// A server with `add` whose access tokens live for two seconds, so that clients have to renew them.
async fn short_lived(site: Site) -> World {
    World::of(site.variable("TINYMCP_AUTH_ACCESS_TTL", "5s").plugin("add", &shipped("add"))).await
}

/// The base URL at which clients find the server: the name that is in its URLs.
fn url(world: &World) -> String {
    format!("{}mcp", world.base)
}

/// Runs a client beside this task, which plays the provider.
async fn run(mut command: Command) -> Vec<String> {
    let finished = tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap();
    report(&finished)
}

/// Runs a script of a client in every era, at once: most of its time it waits for its tokens to end.
async fn in_every_era(world: &World, program: &str, name: &str, checks: &[&str]) {
    let running = ERAS.map(|era| {
        let mut command = script(tool(program), name);
        command.args([&url(world), browser().to_str().unwrap(), era]);
        tokio::spawn(run(command))
    });
    for (client, era) in running.into_iter().zip(ERAS) {
        assert_eq!(client.await.unwrap(), checks, "{era}");
    }
}

#[tokio::test]
async fn the_typescript_client_logs_in_and_renews_in_every_era() {
    let world = short_lived(local()).await;
    in_every_era(&world, NODE, "login.mjs", &["unauthorized", "connect", "add", "renew"]).await;
}

#[tokio::test]
async fn the_python_client_logs_in_and_renews_in_every_era() {
    let world = short_lived(local()).await;
    in_every_era(&world, PYTHON, "python_login.py", &["connect", "add", "renew"]).await;
}

#[tokio::test]
async fn clients_log_in_through_a_provider() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = short_lived(behind(&provider)).await;
    let mut typescript = script(tool(NODE), "login.mjs");
    typescript.args([&url(&world), browser().to_str().unwrap(), "modern"]);
    assert_eq!(run(typescript).await, ["unauthorized", "connect", "add", "renew"]);
    let mut python = script(tool(PYTHON), "python_login.py");
    python.args([&url(&world), browser().to_str().unwrap(), "legacy"]);
    assert_eq!(run(python).await, ["connect", "add", "renew"]);
}

#[tokio::test]
async fn mcp_remote_logs_in_once() {
    let world = World::of(local().plugin("add", &shipped("add"))).await;
    let mut command = script("bash", "login.sh");
    command.args(["mcp-remote", &url(&world), browser().to_str().unwrap()]);
    assert_eq!(run(command).await, ["login", "again"]);
}

#[tokio::test]
async fn the_inspector_logs_in_once() {
    let world = World::of(local().plugin("add", &shipped("add"))).await;
    let mut command = script("bash", "login.sh");
    command.args(["inspector", &url(&world), browser().to_str().unwrap()]);
    assert_eq!(run(command).await, ["login", "again"]);
}

/// The two scenarios that the official suite has for authorization servers.
#[tokio::test]
async fn the_official_suite_passes_for_the_authorization_server() {
    let port = free_port();
    let config = format!(
        "[auth.clients.conformance]\nname = \"Conformance suite\"\nredirect_uris = [\"http://127.0.0.1:{port}/callback\"]\n"
    );
    let world = World::of(local().config(&config)).await;
    let issuer = world.base.as_str().trim_end_matches('/').to_owned();
    let mut command = script("bash", "login.sh");
    command.args(["conformance", &issuer, browser().to_str().unwrap(), "conformance", &port.to_string()]);
    assert_eq!(run(command).await, ["authorization-server-metadata-endpoint", "authorization-code-grant"]);
}
