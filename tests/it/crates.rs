//! From sources to tools: `new`, `build`, and both ways in which authors build.
//!
//! The crates are built in a directory that stays, so that their dependencies are compiled once.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::command::{CommandOutput, finish, suite_path};
use tinymcp_tests::guests::{copy_changed, kept_dir, tests_dir};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::World;
use tinymcp_tests::{BUILDING, until_within};

/// A directory for crates. Their names must be those of no other test: all are built in one target directory, which stays,
/// so that their dependencies are compiled once.
fn workshop() -> Site {
    let site = Site::new();
    symlink(target_dir(), site.plugin_path("target")).unwrap();
    site
}

fn target_dir() -> PathBuf {
    kept_dir("crates")
}

fn succeed(finished: CommandOutput) -> String {
    assert_eq!(finished.code, 0, "{finished:#?}");
    finished.stdout
}

/// Runs cargo in the directory of a crate.
fn cargo(site: &Site, name: &str, arguments: &[&str]) {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(site.plugin_path(name));
    succeed(finish(cargo.env("CARGO_TARGET_DIR", target_dir()).env("PATH", suite_path())));
}

/// Calls the tool of a crate made by `new`, and checks that its documentation is there.
fn is_whole(site: &Site, file: &Path, tool: &str) {
    let file = file.to_str().unwrap();
    let inspected = succeed(site.run(&["inspect", "--json", file]));
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["tools"][0]["name"], tool, "{inspected}");
    assert!(inspected["tools"][0]["description"].as_str().is_some_and(|text| !text.is_empty()), "{inspected}");
    assert_eq!(inspected["warnings"], json!([]), "{inspected}");
    let said = succeed(site.run(&["call", file, tool, r#"{"name": "Ada"}"#]));
    assert!(said.contains("Ada"), "{said}");
}

#[test]
fn a_new_crate_builds_and_its_tool_is_called() {
    let site = workshop();
    succeed(site.run(&["new", "my-tool"]));
    succeed(site.run(&["build"]));
    is_whole(&site, &site.plugin_path("my-tool.wasm"), "my_tool");
    assert!(succeed(site.run(&["list"])).starts_with("my_tool  "));
    assert!(succeed(site.run(&["test"])).contains("passed my-tool: greets by name"));
    // What has changed has to be built, also where that makes the same component.
    let source = site.plugin_path("my-tool/src/lib.rs");
    fs::write(&source, fs::read_to_string(&source).unwrap() + "// nothing\n").unwrap();
    let stale = site.run(&["test"]);
    let older = "my-tool.wasm` is older than `my-tool/src/lib.rs`; build it first: `tinymcp build my-tool`";
    assert!(stale.code == 1 && stale.stdout.contains(older), "{stale:?}");
    let again = site.run(&["build", "my-tool"]);
    assert!(again.code == 0 && again.stderr.contains("unchanged"), "{again:?}");
    succeed(site.run(&["test"]));
}

#[test]
fn a_new_crate_builds_with_plain_cargo() {
    let site = workshop();
    succeed(site.run(&["new", "plain-tool"]));
    cargo(&site, "plain-tool", &["build", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    is_whole(&site, &target_dir().join("wasm32-wasip2/release/plain_tool.wasm"), "plain_tool");
}

#[test]
fn a_new_crate_builds_with_cargo_component() {
    let site = workshop();
    succeed(site.run(&["new", "component-tool"]));
    cargo(&site, "component-tool", &["component", "build", "--quiet", "--release"]);
    is_whole(&site, &target_dir().join("wasm32-wasip1/release/component_tool.wasm"), "component_tool");
}

#[test]
fn a_new_crate_imports_from_the_host_with_either() {
    let site = workshop();
    succeed(site.run(&["new", "polite-tool"]));
    let dir = site.plugin_path("polite-tool");
    let change = |file: &str, old: &str, new: &str| {
        let text = fs::read_to_string(dir.join(file)).unwrap();
        assert!(text.contains(old), "{text}");
        fs::write(dir.join(file), text.replace(old, new)).unwrap();
    };
    change("wit/world.wit", "world polite-tool {", "world polite-tool {\n    import tinymcp:plugin/settings@0.1.0;\n");
    let greeting = r#"tinymcp::plugin::settings::get("greeting").unwrap_or_default() + ", " + &name"#;
    change("src/lib.rs", r#"format!("Hello, {name}!")"#, greeting);
    site.configure("[plugin.polite_tool]\nsettings = { greeting = \"Dear\" }\n");
    let is_polite = |file: &Path| {
        is_whole(&site, file, "polite_tool");
        let said = succeed(site.run(&["call", file.to_str().unwrap(), "polite_tool", r#"{"name": "Ada"}"#]));
        assert_eq!(said.trim(), "Dear, Ada");
    };
    cargo(&site, "polite-tool", &["build", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    is_polite(&target_dir().join("wasm32-wasip2/release/polite_tool.wasm"));
    cargo(&site, "polite-tool", &["component", "build", "--quiet", "--release"]);
    is_polite(&target_dir().join("wasm32-wasip1/release/polite_tool.wasm"));
}

/// A crate that begins with a need, built in either way.
fn needing(site: &Site, name: &str, need: &str) -> [PathBuf; 2] {
    let made = succeed(site.run(&["new", name, "--with", need]));
    assert!(made.contains(&format!("tinymcp grant {name}")), "{made}");
    let file = name.replace('-', "_");
    cargo(site, name, &["build", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    cargo(site, name, &["component", "build", "--quiet", "--release"]);
    ["wasip2", "wasip1"].map(|target| target_dir().join(format!("wasm32-{target}/release/{file}.wasm")))
}

#[tokio::test]
async fn a_new_crate_with_http_asks_what_was_granted() {
    let site = workshop();
    for file in needing(&site, "asking-tool", "http") {
        let inspected = succeed(site.run(&["inspect", file.to_str().unwrap()]));
        assert!(inspected.contains("https://api.example.com"), "{inspected}");
    }
    let peer = Peer::start(|request| {
        if request.starts_with("GET /status HTTP/1.1") { Script::text("fine") } else { Script::with(404, "", "") }
    })
    .await;
    for file in ["src/lib.rs", "wit/world.wit", "tests/first.toml"] {
        let path = site.plugin_path("asking-tool").join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("https://api.example.com", peer.url("").as_str())).unwrap();
    }
    let early = site.run(&["test", "asking-tool"]);
    assert!(early.code == 1 && early.stdout.contains("build it first: `tinymcp build asking-tool`"), "{early:?}");
    succeed(site.run(&["build", "asking-tool"]));
    let tested = succeed(site.run(&["test", "asking-tool"]));
    assert!(tested.contains("all 2 passed") && peer.connections() == 0, "{tested}");
    let site = site.config(&format!("[plugin.asking_tool]\nhttp = [\"{}\"]\n", peer.url("")));
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.value("asking_tool", json!({ "path": "status" })).await, "fine");
    assert!(client.failure("asking_tool", json!({ "path": "x" })).await.contains("answers 404"));
    server.site().configure("");
    until_within(BUILDING, "no grant", async || {
        client
            .try_call("asking_tool", json!({ "path": "status" }))
            .await
            .is_ok_and(|it| it.text.contains("ask the operator"))
    })
    .await;
}

#[tokio::test]
async fn a_new_crate_with_kv_counts() {
    let site = workshop();
    let [file, _] = needing(&site, "counting-tool", "kv");
    site.put("counting-tool.wasm", &fs::read(file).unwrap());
    let server = site.config("[plugin.counting_tool]\nkv = {}\n").start().await;
    let client = Client::modern(&server);
    for times in 1..3 {
        let said = client.value("counting_tool", json!({ "name": "Ada" })).await;
        assert_eq!(said, format!("Hello, Ada! That was number {times}."));
    }
}

#[test]
fn build_takes_crates_made_for_cargo_component() {
    let site = workshop();
    copy_changed(&tests_dir().join("guests/component-made"), &site.plugin_path("older-tool"));
    succeed(site.run(&["build"]));
    let order = r#"{"items": [{"name": "a", "count": 2, "price": 1.5}]}"#;
    assert_eq!(succeed(site.run(&["call", "older_tool_total", order])).trim(), "3.0");
}

#[test]
fn build_names_what_does_not_build_and_keeps_what_was_there() {
    let site = workshop();
    succeed(site.run(&["new", "fine"]));
    succeed(site.run(&["new", "half"]));
    succeed(site.run(&["build"]));
    let before = fs::read(site.plugin_path("half.wasm")).unwrap();
    fs::write(site.plugin_path("half/src/lib.rs"), "fn half(").unwrap();
    let finished = site.run(&["build"]);
    assert!(finished.code == 1 && finished.stderr.contains("plugin `half` not built"), "{finished:?}");
    assert!(finished.stderr.contains("fine.wasm"), "{finished:?}");
    assert_eq!(fs::read(site.plugin_path("half.wasm")).unwrap(), before);
    let finished = site.run(&["build", "nothing"]);
    assert!(finished.code == 2 && finished.stderr.contains("no sources of a plugin `nothing`"), "{finished:?}");
}

/// `tinymcp dev`, and a client after the built-in login.
async fn developed(site: Site) -> (World, Client) {
    let world = World::at(site.develop().await);
    world.server.ready().await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let client = world.modern(&tokens.access);
    (world, client)
}

#[tokio::test]
async fn dev_builds_serves_and_rebuilds() {
    let site = workshop();
    succeed(site.run(&["new", "grow"]));
    let (World { server, .. }, client) = developed(site).await;
    assert_eq!(client.value("grow", json!({ "name": "Ada" })).await, "Hello, Ada!");
    let source = server.site().plugin_path("grow/src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    let mark = server.log.mark();
    fs::write(&source, text.replace("Hello", "Goodbye")).unwrap();
    server.log.wait_within(BUILDING, mark, "plugin `grow`").await;
    until_within(BUILDING, "the new code", async || {
        client.value("grow", json!({ "name": "Ada" })).await == "Goodbye, Ada!"
    })
    .await;
}

#[tokio::test]
async fn dev_sees_what_changes_while_it_builds() {
    let site = workshop();
    succeed(site.run(&["new", "early"]));
    succeed(site.run(&["new", "later"]));
    // `early` is built first, and changes while `later` is.
    let script = r#"fn main() {
        let source = "../early/src/lib.rs";
        let text = std::fs::read_to_string(source).unwrap();
        std::fs::write(source, text.replace("Hello", "Goodbye")).unwrap();
    }"#;
    fs::write(site.plugin_path("later/build.rs"), script).unwrap();
    let (_world, client) = developed(site).await;
    until_within(BUILDING, "the new code", async || {
        client.value("early", json!({ "name": "Ada" })).await == "Goodbye, Ada!"
    })
    .await;
}

#[tokio::test]
async fn dev_rebuilds_a_crate_that_did_not_build() {
    let site = workshop();
    succeed(site.run(&["new", "mend"]));
    let source = site.plugin_path("mend/src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, "fn half(").unwrap();
    let (_world, client) = developed(site).await;
    fs::write(&source, text).unwrap();
    until_within(BUILDING, "the tool", async || client.tool_names().await == ["mend"]).await;
}

#[test]
fn a_directory_without_crates_is_no_failure() {
    let finished = Site::new().run(&["build"]);
    assert!(finished.code == 0 && finished.stderr.contains("tinymcp new"), "{finished:?}");
}
