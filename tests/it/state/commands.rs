//! `tinymcp kv`, and `tinymcp call` beside a server and without one.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::command::CommandOutput;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, local};

use super::{GRANTED, get, set, state};

fn told(finished: &CommandOutput) -> (i32, &str, &str) {
    (finished.code, finished.stdout.trim_end(), finished.stderr.trim_end())
}

#[tokio::test]
async fn keys_are_listed_shown_and_deleted_with_a_server_and_without() {
    let (server, client) = state(GRANTED).await;
    for (key, value) in [("b", "two"), ("a", "one"), ("a/deep", "three")] {
        set(&client, key, value).await;
    }
    let check = |site: &Site| {
        let listed = site.run(&["kv", "state"]);
        assert_eq!(told(&listed), (0, "plugin  211 bytes\n  a\n  a/deep\n  b", ""));
        assert_eq!(told(&site.run(&["kv", "state.wasm", "list", "a/"])).1, "plugin  211 bytes\n  a/deep");
        assert_eq!(told(&site.run(&["kv", "state", "get", "a"])), (0, "one", ""));
        let json: Value = serde_json::from_str(&site.run(&["kv", "state", "--json"]).stdout).unwrap();
        assert_eq!(json, json!([{ "owner": "plugin", "bytes": 211, "keys": ["a", "a/deep", "b"] }]));
        let missing = site.run(&["kv", "state", "get", "c"]);
        assert_eq!(told(&missing), (1, "", "error: no such key: `c`"));
        assert_eq!(site.run(&["kv", "state", "delete", "c"]).code, 1);
        let other = site.run(&["kv", "other"]);
        assert_eq!(told(&other), (0, "", "plugin `other` has kept nothing"));
        assert_eq!(site.run(&["kv", "state", "get", "a", "--owner", "nobody"]).code, 1);
    };
    check(server.site());
    assert_eq!(told(&server.site().run(&["kv", "state", "delete", "a"])), (0, "", ""));
    assert_eq!(get(&client, "a").await, Value::Null);
    set(&client, "a", "one").await;
    let site = server.kill();
    check(&site);
    assert_eq!(site.run(&["kv", "state", "delete", "a"]).code, 0);
    assert_eq!(told(&site.run(&["kv", "state", "clear"])), (0, "", "2 keys deleted"));
    assert_eq!(told(&site.run(&["kv", "state"])).2, "plugin `state` has kept nothing");
    std::fs::write(site.path().join(".tinymcp/kv/kv.db"), "").unwrap();
    let damaged = site.run(&["kv", "state"]);
    let said = &damaged.stderr;
    assert!(damaged.code == 1 && said.contains("kv.db` is damaged: it is empty: restore"), "{damaged:?}");
}

#[tokio::test]
async fn state_goes_with_a_renamed_plugin() {
    let config = "[plugin.state]\nkv = {}\n[plugin.new-name]\nkv = {}\n";
    let (server, client) = state(config).await;
    set(&client, "a", "one").await;
    let moved = server.site().run(&["kv", "state", "move", "new-name"]);
    assert_eq!(told(&moved), (0, "", "moved from `state` to `new_name`"));
    assert_eq!(get(&client, "a").await, Value::Null);
    server.site().put("new-name.wasm", &guest("state"));
    client.wait_for_tool("new_name_get").await;
    assert_eq!(client.value("new_name_get", json!({ "key": "a" })).await, "one");
    let again = server.site().run(&["kv", "state", "move", "new-name"]);
    assert!(again.code == 1 && again.stderr.contains("`new_name` has state already"), "{again:?}");
    let nothing = server.site().run(&["kv", "state", "move", "third"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("`state` has kept nothing"), "{nothing:?}");
}

#[tokio::test]
async fn people_are_named_as_the_provider_and_the_log_name_them() {
    let site = local().plugin("state", &guest("state")).config("[plugin.state]\nkv = { per = 'person' }\n");
    let world = World::of(site).await;
    for name in ["alice", "bob"] {
        let client = world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
        set(&client, "mine", name).await;
    }
    let site = world.server.site();
    let several = site.run(&["kv", "state", "get", "mine"]);
    assert!(several.code == 2 && several.stderr.contains("choose one with `--owner`"), "{several:?}");
    let json: Value = serde_json::from_str(&site.run(&["kv", "state", "--json"]).stdout).unwrap();
    let owners: Vec<&str> = json.as_array().unwrap().iter().map(|one| one["owner"].as_str().unwrap()).collect();
    assert!(owners.len() == 2 && owners.iter().all(|owner| owner.contains(" at ")), "{owners:?}");
    for owner in owners {
        let (label, subject) = owner.split_once(" (").unwrap();
        let subject = subject.split_once(" at ").unwrap().0;
        let by_label = site.run(&["kv", "state", "get", "mine", "--owner", label]);
        assert_eq!(told(&site.run(&["kv", "state", "get", "mine", "--owner", subject])), told(&by_label));
        assert!(["alice", "bob"].contains(&by_label.stdout.trim()), "{by_label:?}");
    }
}

#[tokio::test]
async fn a_command_calls_with_the_state_of_the_server_or_forgets() {
    let (server, client) = state(GRANTED).await;
    set(&client, "a", "one").await;
    let called = server.site().run(&["call", "state_get", r#"{"key":"a"}"#]);
    assert!(called.code == 0 && called.stdout.contains("one") && !called.stderr.contains("forgotten"), "{called:?}");
    let called = server.site().run(&["call", "state_set", r#"{"key":"b","value":"by command"}"#]);
    assert_eq!(called.code, 0, "{called:?}");
    assert_eq!(get(&client, "b").await, "by command");
    let site = server.kill();
    let called = site.run(&["call", "state_set", r#"{"key":"c","value":"x"}"#]);
    assert!(called.code == 0 && called.stderr.contains("is forgotten when this command ends"), "{called:?}");
    let called = site.run(&["call", "state_get", r#"{"key":"a"}"#]);
    assert!(called.code == 0 && !called.stdout.contains("one"), "{called:?}");
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!((get(&client, "a").await, get(&client, "c").await), (json!("one"), Value::Null));
}

#[test]
fn without_anything_kept_a_command_says_so() {
    let finished = Site::new().run(&["kv", "state"]);
    assert!(finished.code == 1 && finished.stderr.contains("no plugin has kept anything"), "{finished:?}");
}
