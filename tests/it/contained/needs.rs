//! What a component declares to need: it can only narrow what is granted, and is shown to the operator.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::command::{CommandOutput, finish, tinymcp};
use tinymcp_tests::guests::{guest, marked, needing};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

const GRANTS: &str = r#"
# What is mine stays.
[plugin.names]
secrets = { API_KEY = "hunter2", TOKEN = { value = "t0ken", config = true } }
settings = { colour = "red" }
env = { TZ = "UTC" }
"#;

/// A server with the guest `names`, which declares these needs.
async fn declaring(needs: &str) -> (Server, Client) {
    let server = Site::new().plugin("names", &needing(&guest("names"), needs)).config(GRANTS).start().await;
    let client = Client::modern(&server);
    (server, client)
}

/// The values that the guest reads: two secrets, its configuration, its environment.
async fn had(client: &Client) -> Value {
    let secret = async |name: &str| client.value("names_secret", json!({ "name": name })).await;
    let all = client.value("names_all", json!({})).await;
    json!([secret("API_KEY").await, secret("TOKEN").await, all[0], client.value("names_env", json!({})).await])
}

#[tokio::test]
async fn a_plugin_has_what_is_granted_and_declared() {
    let settings = json!(["colour", "red"]);
    for (needs, expected) in [
        ("secret API_KEY\n", json!(["hunter2", null, [settings], []])),
        (
            "secret TOKEN\nenv TZ\nsecret MISSING\n",
            json!([null, "t0ken", [settings, ["TOKEN", "t0ken"]], [["TZ", "UTC"]]]),
        ),
        ("kv", json!([null, null, [settings], []])),
        ("\n", json!(["hunter2", "t0ken", [settings, ["TOKEN", "t0ken"]], [["TZ", "UTC"]]])),
        ("secret API-KEY\n", json!([null, null, [settings], []])),
        ("secrets API_KEY\n", json!([null, null, [settings], []])),
    ] {
        let (server, client) = declaring(needs).await;
        assert_eq!(had(&client).await, expected, "{needs:?}");
        // Changed grants are narrowed too.
        let mark = server.log.mark();
        server.site().configure(&GRANTS.replace("hunter2", "hunter3"));
        server.log.wait_since(mark, "configuration reloaded").await;
        if expected[0] == "hunter2" {
            until("the changed grants", async || had(&client).await[0] == "hunter3").await;
        }
        let mut changed = expected.clone();
        changed[0] = had(&client).await[0].clone();
        assert_eq!(had(&client).await, changed, "{needs:?}");
        assert_eq!(changed[0].is_null(), expected[0].is_null(), "{needs:?}");
    }
}

#[tokio::test]
async fn another_version_is_told_with_what_it_inherits() {
    let (server, client) = declaring("secret API_KEY\nsecret TOKEN\n").await;
    let granted = server.log.wait_for("plugin `names` is granted ").await;
    assert!(granted.contains("secret API_KEY; secret TOKEN") && !granted.contains("TZ"), "{granted}");
    assert_eq!(server.log.lines("another version"), Vec::<String>::new());

    // It declares less, and so it may have less.
    let mark = server.log.mark();
    server.site().put("names.wasm", &needing(&guest("names"), "secret API_KEY\n"));
    let inherits = server.log.wait_since(mark, "another version of plugin `names` inherits").await;
    assert!(inherits.contains("inherits secret API_KEY: nothing says which file may have that"), "{inherits}");
    until("the next version", async || had(&client).await[1].is_null()).await;
    assert_eq!(server.log.lines("declares to need more"), Vec::<String>::new());
    let list =
        || serde_json::from_str::<Value>(&server.site().run(&["list", "--json"]).stdout).unwrap()["plugins"][0].clone();
    assert_eq!((&list()["needs"], &list()["widened"]), (&json!(["secret API_KEY"]), &Value::Null));

    // It declares nothing any more, and so it may have everything.
    let mark = server.log.mark();
    server.site().put("names.wasm", &guest("names"));
    let more = server.log.wait_since(mark, "declares to need more than the one before").await;
    assert!(more.contains("all that is granted, since it declares nothing any more"), "{more}");
    until("the version without declarations", async || had(&client).await[1] == "t0ken").await;
    until("the record", async || list()["widened"].is_string()).await;
    assert_eq!(list()["granted"], json!(["secret API_KEY", "secret TOKEN", "env TZ"]));
    let shown = server.site().run(&["list"]);
    assert!(shown.stderr.contains("`names` declares to need more than the version before it"), "{shown:?}");

    // A file that was replaced while nobody looked is told of at the next start.
    let site = server.kill();
    site.put("names.wasm", &marked(&guest("names"), 1));
    let server = site.start().await;
    server.log.wait_for("another version of plugin `names` inherits secret API_KEY; secret TOKEN").await;
    assert_eq!(server.log.lines("declares to need more"), Vec::<String>::new());
    let site = server.kill();
    let server = site.start().await;
    assert_eq!(server.log.lines("another version"), Vec::<String>::new());
    for value in ["hunter2", "t0ken"] {
        assert_eq!(server.log.lines(value), Vec::<String>::new());
    }
}

