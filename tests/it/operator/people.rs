//! `tinymcp people`.

use serde_json::{Value, json};
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Settings};
use tinymcp_tests::world::{World, behind, local};
use tinymcp_tests::{until, until_within};

use super::{SOON, done, json as printed, refused};

const OWN: &str = "[plugin.state]\nkv = { per = 'person' }\n[limits]\ntimeout = \"10m\"\n";

async fn keeping(provider: &Provider) -> World {
    World::of(behind(provider).plugin("state", &guest("state")).config(OWN)).await
}

async fn is_let_in(world: &World, name: &str) -> bool {
    let client = world.register(Kind::Gemini).await;
    let authorization = client.authorization();
    match Browser::of(name).walk(&authorization.url()).await {
        Landing::Client(_) => true,
        Landing::Page(_) => false,
    }
}

#[tokio::test]
async fn a_blocked_person_is_out_at_once_and_stays_out() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = keeping(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (bobs, his) = world.log_in(Kind::ClaudeCode, "bob").await;
    let mcp = world.modern(&tokens.access);
    let mut stream = mcp.listen().await;
    let wait = json!({ "name": "state_set_and_wait", "arguments": { "key": "a", "value": "begun", "ms": 600_000 } });
    let call = tokio::spawn(mcp.request("tools/call", wait).1.try_send());
    until("a call under way", async || mcp.value("state_get", json!({ "key": "a" })).await == "begun").await;
    let site = world.server.site();
    let said = done(site, &["people", "block", "ALICE@example.com"]).stderr;
    assert!(said.contains("blocked") && said.contains("sessions that ended: 1"), "{said}");
    assert!(tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await.is_ok());
    let answer = tokio::time::timeout(SOON, call).await.expect("the call goes on").unwrap().unwrap();
    assert!(answer.text().contains("may not use this tool any more"), "{answer:?}");
    until_within(SOON, "a dead token", async || !client.is_live(&tokens.access).await).await;
    assert_eq!(client.try_renew(&tokens.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
    assert!(!is_let_in(&world, "alice").await);
    assert!(bobs.is_live(&his.access).await && is_let_in(&world, "bob").await);
    // Over a kill and a start too, and without a server.
    let site = world.server.kill();
    let listed = printed(&site, &["people", "--json"]);
    let blocked: Vec<&Value> =
        listed.as_array().unwrap().iter().filter(|person| !person["blocked_since_s"].is_null()).collect();
    assert!(blocked.len() == 1 && blocked[0]["email"] == "alice@example.com", "{listed}");
    assert!(done(&site, &["people"]).stdout.contains("blocked"), "it is seen in the list");
    let world = World::of(site).await;
    assert!(!is_let_in(&world, "alice").await);
    let site = world.server.site();
    assert!(done(site, &["people", "unblock", "alice@example.com"]).stderr.contains("may log in again"));
    assert!(is_let_in(&world, "alice").await);
    assert!(!client.is_live(&tokens.access).await, "what was ended stays ended");
    // What has an address in it is no text on the disk.
    done(site, &["people", "block", "bob@example.com"]);
    let kept = std::fs::read(site.path().join(".tinymcp/switched-off")).unwrap();
    assert!(!kept.windows(3).any(|window| window == b"bob"));
}

#[tokio::test]
async fn somebody_unknown_is_told_of_and_so_is_who_is_several() {
    let provider = Provider::start(Settings::oidc()).await;
    let same = Account { email: Some("shared@example.com".to_owned()), ..Account::of("x") };
    provider.change(|settings| {
        settings.accounts.insert("carol".to_owned(), Account { subject: "carol".to_owned(), ..same.clone() });
        settings.accounts.insert("dave".to_owned(), Account { subject: "dave".to_owned(), ..same });
    });
    let world = keeping(&provider).await;
    for name in ["carol", "dave"] {
        world.log_in(Kind::ClaudeCode, name).await;
    }
    let site = world.server.site();
    let said = refused(site, &["people", "block", "nobody@example.com"]);
    assert!(said.contains("nobody is called") && said.contains("`deny`"), "{said}");
    for command in [&["people", "block", "shared@example.com"][..], &["sessions", "end", "shared@example.com"]] {
        let said = refused(site, command);
        assert!(said.contains("names several") && said.contains("carol at") && said.contains("dave at"), "{said}");
        let label = said.lines().find(|line| line.contains("carol at")).unwrap();
        let label = label.trim_start_matches("error:").trim().split(' ').next().unwrap().to_owned();
        assert_eq!(printed(site, &["people", "show", &label, "--json"])["person"]["subject"], "carol");
    }
    assert_eq!(printed(site, &["sessions", "--json"]).as_array().unwrap().len(), 2, "nobody was ended");
}

#[tokio::test]
async fn everything_of_a_person_is_shown_exported_and_deleted() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = keeping(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (_, his) = world.log_in(Kind::ClaudeCode, "bob").await;
    let (hers, bobs) = (world.modern(&tokens.access), world.modern(&his.access));
    for (person, name) in [(&hers, "alice"), (&bobs, "bob")] {
        for key in ["a", "b"] {
            let value = format!("{key} of {name}");
            person.call("state_set", json!({ "key": key, "value": value })).await;
        }
    }
    let site = world.server.site();
    let shown = done(site, &["people", "show", "alice@example.com"]).stdout;
    assert!(shown.contains("plugin `state` has kept 2 keys") && shown.contains("Claude Code (tests)"), "{shown}");
    let exported = done(site, &["people", "export", "alice@example.com"]).stdout;
    for secret in [&tokens.access, &tokens.refresh] {
        assert!(!exported.contains(secret.as_str()));
    }
    let exported: Value = serde_json::from_str(&exported).unwrap();
    let expected = json!([{ "key": "a", "text": "a of alice" }, { "key": "b", "text": "b of alice" }]);
    assert_eq!(exported["state"][0]["entries"], expected, "{exported}");
    assert_eq!(
        (&exported["person"]["email"], &exported["sessions"][0]["client"]),
        (&json!("alice@example.com"), &json!("Claude Code (tests)"))
    );

    let said = refused(site, &["people", "delete", "alice@example.com"]);
    assert!(said.contains("1 sessions, and 2 keys") && said.contains("--yes"), "{said}");
    assert!(client.is_live(&tokens.access).await);
    let sleep = json!({ "name": "state_set_and_wait", "arguments": { "key": "late", "value": "x", "ms": 600_000 } });
    let call = tokio::spawn(hers.request("tools/call", sleep).1.try_send());
    until_within(SOON, "a call under way", async || {
        let keys = printed(site, &["people", "show", "alice@example.com", "--json"]);
        keys["state"][0]["keys"] == 3
    })
    .await;
    let said = done(site, &["people", "delete", "alice@example.com", "--yes"]).stderr;
    assert!(said.contains("deleted: 1 sessions, 3 keys"), "{said}");
    tokio::time::timeout(SOON, call).await.expect("the call goes on").unwrap().unwrap();
    until_within(SOON, "a dead token", async || !client.is_live(&tokens.access).await).await;
    let people = printed(site, &["people", "--json"]);
    assert!(people.as_array().unwrap().len() == 1 && people[0]["email"] == "bob@example.com", "{people}");
    assert_eq!(bobs.value("state_get", json!({ "key": "a" })).await, "a of bob");
    let again = client.log_in(&mut Browser::of("alice")).await;
    assert_eq!(world.modern(&again.access).value("state_get", json!({ "key": "a" })).await, Value::Null);
}

#[tokio::test]
async fn a_person_of_the_built_in_login_is_blocked_as_well() {
    let world = World::of(local()).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    done(world.server.site(), &["people", "block", "alice"]);
    assert!(!client.is_live(&tokens.access).await);
    assert!(!is_let_in(&world, "alice").await && is_let_in(&world, "bob").await);
}
