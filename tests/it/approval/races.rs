//! What happens between looking and approving, and between approving and serving.

use std::fs;

use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::server::Site;

use super::{ON, V1, V2, approve, approved, reference, until_it_waits, waiting};

#[tokio::test]
async fn a_file_that_is_replaced_between_is_not_approved() {
    let server = approved().await;
    let client = Client::modern(&server);
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    until_it_waits(&server, "greeter").await;
    let looked_at = reference(server.site(), "greeter");
    server.site().put("greeter.wasm", &marked(&guest("greeter-v2"), 1));
    // At once, whether the server has seen it or not.
    let refused = server.site().run(&["approve", &looked_at]);
    assert!(refused.code == 1 && refused.stderr.contains("changed since"), "{refused:?}");
    assert_eq!(client.tool_names().await, V1);
    tinymcp_tests::until("the other one waits", async || reference(server.site(), "greeter") != looked_at).await;
    let refused = server.site().run(&["approve", &looked_at]);
    assert!(refused.code == 1 && refused.stderr.contains("has changed since that was shown"), "{refused:?}");
    assert_eq!(client.tool_names().await, V1);
    approve(server.site(), "greeter");
    assert_eq!(client.tool_names().await, V2);
}

#[tokio::test]
async fn what_is_granted_between_is_not_approved() {
    let server = Site::new().config(ON).plugin("greeter", &guest("greeter-v1")).start().await;
    until_it_waits(&server, "greeter").await;
    let looked_at = reference(server.site(), "greeter");
    server.site().configure(&format!("{ON}[plugin.greeter]\nhttp = [\"https://bank.example\"]\n"));
    tinymcp_tests::until("another reference", async || reference(server.site(), "greeter") != looked_at).await;
    let refused = server.site().run(&["approve", &looked_at]);
    assert!(refused.code == 1 && refused.stderr.contains("has changed since that was shown"), "{refused:?}");
    // Grants that are taken away again leave what was shown.
    server.site().configure(ON);
    tinymcp_tests::until("the reference", async || reference(server.site(), "greeter") == looked_at).await;
    assert_eq!(server.site().run(&["approve", &looked_at]).code, 0);
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

#[tokio::test]
async fn a_file_that_is_replaced_again_and_again_never_gets_in_unseen() {
    let server = approved().await;
    let client = Client::modern(&server);
    let (first, second) = (guest("greeter-v2"), marked(&guest("greeter-v2"), 9));
    server.site().put("greeter.wasm", &first);
    until_it_waits(&server, "greeter").await;
    let looked_at = reference(server.site(), "greeter");
    let path = server.site().plugin_path("greeter.wasm");
    let beside = server.site().path().to_owned();
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let replacing = std::thread::spawn({
        let is_over = is_over.clone();
        move || {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                for bytes in [&second, &first] {
                    fs::write(beside.join("draft"), bytes).unwrap();
                    fs::rename(beside.join("draft"), &path).unwrap();
                }
            }
        }
    });
    let mut approvals = 0;
    for _ in 0..20 {
        approvals += usize::from(server.site().run(&["approve", &looked_at]).code == 0);
        if approvals > 0 {
            break;
        }
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    replacing.join().unwrap();
    // Whatever came of it, nothing is served but what was looked at.
    let kept = fs::read_dir(server.site().path().join(".tinymcp/approved")).unwrap();
    let seen = [guest("greeter-v1"), guest("greeter-v2")];
    for file in kept.map(|file| file.unwrap().path()).filter(|file| file.extension().is_some_and(|end| end == "wasm")) {
        assert!(seen.contains(&fs::read(&file).unwrap()), "{}", file.display());
    }
    let expected: &[&str] = if approvals > 0 { &V2 } else { &V1 };
    assert_eq!(client.tool_names().await, expected);
}

#[tokio::test]
async fn an_approval_outlives_a_server_that_is_killed_at_once() {
    for _ in 0..3 {
        let server = approved().await;
        server.site().put("greeter.wasm", &guest("greeter-v2"));
        until_it_waits(&server, "greeter").await;
        let reference = reference(server.site(), "greeter");
        let approved = server.site().run(&["approve", &reference]);
        // As a power cut would.
        let site = server.kill();
        assert_eq!(approved.code, 0, "{approved:?}");
        // The file is another one meanwhile.
        site.put("greeter.wasm", b"no component");
        let server = site.start().await;
        assert_eq!(Client::modern(&server).tool_names().await, V2);
    }
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_approves_has_approved_or_not() {
    for wait_ms in [0, 2, 5, 10, 20, 40] {
        let server = approved().await;
        server.site().put("greeter.wasm", &guest("greeter-v2"));
        until_it_waits(&server, "greeter").await;
        let reference = reference(server.site(), "greeter");
        let mut approving = tinymcp_tests::command::tinymcp(server.site().path());
        let mut approving =
            approving.args(["approve", &reference]).stderr(std::process::Stdio::null()).spawn().unwrap();
        // The moment is what is tested.
        std::thread::sleep(std::time::Duration::from_millis(60 + wait_ms));
        let site = server.kill();
        let has_approved = approving.wait().unwrap().success();
        let server = site.start().await;
        let tools = Client::modern(&server).tool_names().await;
        match has_approved {
            true => assert_eq!(tools, V2),
            false => assert!(tools == V1 && waiting(server.site()) == ["greeter"] || tools == V2, "{tools:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_being_loaded_when_approval_is_turned_on_waits() {
    let server = Site::new().start().await;
    server.site().configure(ON);
    server.site().put("greeter.wasm", &guest("greeter-v1"));
    // Whichever came first, it is served or waits, and another file waits.
    let client = Client::modern(&server);
    tinymcp_tests::until("the plugin is known", async || {
        !waiting(server.site()).is_empty() || client.tool_names().await == V1
    })
    .await;
    server.log.wait_for("configuration reloaded").await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    until_it_waits(&server, "greeter").await;
    assert_ne!(client.tool_names().await, V2);
}
