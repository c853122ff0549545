//! The plugins in Python and JavaScript that the project ships, and how `build` and `dev` deal with their toolchains.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tinymcp_tests::client::Client;
use tinymcp_tests::command::{CommandOutput, finish, tinymcp};
use tinymcp_tests::guests::{copy_changed, kept_dir, project_dir, shipped, tests_dir};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::World;
use tinymcp_tests::{BUILDING, until_within};

async fn serve(name: &str) -> (Server, Client) {
    let state = kept_dir(&format!("state-{name}"));
    let site = Site::new().config(&format!("[state]\ndir = \"{}\"\n", state.display()));
    let server = site.plugin(name, &shipped(name)).launch().await;
    server.ready_within(BUILDING).await;
    let client = Client::modern(&server);
    (server, client)
}

/// A site with the sources of these plugins.
fn with_sources(names: &[&str]) -> Site {
    let site = Site::new();
    for name in names {
        copy_changed(&project_dir().join("plugins").join(name), &site.plugin_path(name));
    }
    site
}

/// A search path on which only these programs of the suite are.
fn path_with(programs: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for program in programs {
        symlink(node_program(program), dir.path().join(program)).unwrap();
    }
    dir
}

fn node_program(name: &str) -> PathBuf {
    tests_dir().join(".tools/node/node_modules/.bin").join(name)
}

/// Runs a command where the search path is this directory and nothing else.
fn run_with(path: &TempDir, site: &Site, arguments: &[&str]) -> CommandOutput {
    finish(tinymcp(site.path()).args(arguments).env("PATH", path.path()))
}

fn line<'a>(finished: &'a CommandOutput, start: &str) -> &'a str {
    finished.stderr.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{finished:#?}"))
}

/// Checks `inspect` of a plugin of this server: it is kept warm, and its description is these words alone.
fn is_kept_warm(server: &Server, name: &str, description: &str) {
    let file = server.site().plugin_path(&format!("{name}.wasm"));
    let inspected = server.site().run(&["inspect", "--json", path_text(&file)]);
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap_or_else(|_| panic!("{inspected:#?}"));
    assert_eq!((&inspected["keepWarm"], &inspected["description"]), (&json!(true), &json!(description)));
}

async fn tool(client: &Client, name: &str) -> Value {
    let tools = client.tools().await;
    tools.into_iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no tool `{name}`"))
}

#[tokio::test]
async fn a_shipped_python_plugin_is_served() {
    let (server, client) = serve("statistics").await;
    is_kept_warm(&server, "statistics", "Exact statistics of numbers.");
    assert_eq!(client.tool_names().await, ["statistics_describe", "statistics_fit_line"]);
    let tool = tool(&client, "statistics_describe").await;
    assert!(tool["description"].as_str().unwrap().starts_with("Describe a list of numbers"), "{tool}");
    assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    let numbers = &tool["inputSchema"]["properties"]["numbers"];
    assert_eq!(numbers["description"], "the numbers, in any order; at least one");
    assert_eq!(numbers["items"], json!({ "type": "number" }));
    assert_eq!(tool["outputSchema"]["properties"]["count"]["description"], "How many numbers there are");

    let called = client.call("statistics_describe", json!({ "numbers": [2, 4, 4, 4, 5, 5, 7, 9] })).await;
    let expected = json!({
        "count": 8, "minimum": 2.0, "lower-quartile": 4.0, "median": 4.5, "upper-quartile": 5.5, "maximum": 9.0,
        "mean": 5.0, "standard-deviation": 2.138_089_935_299_395,
    });
    assert_eq!(called.structured, expected, "{called:?}");
    let called = client.call("statistics_describe", json!({ "numbers": [7] })).await;
    assert_eq!(called.structured.get("standard-deviation"), None, "{called:?}");
    let said = client.failure("statistics_describe", json!({ "numbers": [] })).await;
    assert_eq!(said, "nothing to describe: give at least one number");
    let said = client.failure("statistics_describe", json!({ "numbers": [1, -1e200] })).await;
    assert_eq!(said, "-1e+200 is too large to calculate with: give all numbers in a larger unit");

    let points = json!({ "points": [{ "x": 1, "y": 3 }, { "x": 2, "y": 5 }, { "x": 3, "y": 7 }] });
    let called = client.call("statistics_fit_line", points).await;
    assert_eq!(called.structured, json!({ "slope": 2.0, "intercept": 1.0, "correlation": 1.0 }), "{called:?}");
    let level = json!({ "points": [{ "x": 1, "y": 3 }, { "x": 2, "y": 3 }] });
    let called = client.call("statistics_fit_line", level).await;
    assert_eq!(called.structured, json!({ "slope": 0.0, "intercept": 3.0 }), "{called:?}");
    for points in [json!([]), json!([{ "x": 1, "y": 3 }]), json!([{ "x": 1, "y": 3 }, { "x": 1, "y": 4 }])] {
        let said = client.failure("statistics_fit_line", json!({ "points": points })).await;
        assert_eq!(said, "no line is determined: give at least two points that differ in x");
    }
}

