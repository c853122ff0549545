//! The help that `dev` gives those who work on a plugin: traps with names, calls without a login, words about what is gone.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::kept_dir;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until_within;

use super::change;

/// cargo may wait for another test's build.
const BUILD: Duration = Duration::from_secs(300);

fn crates(names: &[&str]) -> Site {
    let site = Site::new();
    symlink(kept_dir("crates"), site.plugin_path("target")).unwrap();
    for name in names {
        assert_eq!(site.run(&["new", name]).code, 0);
    }
    site
}

async fn ready(server: &Server) {
    server.ready_within(BUILD).await;
}

#[tokio::test]
async fn a_trap_under_dev_has_names_one_frame_a_line() {
    let site = crates(&["trapping"]);
    // Its cases would trap too.
    fs::remove_dir_all(site.plugin_path("trapping/tests")).unwrap();
    let source = site.plugin_path("trapping/src/lib.rs");
    change(&source, "format!(\"Hello, {name}!\")", "open_drawer(name.len())");
    let text = fs::read_to_string(&source).unwrap();
    let drawer =
        "\n#[inline(never)]\nfn open_drawer(number: usize) -> String {\n    [\"socks\"][number].to_owned()\n}\n";
    fs::write(&source, text + drawer).unwrap();
    let server = site.develop_without_login().await;
    ready(&server).await;
    let client = Client::modern(&server);
    assert_eq!(client.failure("trapping", json!({ "name": "Ada" })).await, "the tool crashed");
    server.log.wait_for("open_drawer").await;
    let frames = server.log.lines("trapping::open_drawer");
    assert!(frames.len() == 1 && !frames[0].contains(" < "), "{frames:?}");
    let text = server.log.text();
    assert!(!text.contains("WASMTIME_BACKTRACE_DETAILS"), "no advice that cannot be followed: {text}");
    assert!(text.contains("unreachable"), "the cause is told: {text}");
}

#[tokio::test]
async fn dev_serves_scripts_without_a_login_when_told_to() {
    let site = crates(&[]).plugin("greeter-v1", &tinymcp_tests::guests::guest("greeter-v1"));
    let server = site.develop_without_login().await;
    ready(&server).await;
    let said = Client::modern(&server).value("greeter_v1_greet", json!({ "name": "Ada" })).await;
    assert_eq!(said, "v1 greets Ada");
    let site = server.kill();
    // A site of the suite has the provider `none`, of which `dev` alone takes no notice.
    let server = site.develop().await;
    server.log.wait_for("`tinymcp dev --no-login` serves without any login").await;
    assert_eq!(server.request("POST", "/mcp").send().await.status, 401);
    let refused = server.kill().run(&["dev", "--no-login", "--listen", "0.0.0.0:0"]);
    assert!(refused.code == 2 && refused.stderr.contains("loopback"), "{refused:#?}");
}

#[tokio::test]
async fn a_folder_that_is_removed_under_dev_says_what_becomes_of_its_component() {
    let site = crates(&["leaving", "staying"]);
    let server = site.develop_without_login().await;
    ready(&server).await;
    let client = Client::modern(&server);
    client.wait_for_tools(&["leaving", "staying"]).await;
    let mark = server.log.mark();
    fs::remove_dir_all(server.site().plugin_path("leaving")).unwrap();
    let line = server.log.wait_since(mark, "its sources are gone").await;
    assert!(line.contains("leaving") && line.contains("leaving.wasm` stays and is served as it is"), "{line}");
    assert_eq!(client.value("leaving", json!({ "name": "Ada" })).await, "Hello, Ada!");

    // Others are watched as before.
    change(&server.site().plugin_path("staying/src/lib.rs"), "Hello", "Goodbye");
    let is_new = async || client.value("staying", json!({ "name": "Ada" })).await == "Goodbye, Ada!";
    until_within(BUILD, "the new code", is_new).await;
    let since = server.log.lines_since(mark, "");
    let bad: Vec<_> = since.iter().filter(|line| line.contains("error:") || line.contains("WARN")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
