//! Approved bytes are kept: they serve after a restart, whatever became of the file.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::server::Site;

use super::{ON, V1, V2, approve, approved, reference, until_it_waits, waiting};

#[tokio::test]
async fn the_approved_version_serves_after_a_restart_though_the_file_is_another() {
    for replaced in [guest("greeter-v2"), b"no component".to_vec(), Vec::new()] {
        let site = approved().await.kill();
        site.put("greeter.wasm", &replaced);
        let server = site.start().await;
        let client = Client::modern(&server);
        assert_eq!(client.tool_names().await, V1);
        assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
        // A command beside the server sees the same.
        let called = server.site().run(&["call", "greeter_greet", r#"{"name":"Ada"}"#]);
        assert!(called.stdout.contains("v1 greets Ada"), "{called:?}");
        let listed = server.site().run(&["list"]);
        assert!(listed.stdout.contains("greeter_greet") && !listed.stdout.contains("greeter_part"), "{listed:?}");
    }
}

#[tokio::test]
async fn an_approval_without_a_server_counts_at_the_next_start() {
    let site = approved().await.kill();
    site.put("greeter.wasm", &guest("greeter-v2"));
    assert_eq!(waiting(&site), ["greeter"]);
    let said = approve(&site, "greeter");
    assert!(said.stderr.contains("it is served at the next start"), "{said:?}");
    assert_eq!(waiting(&site), Vec::<String>::new());
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V2);
}

#[tokio::test]
async fn a_server_that_has_approvals_and_no_socket_is_not_worked_around() {
    let server = approved().await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    until_it_waits(&server, "greeter").await;
    let reference = reference(server.site(), "greeter");
    fs::remove_file(server.site().path().join(".tinymcp/control/socket")).unwrap();
    let refused = server.site().run(&["approve", &reference]);
    assert!(refused.code == 1 && refused.stderr.contains("another process (process "), "{refused:?}");
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

#[tokio::test]
async fn a_file_that_was_away_for_a_moment_is_no_new_plugin() {
    let server = approved().await;
    let client = Client::modern(&server);
    server.site().remove("greeter.wasm");
    client.wait_for_tools(&[]).await;
    // Another one comes: the approved version serves until somebody has looked at it.
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    until_it_waits(&server, "greeter").await;
    client.wait_for_tools(&V1).await;
}

#[tokio::test]
async fn a_link_is_approved_by_what_it_leads_to() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("built.wasm");
    fs::write(&target, guest("greeter-v1")).unwrap();
    let server = Site::new().config(ON).start().await;
    symlink(&target, server.site().plugin_path("greeter.wasm")).unwrap();
    until_it_waits(&server, "greeter").await;
    approve(server.site(), "greeter");
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, V1);
    // Its target is replaced, and the link is turned: both wait.
    let draft = elsewhere.path().join("draft");
    fs::write(&draft, guest("greeter-v2")).unwrap();
    fs::rename(&draft, &target).unwrap();
    until_it_waits(&server, "greeter").await;
    let first = reference(server.site(), "greeter");
    let other = elsewhere.path().join("other.wasm");
    fs::write(&other, marked(&guest("greeter-v2"), 1)).unwrap();
    symlink(&other, server.site().path().join("link")).unwrap();
    fs::rename(server.site().path().join("link"), server.site().plugin_path("greeter.wasm")).unwrap();
    tinymcp_tests::until("the other one waits", async || reference(server.site(), "greeter") != first).await;
    let refused = server.site().run(&["approve", &first]);
    assert!(refused.code == 1 && refused.stderr.contains("has changed since that was shown"), "{refused:?}");
    assert_eq!(client.tool_names().await, V1);
    let site = server.kill();
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

#[tokio::test]
async fn files_before_are_kept_to_a_number() {
    let server = approved().await;
    for mark in 0..6 {
        server.site().put("greeter.wasm", &marked(&guest("greeter-v1"), mark));
        until_it_waits(&server, "greeter").await;
        approve(server.site(), "greeter");
    }
    let folder = server.site().path().join(".tinymcp/approved");
    let count = || {
        fs::read_dir(&folder)
            .unwrap()
            .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".wasm"))
            .count()
    };
    tinymcp_tests::until("four files are kept", async || count() == 4).await;
}
