//! Providers that refuse to renew in their own words: a person's fault, which ends a session, or the operator's, which does not.

use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{ACME, World, behind};

use super::large::doctor;
use super::refused;

/// Longer than the provider's tokens live.
const SPENT: Duration = Duration::from_secs(2);

const ENDED: (u16, &str) = (400, "invalid_grant");
const LATER: (u16, &str) = (503, "temporarily_unavailable");

/// A server whose people's tokens at the provider are over at once.
async fn world(keys: &str, provider_keys: &str) -> (Provider, World) {
    let provider = Provider::start(Settings { access_seconds: 1, ..Settings::oidc() }).await;
    let auth = format!(
        "[auth]\nprovider = \"{ACME}\"\n{keys}\n[auth.providers.{ACME}]\ndiscovery = \"{}\"\n\
         client_id = \"${{ACME_CLIENT_ID}}\"\nclient_secret = \"${{ACME_CLIENT_SECRET}}\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"offline_access\"]\n{provider_keys}\n",
        provider.discovery()
    );
    let world = World::of(behind(&provider).auth(&auth).with_clock()).await;
    (provider, world)
}

fn refuse(provider: &Provider, people: &[&str], status: u16, body: &Value) {
    provider.change(|settings| {
        let refused = people.iter().map(|person| ((*person).to_owned(), (status, body.clone())));
        settings.refuses_refresh_of = refused.collect();
    });
}

async fn outcome(client: &OAuthClient, tokens: &Tokens, expected: (u16, &str)) {
    let answer = client.try_renew(&tokens.refresh).await;
    assert_eq!(refused(&answer), (expected.0, expected.1.to_owned()));
}

#[tokio::test]
async fn what_the_data_calls_dead_ends_the_session_at_once() {
    let (provider, world) = world("", "refresh_ended_by = [\"token_expired\", \"invalid_request: revoked\"]").await;
    for (status, body, expected) in [
        (400, json!({ "error": "invalid_request", "error_description": "Token was Revoked." }), ENDED),
        (200, json!({ "error": "token_expired" }), ENDED),
        (400, json!({ "error": "invalid_request", "error_description": "what?" }), LATER),
        (200, json!({ "error": "something_else" }), LATER),
        (400, json!({ "message": "expired" }), LATER),
        (401, json!({}), LATER),
        (401, json!({ "error": "invalid_client" }), LATER),
    ] {
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        world.server.advance(SPENT);
        refuse(&provider, &["alice"], status, &body);
        outcome(&client, &tokens, expected).await;
        refuse(&provider, &[], 0, &Value::Null);
        if expected == LATER {
            client.renew(&tokens.refresh).await;
        }
    }
}

#[tokio::test]
async fn a_refusal_of_one_person_ends_their_session_in_the_end() {
    let (provider, world) = world("refresh_refused_days = 0", "").await;
    let (bobs, his) = world.log_in(Kind::Inspector, "bob").await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.server.advance(SPENT);
    refuse(&provider, &["alice"], 400, &json!({ "error": "invalid_request" }));
    outcome(&client, &tokens, ENDED).await;
    bobs.renew(&his.refresh).await;
}

/// Codes by which some providers say that a person is blocked, and answers in which they say it in their own way.
#[tokio::test]
async fn a_person_who_is_refused_alone_is_refused_for_a_while_in_whatever_words() {
    let (provider, world) = world("refresh_refused_days = 0", "").await;
    let (bobs, mut his) = world.log_in(Kind::Inspector, "bob").await;
    for (status, body) in [
        (403, json!({ "error": "unauthorized_client", "error_description": "user is blocked" })),
        (400, json!({ "error": "invalid_scope" })),
        (400, json!({ "error": 5 })),
        (400, json!({ "error": { "message": "dead" } })),
    ] {
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        world.server.advance(SPENT);
        refuse(&provider, &["alice"], status, &body);
        outcome(&client, &tokens, ENDED).await;
        his = bobs.renew(&his.refresh).await;
        assert!(!doctor(&world, &provider).contains("refuses to renew"), "others are renewed");
    }
}

#[tokio::test]
async fn what_happens_to_everybody_is_the_operators_fault_and_ends_nobody() {
    let (provider, world) = world("refresh_refused_days = 7", "").await;
    let (bobs, his) = world.log_in(Kind::Inspector, "bob").await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.server.advance(SPENT);
    for (status, body) in [
        (400, json!({ "error": "invalid_request", "error_description": "we have changed our mind" })),
        (401, json!({ "error": "invalid_client", "error_description": "secret expired" })),
    ] {
        refuse(&provider, &["alice", "bob"], status, &body);
        for _ in 0..2 {
            outcome(&client, &tokens, LATER).await;
            outcome(&bobs, &his, LATER).await;
        }
        let said = doctor(&world, &provider);
        let words = body["error_description"].as_str().unwrap();
        assert!(said.contains("refuses to renew sessions") && said.contains(words), "{said}");
    }
    refuse(&provider, &[], 0, &Value::Null);
    client.renew(&tokens.refresh).await;
    bobs.renew(&his.refresh).await;
    assert!(!doctor(&world, &provider).contains("refuses to renew"));
}
