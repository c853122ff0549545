//! Values that a plugin reads by their names: secrets, configuration and environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{from_text, guest};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, within};

const GRANTS: &str = r#"
[plugin.names]
secrets = { API_KEY = "${KEY}", TOKEN = { value = "t0ken", config = true } }
settings = { colour = "red" }
env = { TZ = "UTC", COPY = "${KEY}" }
[plugin.other]
secrets = { OTHER = "of-another" }
"#;

async fn names(config: &str) -> (Server, Client) {
    let server = Site::with(&["names"]).config(config).variable("KEY", "hunter2").start().await;
    let client = Client::modern(&server);
    (server, client)
}

async fn secret(client: &Client, name: &str) -> Value {
    client.value("names_secret", json!({ "name": name })).await
}

#[tokio::test]
async fn a_secret_has_a_name_and_everything_else_is_nothing() {
    let (server, client) = names(GRANTS).await;
    assert_eq!(secret(&client, "API_KEY").await, "hunter2");
    assert_eq!(secret(&client, "TOKEN").await, "t0ken");
    for unknown in ["OTHER", "KEY", "api_key", "API_KEY ", "colour", "COPY", "*", "", "API_KEY\0", "../API_KEY"] {
        assert_eq!(secret(&client, unknown).await, Value::Null, "{unknown:?}");
    }
    for draft in ["names_newer", "names_older"] {
        let config = async |name: &str| client.value(draft, json!({ "name": name })).await;
        assert_eq!((config("colour").await, config("TOKEN").await), (json!("red"), json!("t0ken")), "{draft}");
        for unknown in ["API_KEY", "OTHER", "KEY", ""] {
            assert_eq!(config(unknown).await, Value::Null, "{draft} {unknown:?}");
        }
    }
    let all = json!([["colour", "red"], ["TOKEN", "t0ken"]]);
    assert_eq!(client.value("names_all", json!({})).await, json!([all, all]));
    assert_eq!(client.value("names_env", json!({})).await, json!([["COPY", "hunter2"], ["TZ", "UTC"]]));
    for value in ["hunter2", "t0ken"] {
        assert_eq!(server.log.lines(value), Vec::<String>::new());
    }
}

#[tokio::test]
async fn nothing_is_there_without_a_grant() {
    let (_server, client) = names("[plugin.other]\nsecrets = { API_KEY = 'x' }\nenv = { TZ = 'UTC' }\n").await;
    assert_eq!(secret(&client, "API_KEY").await, Value::Null);
    assert_eq!(client.value("names_all", json!({})).await, json!([[], []]));
    assert_eq!(client.value("names_env", json!({})).await, json!([]));
}