/// What the author of these plugins would like to have said.
const HOSTILE: &str = "http https://api.example.com/v1?a=\"]\nhttp https://ok.example\nhttp https://*.example.com\nhttp http://10.0.0.1\nsecret A\"\nsecret B]\nsecret GOOD\nkv\u{1b}[31m\nkv\nenv X\u{202e}Y\ndir /data\n";

#[test]
fn inspect_tells_needs_and_the_lines_that_grant_them() {
    let site = Site::new().plugin("names", &needing(&guest("names"), HOSTILE)).config(GRANTS);
    let finished = site.run(&["inspect", "plugins/names.wasm"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let shown = &finished.stdout;
    for expected in
        ["http https://ok.example  not granted", "secret GOOD  not granted", "dir /data", "counts as a need of nothing"]
    {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
    let json: Value = serde_json::from_str(&site.run(&["inspect", "--json", "plugins/names.wasm"]).stdout).unwrap();
    let snippet = json["snippet"].as_str().unwrap();
    let table: toml::Table = snippet.parse().unwrap();
    let expected = json!({ "plugin": { "names": {
        "http": ["https://ok.example"],
        "kv": { "quota": "1MiB" },
        "secrets": { "GOOD": "${NAMES_GOOD}" },
    } } });
    assert_eq!(serde_json::to_value(table).unwrap(), expected, "{snippet}");
    assert_eq!(json["granted"], json!([]));
    let plain: Value = serde_json::from_str(
        &Site::with(&["names"]).config(GRANTS).run(&["inspect", "--json", "plugins/names.wasm"]).stdout,
    )
    .unwrap();
    assert_eq!(
        (&plain["needs"], &plain["granted"]),
        (&Value::Null, &json!(["secret API_KEY", "secret TOKEN", "env TZ"]))
    );
}

#[test]
fn grants_are_written_for_a_person_at_a_terminal() {
    let site = Site::new().plugin("names", &needing(&guest("names"), HOSTILE)).config(GRANTS);
    let file = site.path().join("tinymcp.toml");
    let before = fs::read_to_string(&file).unwrap();
    let printed = site.run(&["grant", "names"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(printed.stdout.starts_with("[plugin.names]\nhttp = [\"https://ok.example\"]"), "{printed:?}");
    assert!(
        printed.stderr.contains("http https://*.example.com") && printed.stderr.contains("dir /data"),
        "{printed:?}"
    );

    let refused = finish(tinymcp(site.path()).args(["grant", "names", "--write"]));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("there is no terminal"), "{refused:?}");
    // The end of what is typed, a no, and what is neither.
    for answer in ["\u{4}", "n\n", "perhaps\n"] {
        let refused = at_terminal(&site, answer);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{refused:?}");
    }
    let written = at_terminal(&site, "y\n");
    assert_eq!(written.code, 0, "{written:?}");
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.contains("# What is mine stays.") && after.contains("GOOD = \"${NAMES_GOOD}\""), "{after}");
    assert!(after.contains("API_KEY = \"hunter2\"") && after.contains("kv = { quota = \"1MiB\" }"), "{after}");
    fs::write(site.path().join(".env"), "NAMES_GOOD=here\n").unwrap();
    let checked = site.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked.stdout.contains("# plugin `names` is granted http https://ok.example; secret API_KEY"),
        "{checked:?}"
    );
    assert!(checked.stderr.contains("whoever can replace its file inherits secret API_KEY"), "{checked:?}");
    let again = site.run(&["grant", "names"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, ""), "{again:?}");
}

#[test]
fn a_plugin_that_is_not_there_or_declares_nothing_gets_no_lines() {
    let site = Site::with(&["names"]);
    let unknown = site.run(&["grant", "nobody"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    let silent = site.run(&["grant", "names"]);
    assert_eq!((silent.code, silent.stdout.as_str()), (0, ""), "{silent:?}");
    assert!(silent.stderr.contains("does not declare what it needs"), "{silent:?}");
}

/// Runs `tinymcp grant names --write` in a terminal of its own, and answers there.
fn at_terminal(site: &Site, answer: &str) -> CommandOutput {
    const IN_TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let program = tinymcp_tests::command::program();
    let mut command = Command::new("python3");
    command.args(["-c", IN_TERMINAL]).arg(program).args(["grant", "names", "--write"]).current_dir(site.path());
    command.env("XDG_CACHE_HOME", site.path().join(".cache"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(answer.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    CommandOutput {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
