//! `tinymcp.toml`: refusals at the start, and changes that apply live.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::project_dir;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

/// Starts a server that must refuse, and returns its words.
fn refused(site: &Site) -> String {
    let finished = site.refusal();
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.stderr.starts_with("error: "), "{finished:?}");
    finished.stderr
}

#[test]
fn every_bad_key_is_named_with_its_line_and_the_nearest_key() {
    let site = Site::new().config("[server]\nlisen = \"127.0.0.1:1\"\n[limits]\ntimout = \"1s\"\nmemory = \"lots\"\n");
    let said = refused(&site);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].contains("tinymcp.toml:4: server.lisen: unknown key; did you mean `listen`?"), "{said}");
    assert!(lines[1].contains("tinymcp.toml:6: limits.timout: unknown key; did you mean `timeout`?"), "{said}");
    assert!(lines[2].contains("tinymcp.toml:7: limits.memory: "), "{said}");
}

#[test]
fn a_port_in_use_is_one_clear_message() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = Site::new().run(&["serve", "--listen", &address]);
    assert_eq!((finished.code, finished.stderr.matches("error:").count()), (2, 1), "{finished:?}");
    assert!(finished.stderr.contains(&format!("{address}: the port is in use")), "{finished:?}");
}

#[test]
fn a_missing_plugins_directory_is_one_clear_message() {
    let site = Site::new().config("[plugins]\ndir = \"nowhere\"\n");
    let said = refused(&site);
    assert!(said.contains("nowhere` does not exist: create it"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_missing_configuration_file_is_named() {
    let finished = Site::new().run(&["serve", "--config", "other.toml"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.stderr.contains("other.toml"), "{finished:?}");
}

#[tokio::test]
async fn a_missing_state_directory_is_made_private() {
    let server = Site::new().config("[state]\ndir = \"deep/state\"\n").start().await;
    let mode = |path: &str| fs::metadata(server.site().path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("deep/state"), mode("deep/state/key")), (0o700, 0o600));
}

#[test]
fn a_server_without_login_stays_on_loopback() {
    let site = Site::new();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let finished = site.run(&["serve", "--listen", listen]);
        assert_eq!(finished.code, 2, "{finished:?}");
        assert!(finished.stderr.contains("lets everyone in") && finished.stderr.contains("--listen"), "{finished:?}");
    }
    let site = Site::new().config("[server]\nbase_url = \"https://mcp.example\"\n");
    assert!(refused(&site).contains("server.base_url"), "{}", refused(&site));
}

#[test]
fn check_prints_what_is_in_force_without_secrets() {
    let site = Site::new().config(
        "[limits]\ntimeout = \"5s\"\n[plugin.weather]\nsecrets = { API_KEY = \"hunter2\", OTHER = \"${OTHER_KEY:-s3cret}\" }\n",
    );
    let finished = site.run(&["check"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.stdout.contains("timeout") && finished.stdout.contains("5s"), "{}", finished.stdout);
    assert!(finished.stdout.contains("API_KEY"), "{}", finished.stdout);
    for secret in ["hunter2", "s3cret"] {
        assert!(!finished.stdout.contains(secret) && !finished.stderr.contains(secret), "{finished:?}");
    }
}

#[test]
fn check_says_every_problem() {
    let site = Site::new().config("[limits]\ntimout = \"1s\"\n[pool]\nslots = 0\n");
    let finished = site.run(&["check"]);
    assert_eq!((finished.code, finished.stderr.lines().count()), (2, 2), "{finished:?}");
}

#[test]
fn a_variable_overrides_its_key() {
    let site = Site::new().config("[limits]\ntimeout = \"5s\"\n");
    fs::write(site.path().join(".env"), "TINYMCP_LIMITS_TIMEOUT=7s\n").unwrap();
    assert!(site.run(&["check"]).stdout.contains("7s"));
    fs::write(site.path().join(".env"), "TINYMCP_LIMITS_TIMEOUT=soon\n").unwrap();
    let finished = site.run(&["check"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.stderr.contains(".env:1: TINYMCP_LIMITS_TIMEOUT"), "{finished:?}");
}

#[test]
fn the_schema_takes_the_shipped_file_and_refuses_a_misspelt_key() {
    let site = Site::new();
    let schema: Value = serde_json::from_str(&site.run(&["schema"]).stdout).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let shipped = fs::read_to_string(project_dir().join("tinymcp.toml")).unwrap();
    let shipped: Value = serde_json::to_value(shipped.parse::<toml::Table>().unwrap()).unwrap();
    let errors: Vec<String> = schema.iter_errors(&shipped).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!schema.is_valid(&json!({ "server": { "lisen": "127.0.0.1:1" } })));
    assert!(!schema.is_valid(&json!({ "limits": { "timeout": 5 } })));
}

/// A server with one plugin, the log of which tells when a new configuration is in force.
async fn greeter() -> (Server, Client) {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    (server, client)
}

async fn configure(server: &Server, text: &str) {
    let mark = server.log.mark();
    server.site().configure(text);
    server.log.wait_since(mark, "configuration reloaded").await;
}

#[tokio::test]
async fn a_changed_limit_applies_to_the_next_call() {
    let (server, client) = greeter().await;
    assert_eq!(client.value("greeter_v1_wait", json!({ "ms": 300 })).await, "v1");
    configure(&server, "[plugin.greeter_v1]\ntimeout = \"100ms\"\n").await;
    let wait = async || client.call("greeter_v1_wait", json!({ "ms": 300 })).await.text;
    until("the new limit", async || wait().await == "the tool did not finish within 100ms").await;
    configure(&server, "").await;
    until("the old limit", async || wait().await == "v1").await;
}

#[tokio::test]
async fn a_disabled_plugin_is_gone_and_comes_back() {
    let (server, client) = greeter().await;
    let mut changes = Client::legacy(&server).await.listen().await;
    configure(&server, "[plugin.greeter_v1]\nenabled = false\n").await;
    changes.expect("a change").await;
    client.wait_for_tools(&[]).await;
    configure(&server, "").await;
    changes.expect("a change").await;
    assert_eq!(client.tool_names().await, ["greeter_v1_greet", "greeter_v1_wait"]);
}

#[tokio::test]
async fn a_changed_prefix_renames_the_tools() {
    let (server, client) = greeter().await;
    configure(&server, "[plugin.greeter_v1]\nprefix = \"g\"\n").await;
    client.wait_for_tools(&["g_greet", "g_wait"]).await;
    configure(&server, "[plugin.greeter_v1]\nprefix = \"\"\n").await;
    client.wait_for_tools(&["greet", "wait"]).await;
}

#[tokio::test]
async fn a_bad_edit_keeps_the_old_configuration() {
    let (server, client) = greeter().await;
    configure(&server, "[plugin.greeter_v1]\nprefix = \"g\"\n").await;
    let mark = server.log.mark();
    server.site().configure("[plugin.greeter_v1]\nprefx = \"h\"\n");
    let line = server.log.wait_since(mark, "configuration not reloaded").await;
    assert!(line.contains("did you mean `prefix`"), "{line}");
    assert_eq!(client.tool_names().await, ["g_greet", "g_wait"]);
    configure(&server, "[plugin.greeter_v1]\nprefix = \"h\"\n").await;
    client.wait_for_tools(&["h_greet", "h_wait"]).await;
}

#[tokio::test]
async fn a_file_that_is_gone_takes_nothing_out_of_force() {
    let (server, client) = greeter().await;
    configure(&server, "[plugin.greeter_v1]\nprefix = \"g\"\n").await;
    fs::remove_file(server.site().path().join("tinymcp.toml")).unwrap();
    server.log.wait_for("`tinymcp.toml` is gone; the last configuration stays in force").await;
    assert_eq!(client.tool_names().await, ["g_greet", "g_wait"]);
    configure(&server, "[plugin.greeter_v1]\nprefix = \"h\"\n").await;
    client.wait_for_tools(&["h_greet", "h_wait"]).await;
}

#[tokio::test]
async fn a_fifo_in_the_files_place_blocks_nobody() {
    let (mut server, client) = greeter().await;
    let file = server.site().path().join("tinymcp.toml");
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    server.log.wait_for("`tinymcp.toml` is no regular file").await;
    assert_eq!(client.tool_names().await, ["greeter_v1_greet", "greeter_v1_wait"]);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_change_that_needs_a_restart_says_so() {
    let (server, client) = greeter().await;
    server.site().configure("[server]\nbody = \"1MiB\"\n[plugin.greeter_v1]\nprefix = \"g\"\n");
    let line = server.log.wait_for("need a restart").await;
    assert!(line.contains("server.body"), "{line}");
    client.wait_for_tools(&["g_greet", "g_wait"]).await;
}

#[tokio::test]
async fn a_plugin_is_called_in_snake_case_wherever_it_is_named() {
    let site = Site::with(&["greeter-v1"]).config("[plugin.greeter-v1]\nprefix = \"g\"\n");
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, ["g_greet", "g_wait"]);
}

#[tokio::test]
async fn the_log_level_applies_live() {
    let (server, client) = greeter().await;
    client.failure("greeter_v1_greet", json!({})).await;
    assert_eq!(server.log.lines("DEBUG"), Vec::<String>::new());
    configure(&server, "[log]\nlevel = \"debug\"\n").await;
    client.failure("greeter_v1_greet", json!({})).await;
    server.log.wait_for("arguments do not fit tool `greeter_v1_greet`").await;
}

#[tokio::test]
async fn a_json_log_is_json_on_every_line() {
    let site = Site::with(&["talk"]).config("[log]\nformat = \"json\"\n").plugin("broken", b"broken");
    let server = site.start().await;
    let text = "a \"quoted\" line\nand another \u{1b}[31m";
    Client::modern(&server).call("talk_complain", json!({ "text": text })).await;
    server.log.wait_for("and another").await;
    for line in server.log.text().lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(record["level"].is_string() && record["fields"]["message"].is_string(), "{line}");
    }
    assert!(server.log.lines("and another")[0].contains("\"plugin\":\"talk\""), "{}", server.log.text());
}

/// A slip in a plugin's name leaves the plugin that was meant open.
#[tokio::test]
async fn a_table_of_a_plugin_that_is_not_there_is_named() {
    let text = "[plugin.ecko]\nscopes = [\"use\"]\n";
    let warning = "`[plugin.ecko]`: there is no such plugin, so this does nothing; did you mean `echo`?";
    let server = Site::with(&["echo"]).config(text).start().await;
    server.log.wait_for("[plugin.ecko]").await;
    let page = server.request("GET", "/").header("accept", "text/html").send().await.text();
    assert!(page.contains("[plugin.ecko]"), "{page}");
    let site = server.site();
    for command in [&["check"][..], &["list"]] {
        let finished = site.run(command);
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.stderr.contains(warning), "{command:?}: {finished:?}");
    }
    let finished = site.run(&["check", "--strict"]);
    assert!(finished.code != 0 && finished.stderr.contains(warning), "{finished:?}");
    site.configure("[plugin.echo]\nscopes = []\n");
    assert_eq!(site.run(&["check", "--strict"]).code, 0);
}