/// The description of the tool that the guest lists: what was in reach when it made the list.
async fn listed(client: &Client) -> String {
    let tools = client.tools().await;
    let seen = tools.iter().find(|tool| tool["name"] == "names_seen").unwrap();
    seen["description"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn lists_are_made_without_values_and_in_instances_of_their_own() {
    let (server, client) = names(GRANTS).await;
    assert_eq!(listed(&client).await, r#"secret None, config [("colour", "red")], env []"#);
    let called = client.call("names_seen", json!({})).await.text;
    let expected = r#"secret Some("hunter2"), config [("colour", "red"), ("TOKEN", "t0ken")], env [("COPY", "hunter2"), ("TZ", "UTC")]"#;
    assert_eq!(called, expected);
    // The plugin is kept warm: neither is a list made in the instance of a call, nor a call in that of a list.
    let count = async || client.value("names_count", json!({})).await.as_u64().unwrap();
    assert_eq!((count().await, count().await), (1, 2));
    for _ in 0..4 {
        client.call("names_relist", json!({})).await;
        // A relist waits for a quarter of a second at most.
        tokio::time::sleep(Duration::from_millis(300)).await;
        // An instance that has made a list counts from 1000.
        assert!(count().await < 1000);
    }
    server.site().configure(&GRANTS.replace("red", "blue"));
    until("other lists", async || listed(&client).await.contains("blue")).await;
    assert_eq!(listed(&client).await, r#"secret None, config [("colour", "blue")], env []"#);
}

#[tokio::test]
async fn a_call_has_what_it_began_with_until_it_is_withdrawn() {
    let (server, client) = names(GRANTS).await;
    let later = async |name: &'static str| {
        let (mark, caller) = (server.log.mark(), client.clone());
        let call = tokio::spawn(async move { caller.value("names_later", json!({ "name": name, "ms": 3000 })).await });
        server.log.wait_since(mark, "waiting").await;
        // In a tuple, as something that is not to be waited for yet.
        (call,)
    };
    let configure = async |config: &str| {
        let mark = server.log.mark();
        server.site().configure(config);
        server.log.wait_since(mark, "configuration reloaded").await;
    };
    let (changed,) = later("TOKEN").await;
    configure(&GRANTS.replace("t0ken", "n3w")).await;
    assert_eq!(within("the call", changed).await.unwrap(), json!(["t0ken", "t0ken"]));
    until("the new value", async || secret(&client, "TOKEN").await == "n3w").await;
    let (withdrawn,) = later("TOKEN").await;
    configure("").await;
    assert_eq!(within("the call", withdrawn).await.unwrap(), json!(["n3w", null]));
    let (granted,) = later("TOKEN").await;
    configure(GRANTS).await;
    assert_eq!(within("the call", granted).await.unwrap(), json!([null, null]), "what is new is for new calls");
    assert_eq!(client.value("names_env", json!({})).await[0], json!(["COPY", "hunter2"]));
}

/// Writes a file as tools that hand over secrets do: beside it, and renamed.
fn write(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    fs::write(&draft, text).and_then(|()| fs::rename(&draft, file)).unwrap();
}

#[tokio::test]
async fn a_changed_file_of_a_value_applies_within_seconds() {
    let site = Site::with(&["names"])
        .config("[plugin.names]\nsecrets = { KEY = '${OTHER_KEY}' }\nenv = { COPY = '${OTHER_KEY}' }\n");
    let file: PathBuf = site.path().join("key");
    write(&file, "one\n");
    let server = site.variable("OTHER_KEY_FILE", file.to_str().unwrap()).start().await;
    let client = Client::modern(&server);
    assert_eq!(secret(&client, "KEY").await, "one");
    let changed = Instant::now();
    write(&file, "two\n");
    until("the new value", async || secret(&client, "KEY").await == "two").await;
    assert!(changed.elapsed() < Duration::from_secs(5), "{:?}", changed.elapsed());
    until("the new variable", async || client.value("names_env", json!({})).await == json!([["COPY", "two"]])).await;

    // A file that gives nothing for a moment takes nothing away, and is looked at again.
    for gone in [true, false] {
        let mark = server.log.mark();
        if gone {
            fs::remove_file(&file).unwrap()
        } else {
            write(&file, "")
        }
        server.log.wait_since(mark, "OTHER_KEY_FILE: the file that it names cannot be used").await;
        assert_eq!(secret(&client, "KEY").await, "two");
    }
    // Nor does it keep anything else from being withdrawn.
    fs::remove_file(&file).unwrap();
    server.site().configure("[plugin.names]\nsecrets = { KEY = '${OTHER_KEY}' }\n");
    until("no variable", async || client.value("names_env", json!({})).await == json!([])).await;
    assert_eq!(secret(&client, "KEY").await, "two");
    write(&file, "three");
    until("the newest value", async || secret(&client, "KEY").await == "three").await;

    // So is one that the configuration names later, before it is there.
    let later = server.site().path().join("later");
    fs::write(server.site().path().join(".env"), format!("LATER_FILE={}\n", later.display())).unwrap();
    let mark = server.log.mark();
    server.site().configure("[plugin.names]\nsecrets = { KEY = '${LATER}' }\n");
    server.log.wait_since(mark, "LATER_FILE").await;
    write(&later, "four");
    until("the value of another file", async || secret(&client, "KEY").await == "four").await;
    for value in ["one", "two", "three", "four"] {
        assert_eq!(server.log.lines(&format!("\"{value}\"")), Vec::<String>::new());
    }
}

#[test]
fn no_command_shows_a_value() {
    let site = Site::with(&["names"]).config(GRANTS);
    fs::write(site.path().join(".env"), "KEY=hunter2\n").unwrap();
    for arguments in
        [&["check"][..], &["list"], &["list", "--json"], &["inspect", "plugins/names.wasm"], &["grant", "names"]]
    {
        let finished = site.run(arguments);
        assert_eq!(finished.code, 0, "{finished:?}");
        for value in ["hunter2", "t0ken", "of-another"] {
            assert!(
                !finished.stdout.contains(value) && !finished.stderr.contains(value),
                "{arguments:?}: {finished:?}"
            );
        }
    }
}

#[test]
fn drafts_that_nobody_emits_are_refused() {
    for draft in ["0.2.0", "0.2.0-draft"] {
        let import =
            format!("(import \"wasi:config/store@{draft}\" (instance (export \"get\" (func (param \"key\" string)))))");
        let component = from_text(&format!(
            "(component {import} (core module $m (func (export \"f\")))
                (core instance $i (instantiate $m)) (func $f (canon lift (core func $i \"f\")))
                (export \"it\" (func $f)))"
        ));
        let site = Site::new().plugin("odd", &component);
        let finished = site.run(&["inspect", "plugins/odd.wasm"]);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.stderr.contains(&format!("wasi:config/store@{draft}")), "{finished:?}");
    }
}

#[tokio::test]
async fn two_files_of_one_plugin_are_an_error() {
    let site = Site::new().plugin("a-b", &guest("names")).plugin("a_b", &guest("names"));
    let server = site.config("[plugin.a_b]\nsecrets = { KEY = 'x' }\n").start().await;
    server.log.wait_for("plugin name `a_b` belongs to `a-b.wasm`: rename one of the files").await;
    let twice = Site::new().config("[plugin.a-b]\nsecrets = { KEY = 'x' }\n[plugin.a_b]\nsecrets = { KEY = 'y' }\n");
    let finished = twice.run(&["check"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.stderr.contains("the same as `plugin.a-b`"), "{finished:?}");
}
