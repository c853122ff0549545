//! OpenID Connect Back-Channel Logout 1.0: what ends at the provider ends here, and nobody else can make it end.

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Settings, Signature};
use tinymcp_tests::world::World;

/// Sends a logout token as the provider does.
async fn send(world: &World, token: &str) -> Answer {
    let url = world.base.join("/auth/backchannel-logout").unwrap();
    Request::to(&url, "POST").form(&[("logout_token", token)]).send().await
}

async fn logout(world: &World, provider: &Provider, claims: Value) -> u16 {
    let answer = send(world, &provider.logout_token(Signature::Right, &claims)).await;
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    answer.status
}

/// Names the session that the provider has a person in at the next login.
fn next_session(provider: &Provider, name: &str, sid: &str) {
    provider.change(|settings| {
        let account = settings.accounts.entry(name.to_owned()).or_insert_with(|| Account::of(name));
        account.claims.insert("sid".to_owned(), json!(sid));
    });
}

#[tokio::test]
async fn a_person_who_is_logged_out_at_the_provider_is_logged_out_here() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let (one, ones) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (two, twos) = world.log_in(Kind::VsCode, "alice").await;
    let (other, others) = world.log_in(Kind::ClaudeCode, "bob").await;
    let mut browser = Browser::of("alice");
    browser.walk(world.base.join("/login").unwrap().as_str()).await;
    assert_eq!(logout(&world, &provider, json!({ "sub": "alice" })).await, 200);
    assert!(!one.is_live(&ones.access).await && !two.is_live(&twos.access).await);
    assert_eq!(one.try_renew(&ones.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
    let page = browser.open(world.base.join("/me").unwrap().as_str()).await.page();
    assert!(page.text().contains("Log in to see"), "{page:?}");
    assert!(other.is_live(&others.access).await);
    // Nobody is left, and that is no error.
    assert_eq!(logout(&world, &provider, json!({ "sub": "alice" })).await, 200);
    assert_eq!(logout(&world, &provider, json!({ "sub": "nobody" })).await, 200);
    // Who logs in again is in.
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await);
}

#[tokio::test]
async fn one_session_of_the_providers_ends_what_was_begun_in_it() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    next_session(&provider, "alice", "s-1");
    let (first, firsts) = world.log_in(Kind::ClaudeCode, "alice").await;
    next_session(&provider, "alice", "s-2");
    let (second, seconds) = world.log_in(Kind::VsCode, "alice").await;
    // A refresh in between does not lose it.
    let renewed = first.renew(&firsts.refresh).await;
    let world = world.killed().await;
    assert_eq!(logout(&world, &provider, json!({ "sid": "s-1" })).await, 200);
    assert!(!first.is_live(&renewed.access).await && second.is_live(&seconds.access).await);
    assert_eq!(logout(&world, &provider, json!({ "sub": "bob", "sid": "s-2" })).await, 200);
    assert!(second.is_live(&seconds.access).await, "the person must be the same");
    assert_eq!(logout(&world, &provider, json!({ "sub": "alice", "sid": "s-2" })).await, 200);
    assert!(!second.is_live(&seconds.access).await);
}

#[tokio::test]
async fn only_the_provider_says_it_and_each_token_once() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let alice = json!({ "sub": "alice" });
    let right = |claims: Value| provider.logout_token(Signature::Right, &claims);
    let with = |name: &str, value: Value| right(json!({ "sub": "alice", name: value }));
    for (what, token) in [
        ("a foreign key", provider.logout_token(Signature::Foreign, &alice)),
        ("the client's secret", provider.logout_token(Signature::Symmetric, &alice)),
        ("no signature", provider.logout_token(Signature::None, &alice)),
        ("another issuer", with("iss", json!("https://attacker.example"))),
        ("another audience", with("aud", json!("another-client"))),
        ("no audience", with("aud", Value::Null)),
        ("an id_token", with("events", Value::Null)),
        ("another event", with("events", json!({ "https://schemas.openid.net/other": {} }))),
        ("a nonce", with("nonce", json!("n"))),
        ("no jti", with("jti", Value::Null)),
        ("no iat", with("iat", Value::Null)),
        ("one of yesterday", right(json!({ "sub": "alice", "iat": 1_000_000_000, "exp": Value::Null }))),
        ("one that is over", with("exp", json!(1_000_000_000))),
        ("nobody", right(json!({}))),
        ("no token", "x".to_owned()),
        ("an access token", tokens.access.clone()),
    ] {
        let answer = send(&world, &token).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}: {answer:?}");
        let told = answer.text();
        assert!(!told.contains("alice") && !told.contains("signature"), "{what}: {told}");
    }
    let url = world.base.join("/auth/backchannel-logout").unwrap();
    assert_eq!(Request::to(&url, "POST").form(&[]).send().await.status, 400);
    assert_eq!(
        Request::to(&url, "POST").json(&json!({ "logout_token": right(alice.clone()) })).send().await.status,
        400
    );
    let in_query = format!("{url}?logout_token={}", right(alice.clone())).parse().unwrap();
    assert_eq!(Request::to(&in_query, "POST").form(&[]).send().await.status, 400);
    assert_eq!(Request::to(&url, "GET").send().await.status, 405);
    assert!(client.is_live(&tokens.access).await);
    // The tokens were refused, and not used up; the good one is good once.
    let good = right(alice);
    assert_eq!(send(&world, &good).await.status, 200);
    assert!(!client.is_live(&tokens.access).await);
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(send(&world, &good).await.status, 400);
    assert!(client.is_live(&tokens.access).await);
    assert!(world.leaked(&[good]).is_empty());
}

/// One without `exp`, of an earlier draft of the specification, counts by its `iat`; `typ` may say what it is.
#[tokio::test]
async fn a_token_needs_no_exp() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(logout(&world, &provider, json!({ "sub": "alice", "exp": null })).await, 200);
    assert!(!client.is_live(&tokens.access).await);
}

/// Auth0's issuer ends with a slash, and its people have a prefix.
#[tokio::test]
async fn auth0_logs_people_out() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(logout(&world, &provider, json!({ "sub": "auth0|alice" })).await, 200);
    assert!(!client.is_live(&tokens.access).await);
}

#[tokio::test]
async fn providers_that_send_none_are_answered_with_an_error() {
    let world = World::local().await;
    let answer = send(&world, "a.b.c").await;
    assert_eq!(answer.oauth_error(), (400, "invalid_request".to_owned()));
    let provider = Provider::start(Settings::github()).await;
    let world = World::with(&provider).await;
    let token = provider.logout_token(Signature::Right, &json!({ "sub": "alice" }));
    assert_eq!(send(&world, &token).await.status, 400);
}