#[tokio::test]
async fn a_shipped_javascript_plugin_is_served() {
    let (server, client) = serve("text").await;
    is_kept_warm(&server, "text", "Exact work on texts.");
    assert_eq!(client.tool_names().await, ["text_measure", "text_slugify"]);
    let tool = tool(&client, "text_slugify").await;
    assert!(tool["description"].as_str().unwrap().starts_with("Make a slug of a title"), "{tool}");
    assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    assert_eq!(tool["inputSchema"]["required"], json!(["title"]));
    assert_eq!(tool.get("outputSchema"), None, "a text needs none");

    for (text, characters, words, lines) in
        [("", 0, 0, 0), ("a", 1, 1, 1), ("a 👍 b\nc\r\n\n d\n", 13, 5, 4), ("\n\n", 2, 0, 2)]
    {
        let called = client.call("text_measure", json!({ "text": text })).await;
        let expected = json!({ "characters": characters, "words": words, "lines": lines });
        assert_eq!(called.structured, expected, "{text:?}: {called:?}");
    }
    for (title, slug) in [
        ("Crème brûlée!", "creme-brulee"),
        ("  Don’t -- panic: 42 ways ", "dont-panic-42-ways"),
        ("हिन्दी 한국어", "हिन्दी-한국어"),
    ] {
        assert_eq!(client.value("text_slugify", json!({ "title": title })).await, slug);
    }
    let cut = json!({ "title": "Crème brûlée, twice", "max-length": 14 });
    assert_eq!(client.value("text_slugify", cut).await, "creme-brulee");
    let said = client.failure("text_slugify", json!({ "title": "Crème", "max-length": 4 })).await;
    assert_eq!(said, "not even the first word fits: give a `max-length` of at least 5");
    let said = client.failure("text_slugify", json!({ "title": "?!" })).await;
    assert_eq!(said, "the title has no letters or digits: give one that has some, such as `Hello, world!`");
}

#[test]
fn build_builds_python_and_javascript_and_only_what_changed() {
    let site = with_sources(&["statistics", "text"]);
    let first = site.run(&["build"]);
    assert_eq!((first.code, first.stderr.matches("built ").count()), (0, 2), "{first:#?}");
    let before = fs::read(site.plugin_path("text.wasm")).unwrap();
    let source = site.plugin_path("text/plugin.js");
    let text = fs::read_to_string(&source).unwrap();

    fs::write(&source, "export function measure(").unwrap();
    let broken = site.run(&["build"]);
    assert!(broken.code == 1 && broken.stderr.contains("plugin `text` not built"), "{broken:#?}");
    assert!(line(&broken, "unchanged").contains("statistics.wasm"), "{broken:#?}");
    assert_eq!(fs::read(site.plugin_path("text.wasm")).unwrap(), before);

    fs::write(&source, text.replace("Hello, world!", "Hello, moon!")).unwrap();
    let changed = site.run(&["build", "text"]);
    assert!(changed.code == 0 && line(&changed, "built").contains("text.wasm"), "{changed:#?}");
    let made = site.plugin_path("target/components/text");
    assert_eq!(fs::read_dir(made).unwrap().count(), 1, "older components and drafts are removed");
}

#[test]
fn a_missing_toolchain_is_skipped_unless_its_plugin_is_named() {
    let site = with_sources(&["statistics", "text", "add"]);
    let nothing = path_with(&[]);
    let skipped = run_with(&nothing, &site, &["build"]);
    assert_eq!((skipped.code, skipped.stderr.lines().count()), (0, 3), "{skipped:#?}");
    for (plugin, cure) in [
        ("statistics", "componentize-py is not installed: run `pip install componentize-py`, or install it into `"),
        ("text", "jco is not installed: run `npm install --global @bytecodealliance/jco`, or install it in `"),
        ("add", "cargo is not installed: get Rust from https://rustup.rs"),
    ] {
        let said = line(&skipped, &format!("skipped {plugin} "));
        assert!(said.contains(cure), "{said}");
        let named = run_with(&nothing, &site, &["build", plugin]);
        assert_eq!(named.code, 1, "{named:#?}");
        assert!(line(&named, "error:").contains(&format!("plugin `{plugin}` not built: {cure}")), "{named:#?}");
    }
}

#[test]
fn a_toolchain_in_the_plugin_s_own_folder_is_taken() {
    let site = with_sources(&["text"]);
    let bin = site.plugin_path("text/node_modules/.bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(node_program("jco"), bin.join("jco")).unwrap();
    let built = run_with(&path_with(&["node"]), &site, &["build", "text"]);
    assert!(built.code == 0 && site.plugin_path("text.wasm").is_file(), "{built:#?}");
    // A toolchain that is there and does not work is no missing one.
    let broken = run_with(&path_with(&[]), &site, &["build"]);
    assert!(broken.code == 1 && line(&broken, "error:").contains("--version` failed"), "{broken:#?}");
}

#[tokio::test]
async fn dev_rebuilds_javascript_and_goes_on_without_python() {
    let site = with_sources(&["statistics", "text"]);
    let tools = path_with(&["jco", "node"]);
    let site = site.variable("PATH", path_text(tools.path()));
    let world = World::at(site.develop().await);
    world.server.ready_within(BUILDING).await;
    world.server.log.wait_for("skipped statistics").await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let client = world.modern(&tokens.access);
    assert_eq!(client.tool_names().await, ["text_measure", "text_slugify"]);
    let source = world.server.site().plugin_path("text/plugin.js");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("${slug}-${word}", "${slug}_${word}")).unwrap();
    let is_new = async || client.value("text_slugify", json!({ "title": "a b" })).await == "a_b";
    until_within(BUILDING, "the new code", is_new).await;
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
