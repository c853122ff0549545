//! `approve = "interface"`: new code passes alone if nothing that anybody goes by has changed.

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked, needing};
use tinymcp_tests::server::Site;

use super::{V1, approve, shown, until_it_waits, waiting};

const INTERFACE: &str = "[plugins]\napprove = \"interface\"\n";

#[tokio::test]
async fn new_code_passes_and_a_changed_text_or_need_does_not() {
    let server = Site::new().config(INTERFACE).plugin("greeter", &guest("greeter-v1")).start().await;
    let client = Client::modern(&server);
    assert_eq!(waiting(server.site()), ["greeter"], "the first time somebody has to look");
    approve(server.site(), "greeter");
    server.site().put("greeter.wasm", &marked(&guest("greeter-v1"), 1));
    server.log.wait_for("plugin `greeter` counts as approved: nothing but its code has changed").await;
    assert_eq!(client.tool_names().await, V1);
    assert_eq!(waiting(server.site()), Vec::<String>::new());

    server.site().put("greeter.wasm", &needing(&guest("greeter-v1"), "kv"));
    until_it_waits(&server, "greeter").await;
    assert!(shown(server.site(), "greeter").contains("+ need `kv`"));

    server.site().put("greeter.wasm", &guest("greeter-v2"));
    tinymcp_tests::until("the other version waits", async || shown(server.site(), "greeter").contains("tool `part`"))
        .await;
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");

    // One letter of a description, which models read.
    let text = guest("greeter-v1");
    let at = text.windows(17).rposition(|window| window == b"somebody, version").unwrap();
    let mut changed = text.clone();
    changed[at..at + 8].copy_from_slice(b"nobody  ");
    server.site().put("greeter.wasm", &changed);
    tinymcp_tests::until("the other text waits", async || {
        shown(server.site(), "greeter").contains("+ description: Greet nobody")
    })
    .await;
    assert_eq!(waiting(server.site()), ["greeter"]);
}

#[tokio::test]
async fn what_passed_serves_after_a_restart_though_the_file_is_another() {
    let server = Site::new().config(INTERFACE).plugin("greeter", &guest("greeter-v1")).start().await;
    approve(server.site(), "greeter");
    let passed = marked(&guest("greeter-v1"), 1);
    server.site().put("greeter.wasm", &passed);
    server.log.wait_for("nothing but its code has changed").await;
    tinymcp_tests::until("its bytes are kept", async || kept(server.site()) == 2).await;
    let site = server.kill();
    site.put("greeter.wasm", &guest("greeter-v2"));
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    assert_eq!(waiting(server.site()), ["greeter"]);
}

/// The files of approved bytes.
fn kept(site: &Site) -> usize {
    let files = std::fs::read_dir(site.path().join(".tinymcp/approved")).unwrap();
    files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".wasm")).count()
}
