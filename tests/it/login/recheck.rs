//! `auth.recheck`: the provider is asked again about people whose sessions are in use.

use std::time::Duration;

use serde_json::json;
use tinymcp_tests::browser::Browser;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::settings::{Account, Settings};
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::until;
use tinymcp_tests::world::{World, behind};
use tokio::task::JoinSet;

const QUARTER: Duration = Duration::from_secs(15 * 60);

/// A server that asks after a quarter of an hour, with tokens that live much longer.
async fn asking(provider: &Provider) -> World {
    provider.change(|settings| settings.access_seconds = 24 * 3600);
    let site = behind(provider).with_clock();
    World::of(site.variable("TINYMCP_AUTH_RECHECK", "15m").variable("TINYMCP_AUTH_ACCESS_TTL", "24h")).await
}

fn refreshes(provider: &Provider) -> usize {
    provider.token_calls("refresh_token").len()
}

#[tokio::test]
async fn the_provider_is_asked_when_it_is_due_and_once() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = asking(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    for _ in 0..3 {
        assert!(client.is_live(&tokens.access).await);
    }
    assert_eq!(refreshes(&provider), 0);
    world.server.advance(QUARTER);
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (client, token) = (client.clone(), tokens.access.clone());
        asking.spawn(async move { client.is_live(&token).await });
    }
    assert!(asking.join_all().await.into_iter().all(|is_live| is_live));
    assert_eq!(refreshes(&provider), 1);
    assert!(client.is_live(&tokens.access).await);
    assert_eq!(refreshes(&provider), 1);
    // Nobody asks about a session that is not used.
    world.server.advance(4 * QUARTER);
    assert_eq!(refreshes(&provider), 1);
}

#[tokio::test]
async fn a_login_that_the_provider_has_ended_ends_here() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = asking(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mut browser = Browser::of("alice");
    let me = world.base.join("/me").unwrap();
    browser.walk(world.base.join("/login").unwrap().as_str()).await;
    provider.lock_out();
    assert!(client.is_live(&tokens.access).await);
    world.server.advance(QUARTER);
    assert!(!client.is_live(&tokens.access).await);
    assert_eq!(client.try_renew(&tokens.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
    let page = browser.open(me.as_str()).await.page();
    assert!(page.text().contains("Log in to see"), "{page:?}");
}

#[tokio::test]
async fn what_has_changed_there_holds_here() {
    let provider = Provider::start(Settings::oidc()).await;
    let groups = |groups: &[&str]| {
        provider.change(|settings| {
            let account = settings.accounts.entry("alice".to_owned()).or_insert_with(|| Account::of("alice"));
            account.claims.insert("groups".to_owned(), json!(groups));
        });
    };
    provider.change(|settings| settings.access_seconds = 24 * 3600);
    groups(&["staff"]);
    let auth = format!(
        "[auth]\nprovider = \"acme\"\nallow = [\"org:staff\"]\nrecheck = \"15m\"\naccess_ttl = \"24h\"\n\
         [auth.providers.acme]\ndiscovery = \"{}\"\nclient_id = \"${{ACME_CLIENT_ID}}\"\n\
         client_secret = \"${{ACME_CLIENT_SECRET}}\"\nscopes = [\"openid\", \"offline_access\"]\n\
         [auth.providers.acme.claims]\norganizations = [\"groups\"]\n",
        provider.discovery()
    );
    let world = World::of(behind(&provider).auth(&auth).with_clock()).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.server.advance(QUARTER);
    assert!(client.is_live(&tokens.access).await);
    groups(&["guests"]);
    world.server.advance(QUARTER / 2);
    assert!(client.is_live(&tokens.access).await, "it is not due");
    world.server.advance(QUARTER / 2);
    assert!(!client.is_live(&tokens.access).await);
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_changes_nothing() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = asking(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    provider.lock_out();
    provider.go_down();
    world.server.advance(QUARTER);
    for _ in 0..3 {
        assert!(client.is_live(&tokens.access).await);
    }
    world.server.log.wait_for("its last word is 15 minutes old").await;
    // The client renews its own tokens meanwhile.
    let renewed = client.renew(&tokens.refresh).await;
    assert!(client.is_live(&renewed.access).await);
    provider.mend();
    until("an end that the provider has told", async || !client.is_live(&renewed.access).await).await;
}

/// A provider that takes its time keeps nobody waiting for long.
#[tokio::test]
async fn a_slow_answer_is_waited_for_a_few_seconds() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = asking(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    provider.fail("/token", Fault::Slow(Duration::from_secs(8)));
    world.server.advance(QUARTER);
    let began = std::time::Instant::now();
    assert!(client.is_live(&tokens.access).await);
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    until("the answer", async || refreshes(&provider) == 1).await;
    assert!(client.is_live(&tokens.access).await);
    assert_eq!(refreshes(&provider), 1, "it was written down");
}

/// GitHub's tokens are never renewed: the person is asked for by them.
#[tokio::test]
async fn without_a_refresh_token_the_person_is_asked_for() {
    let provider = Provider::start(Settings::github()).await;
    let site = behind(&provider).with_clock();
    let world =
        World::of(site.variable("TINYMCP_AUTH_RECHECK", "15m").variable("TINYMCP_AUTH_ACCESS_TTL", "24h")).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let asked = || provider.sent("/user").len();
    let at_login = asked();
    assert!(client.is_live(&tokens.access).await && asked() == at_login);
    world.server.advance(QUARTER);
    assert!(client.is_live(&tokens.access).await);
    assert!(asked() > at_login);
    provider.fail("/user", Fault::Status(401));
    world.server.advance(QUARTER);
    assert!(!client.is_live(&tokens.access).await);
}
