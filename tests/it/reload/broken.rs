//! Files that are no plugin: none of them takes a working tool away.

use std::fs::File;
use std::os::unix::fs::symlink;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::Site;

use super::{V1, V2, greeter, problem};

/// Replaces version 1 with bytes that are no plugin: it goes on, the reason is in the log, in `list` and on the page,
/// and a good file is served again.
async fn keeps_the_old_version(bytes: &[u8], reason: &str) {
    let (server, client) = greeter().await;
    server.site().put("greeter.wasm", bytes);
    let line = server.log.wait_for("plugin `greeter` not reloaded").await;
    assert!(line.contains(reason) && line.contains("the version before goes on"), "{line}");
    assert_eq!(client.tool_names().await, V1);
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let problem = problem(&server, "greeter.wasm");
    assert!(problem.contains(reason), "{problem}");
    assert!(server.get("/").await.text().contains("greeter.wasm"));
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&V2).await;
}

#[tokio::test]
async fn an_empty_file_keeps_the_old_version() {
    keeps_the_old_version(b"", "the file is empty or cut short (0 bytes)").await;
}

#[tokio::test]
async fn a_truncated_file_keeps_the_old_version() {
    let whole = guest("greeter-v2");
    keeps_the_old_version(&whole[..whole.len() / 2], "not a valid component").await;
}

#[tokio::test]
async fn a_file_cut_where_it_still_parses_keeps_the_old_version() {
    // Nothing but the header: a component without exports.
    keeps_the_old_version(&guest("greeter-v2")[..8], "no tools").await;
}

#[tokio::test]
async fn a_file_that_is_not_webassembly_keeps_the_old_version() {
    keeps_the_old_version(b"#!/bin/sh\necho hello", "not a WebAssembly file").await;
}

#[tokio::test]
async fn a_core_module_keeps_the_old_version() {
    keeps_the_old_version(&guest("core-module"), "a core WebAssembly module, not a component").await;
}

#[tokio::test]
async fn unknown_imports_keep_the_old_version() {
    keeps_the_old_version(&guest("unknown-import"), "`example:unknown/thing`").await;
}

#[tokio::test]
async fn a_component_without_tools_keeps_the_old_version() {
    keeps_the_old_version(&guest("no-tools"), "no tools").await;
}

#[tokio::test]
async fn a_damaged_component_keeps_the_old_version() {
    let mut damaged = guest("greeter-v2");
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    keeps_the_old_version(&damaged, "").await;
}

#[tokio::test]
async fn a_file_that_is_too_large_keeps_the_old_version() {
    let (server, client) = greeter().await;
    let draft = server.site().path().join("draft");
    File::create(&draft).unwrap().set_len(200 << 20).unwrap();
    std::fs::rename(&draft, server.site().plugin_path("greeter.wasm")).unwrap();
    let line = server.log.wait_for("plugin `greeter` not reloaded").await;
    assert!(line.contains("200MiB is more than `limits.file` allows (64MiB)"), "{line}");
    assert_eq!(client.tool_names().await, V1);
}

#[tokio::test]
async fn a_limit_that_is_raised_lets_a_large_file_in() {
    let site = Site::new().config("[limits]\nfile = \"1KiB\"\n").plugin("greeter", &guest("greeter-v1"));
    let server = site.start().await;
    server.log.wait_for("is more than `limits.file` allows (1KiB)").await;
    server.site().configure("");
    Client::modern(&server).wait_for_tools(&V1).await;
}

#[tokio::test]
async fn a_fifo_blocks_nobody() {
    let (server, client) = greeter().await;
    let path = server.site().plugin_path("pipe.wasm");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    server.log.wait_for("plugin `pipe` not loaded: not a regular file").await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&V2).await;
}

#[tokio::test]
async fn a_link_to_a_fifo_blocks_nobody() {
    let (server, client) = greeter().await;
    let pipe = server.site().path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    symlink(&pipe, server.site().plugin_path("pipe.wasm")).unwrap();
    server.log.wait_for("plugin `pipe` not loaded: not a regular file").await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&V2).await;
}

#[tokio::test]
async fn a_link_to_a_file_of_the_kernels_own_is_told_once() {
    let (server, _) = greeter().await;
    symlink("/proc/self/maps", server.site().plugin_path("maps.wasm")).unwrap();
    server.log.wait_for("plugin `maps` not loaded: the file is empty").await;
}

#[tokio::test]
async fn a_link_shows_nothing_of_what_it_leads_to() {
    let (server, _) = greeter().await;
    let key = server.site().path().join("key");
    std::fs::write(&key, "hush-hush-hush-hush").unwrap();
    symlink(&key, server.site().plugin_path("soft.wasm")).unwrap();
    std::fs::hard_link(&key, server.site().plugin_path("hard.wasm")).unwrap();
    for name in ["soft", "hard"] {
        server.log.wait_for(&format!("plugin `{name}` not loaded: a link to what is not a WebAssembly file")).await;
    }
    let inspected = server.site().run(&["inspect", "plugins/soft.wasm"]);
    let listed = server.site().run(&["list"]);
    for shown in [server.log.text(), server.get("/").await.text(), format!("{inspected:?}"), format!("{listed:?}")] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[tokio::test]
async fn a_broken_file_stays_told_while_the_version_before_gets_another_prefix() {
    let (server, client) = greeter().await;
    server.site().put("greeter.wasm", b"broken");
    server.log.wait_for("plugin `greeter` not reloaded").await;
    server.site().configure("[plugin.greeter]\nprefix = \"g\"\n");
    client.wait_for_tools(&["g_greet", "g_wait"]).await;
    let page = server.get("/").await.text();
    assert!(page.contains("not a WebAssembly file"), "{page}");
}

#[tokio::test]
async fn an_unusable_file_name_is_refused_by_name() {
    let (server, client) = greeter().await;
    server.site().put("weather.v2.wasm", &guest("greeter-v2"));
    let line = server.log.wait_for("`weather.v2`").await;
    assert!(line.contains("cannot name a plugin: rename the file"), "{line}");
    assert_eq!(client.tool_names().await, V1);
}

#[tokio::test]
async fn a_file_name_cannot_pose_as_the_log() {
    let (server, _) = greeter().await;
    server.site().put("a\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{202e}.wasm", &guest("greeter-v2"));
    let line = server.log.wait_for("forged").await;
    assert!(line.contains("cannot name a plugin"), "{line}");
    assert!(!server.log.text().contains(['\u{1b}', '\u{202e}']), "{}", server.log.text());
    let listed = server.site().run(&["list"]).stdout;
    assert!(listed.contains("forged") && !listed.contains('\u{1b}'), "{listed}");
}

#[tokio::test]
async fn a_tool_name_that_is_too_long_is_refused() {
    let (server, client) = greeter().await;
    let stem = "x".repeat(63);
    server.site().put(&format!("{stem}.wasm"), &guest("greeter-v2"));
    let line = server.log.wait_for(&format!("plugin `{stem}` not loaded")).await;
    assert!(line.contains("characters, clients take 64"), "{line}");
    assert_eq!(client.tool_names().await, V1);
}

#[tokio::test]
async fn broken_files_do_not_hold_up_readiness() {
    let site = Site::with(&["greeter-v1"]).plugin("broken", b"broken").plugin("other", &guest("core-module"));
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, ["greeter_v1_greet", "greeter_v1_wait"]);
}
