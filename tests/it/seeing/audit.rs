//! Lines: who, what, how it ended; nothing that anybody wrote breaks one; and a disk that takes none.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::server::Site;
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};

use super::{AUDIT, audit_file, events, lines, members};

/// Text that would end a line, forge another, and hide what it does.
const FORGED: &str = "x\"}\n{\"event\":\"call\",\"person\":\"mallory\"}\r\u{2028}\u{85}\u{202e}\u{200b}\u{1b}[2K";

#[tokio::test]
async fn a_login_and_its_calls_are_lines_with_everybody_in_them() {
    let site = local().plugin("greeter-v1", &guest("greeter-v1")).config(AUDIT);
    let world = World::of(site).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let alice = world.modern(&tokens.access);
    alice.value("greeter_v1_greet", json!({ "name": "a secret argument" })).await;
    let renewed = client.renew(&tokens.refresh).await;
    client.revoke(&renewed.refresh).await;
    world.modern("tmcp_nobody").try_answer("tools/list", json!({})).await.unwrap();

    let call = events(&world.server, "call", 1).await.remove(0);
    let expected = [
        "time",
        "event",
        "outcome",
        "person",
        "issuer",
        "client",
        "client_name",
        "method",
        "plugin",
        "digest",
        "tool",
        "ms",
    ];
    let without_email: Vec<&str> = members(&call).into_iter().filter(|name| *name != "email").collect();
    assert_eq!(without_email, expected, "{call}");
    assert_eq!(call["client_name"], "Claude Code (tests)", "{call}");
    assert_eq!((&call["outcome"], &call["tool"]), (&json!("ok"), &json!("greeter_v1_greet")));
    assert!(call["ms"].is_u64() && call["digest"].as_str().unwrap().len() == 64, "{call}");

    let login = events(&world.server, "login", 1).await.remove(0);
    assert_eq!((&login["outcome"], &login["person"]), (&json!("ok"), &call["person"]), "{login}");
    let consent = events(&world.server, "consent", 1).await.remove(0);
    assert_eq!((&consent["outcome"], &consent["from"]), (&json!("approved"), &json!("127.0.0.1")), "{consent}");
    let tokens = events(&world.server, "token", 3).await;
    let what: Vec<&Value> = tokens.iter().map(|token| &token["what"]).collect();
    assert_eq!(what, ["issued", "refreshed", "ended"]);
    let refusal = events(&world.server, "refusal", 1).await.remove(0);
    assert_eq!(refusal["reason"], "foreign_token", "{refusal}");
    let file = audit_file(world.server.site());
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("a secret argument") && !text.contains("v1 greets"), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let site = world.server.site();
    let shown =
        site.run(&["audit", "--person", call["person"].as_str().unwrap(), "--tool", "greeter_v1_greet", "--json"]);
    assert_eq!(shown.code, 0, "{shown:#?}");
    assert_eq!(shown.stdout.lines().count(), 1, "{shown:#?}");
    assert_eq!(serde_json::from_str::<Value>(shown.stdout.trim()).unwrap(), call);
    let nobody = site.run(&["audit", "--person", "bob", "--since", "1h"]);
    assert!(nobody.code == 0 && nobody.stdout.is_empty() && nobody.stderr.contains("no line fits"), "{nobody:#?}");
    let recent = site.run(&["audit", "--since", "1h", "--event", "login"]);
    assert!(recent.stdout.contains("login") && recent.stdout.contains("outcome=ok"), "{recent:#?}");
    let later = site.run(&["audit", "--since", "2999-01-01"]);
    assert!(later.stdout.is_empty(), "{later:#?}");
}

