//! Clients that were not written here: the scripts of `tests/clients`, each in every era that it speaks.

use std::process::{Command, Stdio};

use tinymcp_tests::command::{CommandOutput, finish, program, report, script, tool};
use tinymcp_tests::guests::{guest, shipped};
use tinymcp_tests::log::Log;
use tinymcp_tests::server::{Server, Site};

const ERAS: [&str; 3] = ["legacy", "modern", "auto"];

/// A server with the plugins that the project ships.
async fn ships() -> Server {
    Site::new().plugin("hello", &shipped("hello")).plugin("add", &shipped("add")).start().await
}

/// Runs a client that watches for changes, changes the tools when it is ready, and checks what it reports.
async fn watches(command: Command, server: &Server) {
    watches_at(command, server.site()).await;
}

async fn watches_at(mut command: Command, site: &Site) {
    let mut child = command.arg("--watch").stdout(Stdio::piped()).spawn().unwrap();
    let said = Log::collect(child.stdout.take().unwrap());
    said.wait_for("READY").await;
    site.put("greeter.wasm", &guest("greeter-v1"));
    said.ended().await;
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let checks = report(&CommandOutput { code, stdout: said.text(), stderr: String::new() });
    assert!(checks.iter().any(|check| check == "list_changed"), "{checks:?}");
    assert!(said.lines("list_changed")[0].contains("greeter_greet"), "{}", said.text());
}

#[tokio::test]
async fn the_typescript_client_works_in_every_era() {
    for era in ERAS {
        let server = ships().await;
        let mut command = script(tool("node/node_modules/.bin/node"), "typescript.mjs");
        command.args([&server.url(), era]);
        watches(command, &server).await;
    }
}

/// Under their names in `tests/setup/node/package.json`: of three revisions of the protocol, and the newest of its line.
const OLD_SDKS: [&str; 4] = ["mcp-sdk-1.12", "mcp-sdk-1.20", "mcp-sdk-1.24", "mcp-sdk-1"];

#[tokio::test]
async fn the_typescript_sdk_works_in_every_age() {
    for sdk in OLD_SDKS {
        let server = ships().await;
        let mut command = script(tool("node/node_modules/.bin/node"), "typescript_v1.mjs");
        command.args([&server.url(), sdk]);
        watches(command, &server).await;
    }
}

#[tokio::test]
async fn gemini_cli_works_as_far_as_it_goes_without_an_account() {
    let server = ships().await;
    tool("node/node_modules/@google/gemini-cli/bundle/gemini.js");
    let finished = finish(script(tool("node/node_modules/.bin/node"), "gemini.mjs").arg(server.url()));
    assert_eq!(report(&finished), ["connect", "tools", "add", "quiet"]);
}

#[tokio::test]
async fn the_python_client_works_in_every_era() {
    for era in ERAS {
        let server = ships().await;
        let mut command = script(tool("python/bin/python"), "python_client.py");
        command.args([&server.url(), era]);
        watches(command, &server).await;
    }
}

/// Clients that start the server themselves.
async fn starts(tool_path: &str, name: &str) {
    for era in ERAS {
        let site = Site::new().plugin("hello", &shipped("hello")).plugin("add", &shipped("add"));
        let mut command = script(tool(tool_path), name);
        let directory = site.path().to_str().unwrap().to_owned();
        command.args([&directory, era]).env("TINYMCP", program()).env("TINYMCP_PLUGINS_WAIT", "10m");
        command.env("XDG_CACHE_HOME", site.path().join(".cache"));
        watches_at(command, &site).await;
    }
}

#[tokio::test]
async fn the_typescript_client_starts_a_server_of_its_own_in_every_era() {
    starts("node/node_modules/.bin/node", "typescript.mjs").await;
}

#[tokio::test]
async fn the_python_client_starts_a_server_of_its_own_in_every_era() {
    starts("python/bin/python", "python_client.py").await;
}

#[tokio::test]
async fn the_inspector_works_in_every_era() {
    let server = ships().await;
    for era in ERAS {
        let finished = finish(script("bash", "inspector.sh").args([&server.url(), era]));
        assert_eq!(report(&finished), ["tools", "hello", "add"], "{era}");
    }
}

/// Every scenario that the official suite has for a version, extensions included. `tests/run` shows its table at the end.
async fn conforms(version: &str) {
    let site = Site::with(&["everything"]).config("[plugin.everything]\nenabled = true\nprefix = \"\"\n");
    let server = site.start().await;
    let finished = finish(script("bash", "conformance.sh").args([&server.url(), version]));
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
}

#[tokio::test]
async fn the_official_suite_passes_in_the_legacy_era() {
    conforms("2025-11-25").await;
}

#[tokio::test]
async fn the_official_suite_passes_in_the_modern_era() {
    conforms("2026-07-28").await;
}
