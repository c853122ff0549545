//! `/revoke` (RFC 7009).

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::World;

use super::{alice, refused};

async fn logged_in() -> (World, OAuthClient, Tokens) {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    (world, client, tokens)
}

async fn ends(client: &OAuthClient, token: &str) {
    let answer = client.revoke(token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_refresh_token_takes_the_whole_family_with_it() {
    let (_world, client, first) = logged_in().await;
    let second = client.renew(&first.refresh).await;
    ends(&client, &second.refresh).await;
    for token in [&first.access, &second.access] {
        assert!(!client.is_live(token).await);
    }
    for token in [&first.refresh, &second.refresh] {
        assert_eq!(refused(&client.try_renew(token).await), (400, "invalid_grant".to_owned()));
    }
}

#[tokio::test]
async fn a_predecessor_takes_the_family_with_it_too() {
    let (_world, client, first) = logged_in().await;
    let second = client.renew(&first.refresh).await;
    ends(&client, &first.refresh).await;
    assert!(!client.is_live(&second.access).await);
    assert_eq!(refused(&client.try_renew(&second.refresh).await).0, 400);
}

#[tokio::test]
async fn an_access_token_goes_alone() {
    let (_world, client, first) = logged_in().await;
    let second = client.renew(&first.refresh).await;
    ends(&client, &second.access).await;
    assert!(!client.is_live(&second.access).await);
    assert!(client.is_live(&first.access).await);
    assert!(client.is_live(&client.renew(&second.refresh).await.access).await);
}

#[tokio::test]
async fn what_is_revoked_stays_so_over_a_kill() {
    let (world, client, tokens) = logged_in().await;
    let other = client.log_in(&mut alice()).await;
    ends(&client, &tokens.refresh).await;
    ends(&client, &other.access).await;
    let world = world.killed().await;
    assert!(!client.is_live(&tokens.access).await);
    assert!(!client.is_live(&other.access).await);
    assert_eq!(refused(&client.try_renew(&tokens.refresh).await).0, 400);
    client.renew(&other.refresh).await;
    drop(world);
}

#[tokio::test]
async fn a_token_of_another_client_is_left_alone() {
    let (world, client, tokens) = logged_in().await;
    let other = world.register(Kind::Gemini).await;
    for token in [&tokens.refresh, &tokens.access] {
        ends(&other, token).await;
    }
    assert!(client.is_live(&tokens.access).await);
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn tokens_that_are_unknown_are_no_error() {
    let (_world, client, tokens) = logged_in().await;
    for token in ["x", "tmcp_rt_x", "tmcp_at_x", &"a".repeat(3000)] {
        ends(&client, token).await;
    }
    ends(&client, &tokens.access).await;
    ends(&client, &tokens.access).await;
    assert_eq!(refused(&client.post("/revoke", &[]).await), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn hints_do_not_matter() {
    for hint in ["access_token", "refresh_token", "something"] {
        let (_world, client, tokens) = logged_in().await;
        let answer = client.post("/revoke", &[("token", &tokens.refresh), ("token_type_hint", hint)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!client.is_live(&tokens.access).await, "{hint}");
    }
}

#[tokio::test]
async fn revoking_while_renewing_leaves_nothing_usable() {
    let (_world, client, first) = logged_in().await;
    for _ in 0..10 {
        let tokens = client.log_in(&mut alice()).await;
        let renewing = (0..4).map(|_| {
            let (client, token) = (client.clone(), tokens.refresh.clone());
            tokio::spawn(async move { client.try_renew(&token).await })
        });
        let renewing: Vec<_> = renewing.collect();
        ends(&client, &tokens.refresh).await;
        assert!(!client.is_live(&tokens.access).await);
        for answer in renewing {
            let answer = answer.await.unwrap();
            if answer.status == 200 {
                let renewed = Tokens::of(&answer);
                assert!(!client.is_live(&renewed.access).await);
                assert_eq!(refused(&client.try_renew(&renewed.refresh).await).0, 400);
            }
        }
    }
    assert!(client.is_live(&first.access).await);
}

#[tokio::test]
async fn streams_of_a_revoked_session_end() {
    let (world, client, tokens) = logged_in().await;
    let modern = world.modern(&tokens.access).listen().await;
    let legacy = Client::legacy_with_token(&world.server, &tokens.access).await.listen().await;
    ends(&client, &tokens.refresh).await;
    tokio::join!(modern.rest(), legacy.rest());
}

#[tokio::test]
async fn tokens_of_the_provider_are_revoked_too() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    ends(&client, &tokens.refresh).await;
    tinymcp_tests::until("a revocation at the provider", async || !provider.sent("/oauth/revoke").is_empty()).await;
    let sent = &provider.sent("/oauth/revoke")[0];
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_ne!(sent.parameter("token"), Some(tokens.refresh.as_str()));
}

#[tokio::test]
async fn a_provider_that_is_down_does_not_keep_anything_alive() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    provider.go_down();
    ends(&client, &tokens.refresh).await;
    assert!(!client.is_live(&tokens.access).await);
}

#[tokio::test]
async fn a_program_that_speaks_json_is_told_to_send_a_form() {
    let (_world, client, tokens) = logged_in().await;
    let body = json!({ "token": tokens.refresh, "client_id": client.id });
    assert_eq!(client.request("POST", "/revoke").json(&body).send().await.status, 400);
    assert!(client.is_live(&tokens.access).await);
}