#[tokio::test]
async fn no_name_of_a_client_breaks_a_line() {
    let world = World::of(local().plugin("greeter-v1", &guest("greeter-v1")).config(AUDIT)).await;
    let mut registration = Kind::ClaudeCode.registration();
    registration["client_name"] = format!("{FORGED}{}", "y".repeat(10_000)).into();
    let registered = tinymcp_tests::oauth::register(&world.base, &registration).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    let id = registered.json()["client_id"].as_str().unwrap().to_owned();
    let client = OAuthClient::known(&world.base, &id, Kind::ClaudeCode.redirect_uri());
    let tokens = client.log_in(&mut tinymcp_tests::browser::Browser::of("alice")).await;
    world.modern(&tokens.access).value("greeter_v1_greet", json!({ "name": FORGED })).await;
    let unknown = OAuthClient::known(&world.base, FORGED, "http://localhost/");
    unknown.request("GET", &unknown.authorization().url()[world.base.as_str().len() - 1..]).send().await;
    events(&world.server, "call", 1).await;
    let refusal = events(&world.server, "refusal", 1).await.remove(0);
    assert_eq!(refusal["reason"], "unknown_client", "{refusal}");
    let text = fs::read_to_string(audit_file(world.server.site())).unwrap();
    let calls = lines(&audit_file(world.server.site())).into_iter().filter(|line| line["event"] == "call").count();
    assert_eq!(calls, 1, "{text}");
    let is_hidden = |char: char| (char.is_control() && char != '\n') || "\u{2028}\u{202e}\u{200b}".contains(char);
    assert!(!text.contains(is_hidden), "{text:?}");
    assert!(text.lines().all(|line| line.len() < 8192), "{text}");
    let shown = world.server.site().run(&["audit"]);
    assert!(!shown.stdout.contains(is_hidden), "{:?}", shown.stdout);
}

#[tokio::test]
async fn what_a_plugin_was_granted_and_refused_is_rolled_up() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let config = format!("{AUDIT}[plugin.fetch]\nhttp = [\"{}\"]\n", peer.url(""));
    let server = Site::new().plugin("fetch", &guest("fetch")).config(&config).start().await;
    let client = Client::modern(&server);
    let get = |url: &str| json!({ "method": "GET", "url": url, "headers": [] });
    client.value("fetch", get(&peer.url("/a?secret=query"))).await;
    client.failure("fetch", get("https://evil.example/x?secret=query")).await;
    let calls = events(&server, "call", 2).await;
    let of = |to: &str, decision: &str| json!([{ "kind": "http", "to": to, "decision": decision, "count": 1 }]);
    assert_eq!(calls[0]["grants"], of(&peer.url(""), "allowed"), "{}", calls[0]);
    assert_eq!(calls[1]["grants"], of("https://evil.example", "refused"), "{}", calls[1]);
    assert_eq!(calls[1]["outcome"], "tool_error");
    assert!(!fs::read_to_string(audit_file(server.site())).unwrap().contains("secret"));
}

#[tokio::test]
async fn every_end_of_a_call_has_its_word() {
    let config = format!("{AUDIT}[limits]\ntimeout = \"5s\"\nmemory = \"16MiB\"\n");
    let server = Site::with(&["hostile", "greeter-v1"]).config(&config).start().await;
    let client = Client::modern(&server);
    for (tool, arguments, outcome) in [
        ("hostile_trap", json!({}), "crashed"),
        ("hostile_spin", json!({}), "timeout"),
        ("hostile_recurse", json!({}), "stack"),
        ("hostile_exit_zero", json!({}), "exited"),
        ("hostile_eat_memory", json!({}), "memory"),
        ("greeter_v1_greet", json!({ "nonsense": 1 }), "arguments"),
    ] {
        client.try_call(tool, arguments).await.unwrap();
        let path = audit_file(server.site());
        let found = || lines(&path).into_iter().find(|line| line["tool"] == tool);
        until(&format!("a line of `{tool}`"), async || found().is_some()).await;
        assert_eq!(found().unwrap()["outcome"], outcome, "{tool}");
    }
    // A client that goes away.
    let (_, request) = client.request("tools/call", json!({ "name": "greeter_v1_wait", "arguments": { "ms": 4000 } }));
    let gone = tokio::time::timeout(std::time::Duration::from_millis(1000), request.send()).await;
    assert!(gone.is_err());
    let path = audit_file(server.site());
    until("a line of the call that nobody waits for", async || {
        lines(&path).iter().any(|line| line["tool"] == "greeter_v1_wait" && line["outcome"] == "cancelled")
    })
    .await;
}

