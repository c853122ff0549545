//! `tinymcp keys`: a new root key while everything goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::Site;
use tinymcp_tests::until;
use tinymcp_tests::world::{World, behind};

use super::{done, json as printed, refused};

fn site(provider: &Provider) -> Site {
    behind(provider)
        .plugin("state", &guest("state"))
        .plugin("greeter", &guest("greeter-v1"))
        .config("[plugin.state]\nkv = {}\n")
}

#[tokio::test]
async fn nobody_is_logged_out_by_a_new_key_and_the_old_one_can_go_in_the_end() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::of(site(&provider).with_clock()).await;
    let (client, tokens) = world.log_in(Kind::Confidential, "alice").await;
    let legacy = Client::legacy_with_token(&world.server, &tokens.access).await;
    world.modern(&tokens.access).call("state_set", json!({ "key": "a", "value": "one" })).await;
    // A login under way: the person has the consent page before the change, and goes on after it.
    let other = world.register(Kind::Codex).await;
    let authorization = other.authorization();
    let mut bob = Browser::of("bob");
    let Landing::Page(consent) = bob.open(&authorization.url()).await else { panic!("no consent page") };
    let site = world.server.site();
    let before = fs::read(site.path().join(".tinymcp/key")).unwrap();
    done(site, &["keys", "rotate"]);
    let keys = printed(site, &["keys", "--json"]);
    assert!(keys.as_array().unwrap().len() == 2 && keys[0]["source"] == "key" && keys[0]["is_current"] == true);
    let old = site.path().join(".tinymcp").join(keys[1]["source"].as_str().unwrap());
    assert_eq!(fs::read(&old).unwrap(), before);
    assert_ne!(fs::read(site.path().join(".tinymcp/key")).unwrap(), before);
    assert_eq!(fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o600);

    assert!(client.is_live(&tokens.access).await);
    assert_eq!(legacy.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    assert_eq!(world.modern(&tokens.access).value("state_get", json!({ "key": "a" })).await, "one");
    let renewed = client.renew(&tokens.refresh).await;
    let landing = bob.decide(&consent, "approve").await;
    let landing = match landing {
        Landing::Page(page) => bob.log_in(&page).await,
        landing @ Landing::Client(_) => landing,
    };
    let code = OAuthClient::take(&authorization, landing);
    let his = other.redeem(&code).await;
    assert!(other.is_live(&his.access).await);
    // With the old key still listed, over a start.
    let world = world.killed().await;
    for (client, token) in [(&client, &renewed.access), (&other, &his.access)] {
        assert!(client.is_live(token).await);
    }
    let again = client.renew(&renewed.refresh).await;
    done(world.server.site(), &["sessions", "end", "bob@example.com"]);
    // Everything of now is under the new key: store, state and what is switched off open without the old one.
    done(world.server.site(), &["people", "block", "alice@example.com"]);
    done(world.server.site(), &["people", "unblock", "alice@example.com"]);
    assert!(!client.is_live(&again.access).await);
    let (_, hers) = world.log_in(Kind::Codex, "carol").await;
    // Rows of logins live for some minutes more.
    world.server.advance(Duration::from_secs(1500));
    let site = world.server.kill();
    fs::remove_file(&old).unwrap();
    let world = World::of(site).await;
    assert_eq!(world.modern(&hers.access).value("state_get", json!({ "key": "a" })).await, "one");
}

#[tokio::test]
async fn a_changed_secret_is_taken_over_while_the_server_runs() {
    let provider = Provider::start(Settings::oidc()).await;
    let site = site(&provider);
    let secret = |letter: &str| letter.repeat(40);
    fs::write(site.path().join(".env"), format!("TINYMCP_SECRET={}\n", secret("a"))).unwrap();
    let world = World::of(site).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let site = world.server.site();
    assert!(refused(site, &["keys", "rotate"]).contains("TINYMCP_SECRET_PREVIOUS"));
    let mark = world.server.log.mark();
    let text = format!("TINYMCP_SECRET={}\nTINYMCP_SECRET_PREVIOUS={}\n", secret("b"), secret("a"));
    fs::write(site.path().join(".env"), text).unwrap();
    world.server.log.wait_since(mark, "the root key has changed").await;
    until("two keys", async || printed(site, &["keys", "--json"]).as_array().unwrap().len() == 2).await;
    assert!(client.is_live(&tokens.access).await);
    let renewed = client.renew(&tokens.refresh).await;
    let world = world.killed().await;
    assert!(client.is_live(&renewed.access).await);
    drop(world);
}
