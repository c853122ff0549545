//! `tinymcp sessions`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::{Client, initialize};
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, behind, local};
use tinymcp_tests::{until, until_within};

use super::{SOON, done, json as printed, refused, unpack};

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The sessions that are listed, by person and client.
fn listed(site: &Site) -> Vec<(String, String)> {
    let sessions = printed(site, &["sessions", "--json"]);
    let text = |session: &Value, name: &str| session[name].as_str().unwrap_or_default().to_owned();
    let mut listed: Vec<(String, String)> = sessions
        .as_array()
        .unwrap()
        .iter()
        .map(|session| (text(session, "subject"), text(session, "client")))
        .collect();
    listed.sort();
    listed
}

async fn is_out(client: &OAuthClient, tokens: &Tokens) {
    until_within(SOON, "a token that is good for nothing", async || !client.is_live(&tokens.access).await).await;
    assert_eq!(client.try_renew(&tokens.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn people_and_their_clients_are_listed_with_their_last_use() {
    let site = behind_proxy();
    let world = World::of(site).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.log_in(Kind::Codex, "alice").await;
    world.log_in(Kind::Codex, "bob").await;
    let asked = client.request("POST", "/mcp").json(&initialize("2025-11-25")).bearer(&tokens.access);
    // The built-in login takes nothing that was forwarded.
    assert_eq!(asked.send().await.status, 200);
    let site = world.server.site();
    let sessions = printed(site, &["sessions", "--json"]);
    assert_eq!(sessions.as_array().unwrap().len(), 3, "{sessions}");
    let hers = sessions.as_array().unwrap().iter().find(|session| session["client"] == "Claude Code (tests)").unwrap();
    assert!(hers["since_s"].as_u64().unwrap().abs_diff(now_s()) < 600, "{hers}");
    assert!(hers["used_s"].as_u64().unwrap() >= hers["since_s"].as_u64().unwrap(), "{hers}");
    assert_eq!((hers["from"].as_str(), hers["is_pending"].as_bool()), (Some("127.0.0.1"), Some(false)), "{hers}");
    assert_eq!(hers["id"].as_str().unwrap().len(), 64);
    let text = done(site, &["sessions"]).stdout;
    assert!(
        text.contains("alice") && text.contains("Claude Code (tests)") && text.contains("from 127.0.0.1"),
        "{text}"
    );
    for secret in [&tokens.access, &tokens.refresh] {
        assert!(!text.contains(secret.as_str()) && !sessions.to_string().contains(secret.as_str()));
    }
    let of_client = printed(site, &["sessions", "--client", "codex", "--json"]);
    assert_eq!(of_client.as_array().unwrap().len(), 2, "{of_client}");
    let of_person = printed(site, &["sessions", "--person", "bob", "--json"]);
    assert_eq!(of_person.as_array().unwrap().len(), 1, "{of_person}");

    // The last use goes into the row with what is written anyway, and outlives the server there.
    let renewed = client.renew(&tokens.refresh).await;
    let site = world.server.kill();
    let kept = printed(&site, &["sessions", "--person", "alice", "--client", "Claude Code (tests)", "--json"]);
    assert_eq!(kept[0]["from"], "127.0.0.1", "{kept}");
    assert!(kept[0]["used_s"].as_u64().unwrap() >= hers["used_s"].as_u64().unwrap(), "{kept}");
    drop(renewed);
}

fn behind_proxy() -> Site {
    local().plugin("greeter", &guest("greeter-v1"))
}

#[tokio::test]
async fn the_address_of_a_use_is_the_one_behind_trusted_proxies() {
    let provider = Provider::start(Settings::oidc()).await;
    for (trusted, expected) in [("[\"127.0.0.1\"]", "203.0.113.9"), ("[]", "127.0.0.1")] {
        let site = behind(&provider).config(&format!("[server]\ntrusted_proxies = {trusted}\n"));
        let world = World::of(site).await;
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        // Of the uses in one second the first is noted.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let asked = client.request("POST", "/mcp").json(&initialize("2025-11-25")).bearer(&tokens.access);
        assert_eq!(asked.header("x-forwarded-for", "198.51.100.1, 203.0.113.9").send().await.status, 200);
        let sessions = printed(world.server.site(), &["sessions", "--json"]);
        assert_eq!(sessions[0]["from"], expected, "{sessions}");
    }
}

#[tokio::test]
async fn a_session_that_is_ended_loses_token_stream_and_call_at_once() {
    let provider = Provider::start(Settings::oidc()).await;
    let site = behind(&provider).plugin("state", &guest("state"));
    let site = site.config("[plugin.state]\nkv = {}\n[limits]\ntimeout = \"10m\"\n");
    let world = World::of(site).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (other, others) = world.log_in(Kind::Codex, "alice").await;
    let mcp = world.modern(&tokens.access);
    let legacy = Client::legacy_with_token(&world.server, &tokens.access).await;
    let (mut stream, mut legacy_stream) = (mcp.listen().await, legacy.listen().await);
    let wait = |key: &str| json!({ "name": "state_set_and_wait", "arguments": { "key": key, "value": "begun", "ms": 600_000 } });
    let theirs = world.modern(&others.access);
    let call = tokio::spawn(mcp.request("tools/call", wait("a")).1.try_send());
    let other_call = tokio::spawn(theirs.request("tools/call", wait("b")).1.try_send());
    for key in ["a", "b"] {
        until("a call under way", async || theirs.value("state_get", json!({ "key": key })).await == "begun").await;
    }
    let site = world.server.site();
    let sessions = printed(site, &["sessions", "--client", "Claude Code (tests)", "--json"]);
    let id = sessions[0]["id"].as_str().unwrap();
    let begun = std::time::Instant::now();
    let said = done(site, &["sessions", "end", &id[..8]]).stderr;
    assert_eq!(said.trim(), "1 session ended");
    let ended = async {
        while stream.next().await.is_some() {}
        while legacy_stream.next().await.is_some() {}
    };
    assert!(tokio::time::timeout(SOON, ended).await.is_ok(), "a stream goes on");
    let answer = tokio::time::timeout(SOON, call).await.expect("the call goes on").unwrap().unwrap();
    assert!(answer.text().contains("may not use this tool any more"), "{answer:?}");
    eprintln!("out after {:?}", begun.elapsed());
    is_out(&client, &tokens).await;
    // Nobody else is.
    assert!(other.is_live(&others.access).await && !other_call.is_finished());
    assert!(refused(site, &["sessions", "end", &id[..8]]).contains("nobody is called"));
    // The provider's own tokens are given back.
    other_call.abort();
}

#[tokio::test]
async fn all_of_a_person_of_a_client_or_of_everybody_end() {
    let world = World::of(behind_proxy()).await;
    let mut logged_in = Vec::new();
    for (name, kind) in
        [("alice", Kind::ClaudeCode), ("alice", Kind::Codex), ("bob", Kind::Codex), ("carol", Kind::ClaudeCode)]
    {
        logged_in.push(world.log_in(kind, name).await);
    }
    let site = world.server.site();
    let expect = |expected: &[(&str, &str)]| {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(who, client)| ((*who).to_owned(), (*client).to_owned())).collect();
        assert_eq!(listed(site), expected);
    };
    let claude = "Claude Code (tests)";
    expect(&[("alice", claude), ("alice", "Codex"), ("bob", "Codex"), ("carol", claude)]);
    done(site, &["sessions", "end", "alice", "--client", "Codex"]);
    is_out(&logged_in[1].0, &logged_in[1].1).await;
    expect(&[("alice", claude), ("bob", "Codex"), ("carol", claude)]);
    done(site, &["sessions", "end", "--client", claude]);
    expect(&[("bob", "Codex")]);
    is_out(&logged_in[0].0, &logged_in[0].1).await;
    is_out(&logged_in[3].0, &logged_in[3].1).await;
    let (client, again) = world.log_in(Kind::ClaudeCode, "alice").await;
    let end = ["sessions", "end", "sub:alice", "--config", "tinymcp.toml", "--json"];
    assert_eq!(printed(site, &end), json!({ "ended": 1 }), "arguments may stand anywhere");
    is_out(&client, &again).await;
    assert!(logged_in[2].0.is_live(&logged_in[2].1.access).await, "bob is still in");
    for (arguments, expected) in [
        (&["sessions", "end", "dave"][..], "nobody is called `dave`"),
        (&["sessions", "end", "--client", "Emacs"], "no client called `Emacs`"),
        (&["sessions", "end"], "required"),
        (&["sessions", "end", "bob", "--all"], "cannot be used with"),
    ] {
        let said = refused(site, arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn every_token_is_dead_after_an_emergency_also_in_a_copy_of_the_store() {
    let world = World::of(behind_proxy()).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let legacy = Client::legacy_with_token(&world.server, &tokens.access).await;
    let mut stream = legacy.listen().await;
    let code = client.code(&mut Browser::of("bob")).await;
    let site = world.server.site();
    let copy = site.path().join("copy.tar");
    done(site, &["backup", copy.to_str().unwrap()]);
    assert_eq!(
        done(site, &["sessions", "end", "--all"]).stderr.trim(),
        "everything has ended: the sessions of people (2), and all tokens of machines"
    );
    assert!(tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await.is_ok());
    is_out(&client, &tokens).await;
    assert_eq!(client.try_redeem(&code).await.oauth_error(), (400, "invalid_grant".to_owned()));
    // Who logs in now is in.
    let fresh = client.log_in(&mut Browser::of("alice")).await;
    assert!(client.is_live(&fresh.access).await);
    // A copy of the store alone brings nothing back: the state remembers.
    let site = world.server.kill();
    for beside in ["store.db-wal", "store.db-shm"] {
        let _ = std::fs::remove_file(site.path().join(".tinymcp/store").join(beside));
    }
    unpack(&site, "copy.tar", &["store"]);
    let world = World::of(site).await;
    assert!(!client.is_live(&tokens.access).await);
    assert_eq!(client.try_renew(&tokens.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
    assert_eq!(listed(world.server.site()), []);
}

#[tokio::test]
async fn without_a_server_the_store_itself_is_asked_under_its_lock() {
    let world = World::of(behind_proxy()).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (other, others) = world.log_in(Kind::Codex, "bob").await;
    let site = world.server.kill();
    assert_eq!(listed(&site).len(), 2);
    assert_eq!(done(&site, &["sessions", "end", "alice"]).stderr.trim(), "1 session ended");
    assert_eq!(listed(&site).len(), 1);
    let world = World::of(site).await;
    assert!(!client.is_live(&tokens.access).await && other.is_live(&others.access).await);
    let site = world.server.kill();
    let said = done(&site, &["sessions", "end", "--all"]);
    assert_eq!(said.stderr.trim(), "everything has ended: the sessions of people (1), and all tokens of machines");
    let world = World::of(site).await;
    assert!(!other.is_live(&others.access).await);
    drop(world);
    let said = refused(&Site::new(), &["sessions"]);
    assert!(said.contains("no server is running, and none has run"), "{said}");
}