#[tokio::test]
async fn changes_of_plugins_and_of_the_configuration_are_lines() {
    let server = Site::with(&["greeter-v1"]).config(AUDIT).start().await;
    let loaded = events(&server, "plugin", 1).await.remove(0);
    assert_eq!((&loaded["what"], &loaded["plugin"]), (&json!("loaded"), &json!("greeter_v1")), "{loaded}");
    server.site().put("greeter-v1.wasm", &marked(&guest("greeter-v1"), 3));
    let replaced = events(&server, "plugin", 2).await.remove(1);
    assert_eq!(replaced["what"], "replaced", "{replaced}");
    assert_ne!(replaced["digest"], loaded["digest"]);
    server.site().put("broken.wasm", b"\0asm\x0d\0\x01\0nonsense\n\"}");
    let refused = events(&server, "plugin", 3).await.remove(2);
    assert_eq!((&refused["what"], &refused["plugin"]), (&json!("refused"), &json!("broken")), "{refused}");
    assert!(refused["reason"].is_string(), "{refused}");
    server.site().configure(&format!("{AUDIT}[plugin.greeter-v1]\nenabled = false\n[server]\nconnections = 7\n"));
    let changed = events(&server, "configuration", 1).await.remove(0);
    let keys: Vec<&str> = changed["changed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(keys.contains(&"server.connections") && keys.iter().any(|key| key.ends_with("enabled")), "{changed}");
    assert_eq!(changed["waiting"], json!(["server.connections"]), "{changed}");
    let disabled = events(&server, "plugin", 4).await.remove(3);
    assert_eq!(disabled["what"], "disabled", "{disabled}");
    server.site().remove("broken.wasm");
    let removed = events(&server, "plugin", 5).await.remove(4);
    assert_eq!((&removed["what"], &removed["plugin"]), (&json!("removed"), &json!("broken")), "{removed}");
}

#[tokio::test]
async fn people_are_hashes_where_the_operator_wants_them_so() {
    let config = format!("{AUDIT}people = \"hash\"\n");
    let world = World::of(local().plugin("greeter-v1", &guest("greeter-v1")).config(&config)).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.modern(&tokens.access).value("greeter_v1_greet", json!({ "name": "x" })).await;
    let call = events(&world.server, "call", 1).await.remove(0);
    let person = call["person"].as_str().unwrap();
    assert!(person.starts_with("hash:") && person.len() == 37, "{call}");
    let text = fs::read_to_string(audit_file(world.server.site())).unwrap();
    assert!(!text.contains("alice") && !text.contains("127.0.0.1"), "{text}");
    let found = world.server.site().run(&["audit", "--person", "alice", "--event", "call", "--json"]);
    assert_eq!(found.stdout.lines().count(), 1, "{found:#?}");
    let by_hash = world.server.site().run(&["audit", "--person", person, "--event", "call", "--json"]);
    assert_eq!(by_hash.stdout, found.stdout);
}

/// Puts a directory where the file was.
fn break_file(site: &Site) {
    let path = audit_file(site);
    fs::rename(&path, site.path().join("audit.before")).unwrap();
    fs::create_dir(path).unwrap();
}

fn mend(site: &Site) {
    fs::remove_dir(audit_file(site)).unwrap();
}

#[tokio::test]
async fn with_continue_calls_go_on_and_the_first_line_afterwards_counts_what_is_missing() {
    let server = Site::with(&["greeter-v1"]).config(AUDIT).start().await;
    let client = Client::modern(&server);
    client.value("greeter_v1_greet", json!({ "name": "x" })).await;
    events(&server, "call", 1).await;
    break_file(server.site());
    for _ in 0..5 {
        client.value("greeter_v1_greet", json!({ "name": "x" })).await;
    }
    server.log.wait_for("the audit cannot be written").await;
    mend(server.site());
    let lost = events(&server, "lost", 1).await;
    client.value("greeter_v1_greet", json!({ "name": "x" })).await;
    assert!(lost[0]["lines"].as_u64().unwrap() >= 1, "{lost:?}");
    let path = audit_file(server.site());
    until("a line or a count for each of six calls", async || {
        let all = lines(&path);
        let written = all.iter().filter(|line| line["event"] == "call").count() as u64;
        let lost: u64 = all.iter().filter_map(|line| line["lines"].as_u64()).sum();
        written + lost == 6
    })
    .await;
    assert_eq!(lines(&path)[0]["event"], "lost");
}

#[tokio::test]
async fn with_refuse_nothing_begins_that_is_not_written_down() {
    let config = format!("{AUDIT}on_error = \"refuse\"\n");
    let world = World::of(local().plugin("greeter-v1", &guest("greeter-v1")).config(&config)).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let alice = world.modern(&tokens.access);
    let greet = || alice.try_call("greeter_v1_greet", json!({ "name": "x" }));
    assert!(!greet().await.unwrap().is_error);
    events(&world.server, "call", 1).await;
    break_file(world.server.site());
    // It is noticed with the first line.
    let mut went_well = 0_u64;
    let refused = loop {
        let outcome = greet().await.unwrap();
        if outcome.is_error {
            break outcome;
        }
        went_well += 1;
        assert!(went_well < 1000, "it is never noticed");
    };
    assert!(format!("{refused:?}").contains("cannot write its audit"), "{refused:?}");
    let page = client.request("GET", &client.authorization().url()[world.base.as_str().len() - 1..]);
    let page = page.header("accept", "text/html").send().await;
    assert_eq!(page.status, 503, "{page:?}");
    assert!(page.text().contains("Nobody can log in at the moment"), "{}", page.text());
    assert_eq!(client.try_renew(&tokens.refresh).await.status, 503);
    mend(world.server.site());
    until("calls that are let in again", async || greet().await.is_ok_and(|outcome| !outcome.is_error)).await;
    let calls = events(&world.server, "call", usize::try_from(went_well).unwrap() + 1).await;
    let well = calls.iter().filter(|call| call["outcome"] == "ok").count() as u64;
    assert_eq!(well, went_well + 1, "every call that was let in has its line: {calls:?}");
    assert!(events(&world.server, "call", 1).await.iter().all(|call| call["outcome"] == "ok"));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_of_at_the_start() {
    let site = Site::new().config("[audit]\nfile = \"missing/audit.jsonl\"\n");
    let refused = site.refusal();
    assert!(refused.code != 0 && refused.stderr.contains("cannot write the audit to"), "{refused:#?}");
    for wrong in ["file = \"a\"\nstdout = true\n", "on_error = \"refuse\"\n"] {
        let refused = Site::new().config(&format!("[audit]\n{wrong}")).run(&["check"]);
        assert_eq!(refused.code, 2, "{wrong}: {refused:#?}");
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_followed() {
    let server = Site::with(&["greeter-v1"]).config(AUDIT).start().await;
    let client = Client::modern(&server);
    client.value("greeter_v1_greet", json!({ "name": "x" })).await;
    events(&server, "call", 1).await;
    let file = audit_file(server.site());
    fs::rename(&file, server.site().path().join("audit.jsonl.1")).unwrap();
    let pid = i32::try_from(server.pid()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::HUP).unwrap();
    until("a new file", async || file.exists()).await;
    client.value("greeter_v1_greet", json!({ "name": "x" })).await;
    assert_eq!(events(&server, "call", 1).await.len(), 1);
    let both = server.site().run(&["audit", "--event", "call", "--json"]);
    assert_eq!(both.stdout.lines().count(), 2, "{both:#?}");
}
