//! `tinymcp token`: tokens that an operator makes, with a running server and without one.

use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::command::CommandOutput;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::World;

use super::{SOON, callable, guarded, is_live, world};

/// Runs a command where no server is, or one is: both see the same.
fn run(site: &Site, arguments: &[&str]) -> CommandOutput {
    site.run(&[&["token"][..], arguments].concat())
}

/// Makes a token, which is all that standard output has.
fn make(site: &Site, arguments: &[&str]) -> String {
    let made = run(site, &[&["new"][..], arguments].concat());
    assert_eq!(made.code, 0, "{made:?}");
    let token = made.stdout.trim().to_owned();
    assert!(token.starts_with("tmcp_op_") && made.stdout.lines().count() == 1, "{made:?}");
    assert!(!made.stderr.contains(&token), "{made:?}");
    token
}

fn list(site: &Site) -> Vec<Value> {
    let listed = run(site, &["list", "--json"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    serde_json::from_str(&listed.stdout).unwrap()
}

#[tokio::test]
async fn a_token_calls_with_its_scopes_until_it_is_revoked() {
    let world = World::of(guarded().plugin("slow", &guest("hostile")).config(super::GUARDS)).await;
    let site = world.server.site();
    let token = make(site, &["ci", "--scopes", "read", "--expires", "90d"]);
    assert_eq!(callable(&world, &token).await, ["open", "reading"]);
    let listed = list(site);
    let entry = &listed[0];
    assert_eq!((listed.len(), &entry["name"], &entry["scopes"]), (1, &json!("ci"), &json!(["read"])));
    assert_eq!((&entry["view"], &entry["expired"]), (&json!("mcp"), &json!(false)));
    assert!(entry["lastUsed"].is_string() && entry["expires"].as_str() > entry["created"].as_str(), "{entry}");
    let shown = run(site, &["list"]).stdout;
    assert!(shown.contains("ci") && shown.contains("`read`") && shown.contains("last used"), "{shown}");
    assert!(!shown.contains(&token[8..]) && !entry.to_string().contains(&token[8..]));
    // Open streams and calls end with it, and nothing in memory keeps it alive.
    let client = world.modern(&token);
    let mut stream = client.listen().await;
    let sleep = json!({ "name": "slow_sleep_ms", "arguments": { "ms": 25_000 } });
    let call = tokio::spawn(client.request("tools/call", sleep).1.try_send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let revoked = run(site, &["revoke", "ci"]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert!(!is_live(&world, &token).await, "at once");
    let ended = tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the stream goes on");
    let answer = tokio::time::timeout(Duration::from_secs(20), call).await.expect("the call goes on").unwrap().unwrap();
    assert!(answer.text().contains("may not use this tool any more"), "{answer:?}");
    assert_eq!(list(site), Vec::<Value>::new());
    let again = run(site, &["revoke", "ci"]);
    assert!(again.code == 1 && again.stderr.contains("there is no token `ci`"), "{again:?}");
    assert_eq!(world.leaked(&[token]), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_that_was_made_without_a_server_is_good_and_outlives_kills() {
    let site = guarded().config(super::GUARDS);
    let token = make(&site, &["nightly", "--scopes", "read,write", "--expires", "30d", "--view", "mcp"]);
    assert_eq!(list(&site)[0]["lastUsed"], Value::Null);
    let world = World::of(site).await;
    assert_eq!(callable(&world, &token).await, ["open", "reading", "writing"]);
    let world = world.killed().await;
    assert!(is_live(&world, &token).await);
    let mut server = world.server;
    server.terminate();
    server.ended().await;
    let site = server.kill();
    assert!(list(&site)[0]["lastUsed"].is_string());
    assert_eq!(run(&site, &["revoke", "nightly"]).code, 0);
    let world = World::of(site).await;
    assert!(!is_live(&world, &token).await);
}

#[tokio::test]
async fn a_token_ends_in_time() {
    let world = World::of(guarded().config(super::GUARDS).with_clock()).await;
    let site = world.server.site();
    let token = make(site, &["ci", "--scopes", "", "--expires", "1h"]);
    assert_eq!(callable(&world, &token).await, ["open"]);
    world.server.advance(Duration::from_secs(3601));
    assert!(!is_live(&world, &token).await);
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let site = guarded().config(super::GUARDS);
    for (arguments, expected) in [
        (&["new", "ci", "--scopes", "read"][..], "--expires"),
        (&["new", "ci", "--expires", "90d"], "--scopes"),
        (&["new", "ci", "--scopes", "read", "--expires", "90"], "a unit is missing"),
        (&["new", "ci", "--scopes", "read", "--expires", "0s"], "a second or more"),
        (&["new", "ci", "--scopes", "read", "--expires", "90d", "--view", "ops"], "there is no view `ops`"),
        (&["new", "c i", "--scopes", "read", "--expires", "90d"], "letters, digits"),
        (&["new", "ci", "--scopes", "re\"ad", "--expires", "90d"], "a scope has no spaces"),
    ] {
        let refused = run(&site, arguments);
        assert!(refused.code == 2 && refused.stderr.contains(expected), "{arguments:?}: {refused:?}");
    }
    make(&site, &["ci", "--scopes", "read", "--expires", "90d"]);
    let twice = run(&site, &["new", "ci", "--scopes", "read", "--expires", "90d"]);
    assert!(twice.code == 1 && twice.stderr.contains("there is a token `ci` already"), "{twice:?}");
    let unknown = run(&site, &["new", "typo", "--scopes", "raed", "--expires", "90d"]);
    assert!(unknown.code == 0 && unknown.stderr.contains("no plugin needs the scope `raed`"), "{unknown:?}");
    let nobody = Site::new().run(&["token", "new", "ci", "--scopes", "", "--expires", "1d"]);
    assert!(nobody.code == 2 && nobody.stderr.contains("a token means nothing"), "{nobody:?}");
}

#[tokio::test]
async fn texts_that_look_like_tokens_are_none() {
    let world = world("").await;
    let token = make(world.server.site(), &["ci", "--scopes", "read", "--expires", "1d"]);
    let body = &token["tmcp_op_".len()..];
    for wrong in [
        format!("tmcp_at_{body}"),
        format!("tmcp_ma_{body}"),
        format!("tmcp_op_{}", &body[1..]),
        format!("{token}A"),
        token.to_uppercase(),
        "tmcp_op_".to_owned(),
    ] {
        assert!(!is_live(&world, &wrong).await, "{wrong}");
    }
    assert!(is_live(&world, &token).await);
}
