//! Renewing (RFC 6749 §6, RFC 9700 §4.14.2): rotation, the grace for answers that got lost, and the end of stolen families.

use std::time::Duration;

use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{World, behind, local};

use super::{alice, refused};

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

async fn logged_in() -> (World, OAuthClient, Tokens) {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    (world, client, tokens)
}

#[tokio::test]
async fn every_renewal_gives_new_tokens() {
    let (_world, client, first) = logged_in().await;
    let second = client.renew(&first.refresh).await;
    assert!(first.refresh != second.refresh && first.access != second.access);
    assert!(client.is_live(&second.access).await);
    let third = client.renew(&second.refresh).await;
    assert!(client.is_live(&third.access).await);
}

/// The answer was lost on its way: the same question has the same answer.
#[tokio::test]
async fn the_immediate_predecessor_gets_the_same_answer() {
    let (_world, client, first) = logged_in().await;
    let second = client.renew(&first.refresh).await;
    for _ in 0..3 {
        let again = client.renew(&first.refresh).await;
        assert_eq!((again.access, again.refresh), (second.access.clone(), second.refresh.clone()));
    }
    assert!(client.is_live(&second.access).await);
    client.renew(&second.refresh).await;
}

/// The answer was lost, and asked for again when its access token was over: as good as at first, and of the same family.
#[tokio::test]
async fn a_lost_answer_that_is_over_comes_again_with_another_access_token() {
    // Over, and nearly so: more than half of a short life has passed.
    for (access_ttl, waited) in [(60, 61), (60, 31)] {
        let mut world =
            World::of(local().with_clock().variable("TINYMCP_AUTH_ACCESS_TTL", &format!("{access_ttl}s"))).await;
        let (client, first) = world.log_in(Kind::ClaudeCode, "alice").await;
        let lost = client.renew(&first.refresh).await;
        // Nobody calls with it: that it was used would be the beginning of the grace's end.
        world.server.advance(Duration::from_secs(waited));
        let again = client.renew(&first.refresh).await;
        assert_eq!(again.refresh, lost.refresh);
        assert_ne!(again.access, lost.access);
        let expires_in = again.answer["expires_in"].as_u64().unwrap();
        assert!((access_ttl - 10..=access_ttl).contains(&expires_in), "{}", again.answer);
        if waited < access_ttl {
            // It would be good for a while yet, but only one lives. A retry at once has the same answer, also after
            // a kill.
            assert!(!client.is_live(&lost.access).await);
            world = world.killed().await;
            assert!(!client.is_live(&lost.access).await);
            assert_eq!(client.renew(&first.refresh).await.access, again.access);
            assert!(client.is_live(&again.access).await);
        }
        let next = client.renew(&again.refresh).await;
        assert_ne!(next.refresh, again.refresh);
        // The grace is for the last token before the current one: this one is old now.
        assert_eq!(refused(&client.try_renew(&first.refresh).await), invalid_grant());
        drop(world);
    }
}

#[tokio::test]
async fn the_grace_of_a_lost_answer_ends_as_that_of_any_other() {
    let site = local()
        .auth("[auth]\nprovider = \"local\"\nrefresh_grace = \"10s\"\n")
        .with_clock()
        .variable("TINYMCP_AUTH_ACCESS_TTL", "60s");
    let world = World::of(site).await;
    let (client, first) = world.log_in(Kind::ClaudeCode, "alice").await;
    client.renew(&first.refresh).await;
    world.server.advance(Duration::from_secs(61));
    let again = client.renew(&first.refresh).await;
    assert!(client.is_live(&again.access).await, "it was just made");
    // It begins when the first use is noted, beside the request.
    tinymcp_tests::until("the end of the grace", async || {
        world.server.advance(Duration::from_secs(11));
        client.try_renew(&first.refresh).await.status == 400
    })
    .await;
    assert_eq!(refused(&client.try_renew(&again.refresh).await), invalid_grant());
}

/// A person who is blocked at the provider does not live on by retries.
#[tokio::test]
async fn a_lost_answer_is_renewed_at_the_provider_like_any_other() {
    let provider = Provider::start(Settings { access_seconds: 1, ..Settings::oidc() }).await;
    let world = World::of(behind(&provider).with_clock().variable("TINYMCP_AUTH_ACCESS_TTL", "60s")).await;
    let (client, first) = world.log_in(Kind::ClaudeCode, "alice").await;
    let lost = client.renew(&first.refresh).await;
    world.server.advance(Duration::from_secs(61));
    assert_eq!(client.renew(&first.refresh).await.refresh, lost.refresh);
    provider.lock_out();
    world.server.advance(Duration::from_secs(61));
    assert_eq!(refused(&client.try_renew(&first.refresh).await), invalid_grant());
    assert_eq!(refused(&client.try_renew(&lost.refresh).await), invalid_grant());
}

/// The provider is asked before another access token is made. While it is down, the one that was lost is good to its end.
#[tokio::test]
async fn a_lost_answer_that_is_nearly_over_is_good_while_the_provider_is_down() {
    let provider = Provider::start(Settings { access_seconds: 1, ..Settings::oidc() }).await;
    let world = World::of(behind(&provider).with_clock().variable("TINYMCP_AUTH_ACCESS_TTL", "100s")).await;
    let (client, first) = world.log_in(Kind::ClaudeCode, "alice").await;
    let lost = client.renew(&first.refresh).await;
    world.server.advance(Duration::from_secs(51));
    provider.go_down();
    let again = client.renew(&first.refresh).await;
    assert_eq!((again.access, again.refresh), (lost.access, lost.refresh));
    assert!((1..=50).contains(&again.answer["expires_in"].as_u64().unwrap()), "{}", again.answer);
    provider.mend();
}

#[tokio::test]
async fn a_lost_answer_whose_access_token_was_revoked_comes_with_another() {
    let (_world, client, first) = logged_in().await;
    let lost = client.renew(&first.refresh).await;
    client.revoke(&lost.access).await;
    let again = client.renew(&first.refresh).await;
    assert_eq!(again.refresh, lost.refresh);
    assert!(client.is_live(&again.access).await);
}

#[tokio::test]
async fn the_same_answer_survives_a_kill() {
    let (world, client, first) = logged_in().await;
    let second = client.renew(&first.refresh).await;
    let world = world.killed().await;
    let again = client.renew(&first.refresh).await;
    assert_eq!((again.access, again.refresh), (second.access, second.refresh));
    drop(world);
}

#[tokio::test]
async fn parallel_renewals_have_one_successor() {
    let (_world, client, first) = logged_in().await;
    let requests = (0..10).map(|_| {
        let (client, token) = (client.clone(), first.refresh.clone());
        tokio::spawn(async move { client.renew(&token).await })
    });
    let mut answers = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        let tokens = request.await.unwrap();
        answers.push((tokens.access, tokens.refresh));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    client.renew(&answers[0].1).await;
}

#[tokio::test]
async fn an_older_token_ends_the_whole_family() {
    let (_world, client, first) = logged_in().await;
    let second = client.renew(&first.refresh).await;
    let third = client.renew(&second.refresh).await;
    assert_eq!(refused(&client.try_renew(&first.refresh).await), invalid_grant());
    for token in [&second.refresh, &third.refresh] {
        assert_eq!(refused(&client.try_renew(token).await), invalid_grant());
    }
    for token in [&first.access, &second.access, &third.access] {
        assert!(!client.is_live(token).await);
    }
}

#[tokio::test]
async fn another_family_of_the_same_person_lives_on() {
    let (_world, client, first) = logged_in().await;
    let other = client.log_in(&mut alice()).await;
    let second = client.renew(&first.refresh).await;
    client.renew(&second.refresh).await;
    client.try_renew(&first.refresh).await;
    assert!(client.is_live(&other.access).await);
    client.renew(&other.refresh).await;
}

#[tokio::test]
async fn a_token_of_another_client_is_refused_and_harms_nobody() {
    let (world, client, tokens) = logged_in().await;
    let other = world.register(Kind::Gemini).await;
    assert_eq!(refused(&other.try_renew(&tokens.refresh).await), invalid_grant());
    let second = client.renew(&tokens.refresh).await;
    assert_eq!(refused(&other.try_renew(&tokens.refresh).await), invalid_grant());
    client.renew(&second.refresh).await;
}

#[tokio::test]
async fn one_kind_of_token_is_no_other() {
    let (_world, client, tokens) = logged_in().await;
    assert_eq!(refused(&client.try_renew(&tokens.access).await), invalid_grant());
    assert!(!client.is_live(&tokens.refresh).await);
    assert!(client.is_live(&tokens.access).await);
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn made_up_tokens_are_refused_and_harm_nobody() {
    let (_world, client, tokens) = logged_in().await;
    let mut altered = tokens.refresh.clone().into_bytes();
    let at = altered.len() / 2;
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    let shortened = &tokens.refresh[..tokens.refresh.len() - 1];
    for token in ["x", "tmcp_rt_", &altered, shortened, &"a".repeat(5000)] {
        assert_eq!(refused(&client.try_renew(token).await), invalid_grant(), "{token}");
    }
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn a_refused_renewal_does_not_rotate() {
    let world =
        World::of(local().config("[auth.scopes]\n\"a:b\" = [\"*@example.com\"]\n\"c:d\" = [\"*@example.com\"]\n"))
            .await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code_of(client.authorization().set("scope", "a:b"), &mut alice()).await;
    let tokens = client.redeem(&code).await;
    let refresh = tokens.refresh.as_str();
    for (parameter, status_and_error) in [
        (("scope", "a:b c:d"), (400, "invalid_scope")),
        (("resource", "https://other.example/"), (400, "invalid_target")),
    ] {
        let answer = client.post("/token", &[&client.renewal(refresh)[..], &[parameter]].concat()).await;
        assert_eq!(refused(&answer), (status_and_error.0, status_and_error.1.to_owned()));
    }
    let renewed = client.renew(refresh).await;
    assert_eq!(renewed.scopes, ["a:b"]);
}

#[tokio::test]
async fn scopes_can_be_narrowed_for_one_access_token() {
    let world =
        World::of(local().config("[auth.scopes]\n\"a:b\" = [\"*@example.com\"]\n\"c:d\" = [\"*@example.com\"]\n"))
            .await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code_of(client.authorization().set("scope", "a:b c:d"), &mut alice()).await;
    let tokens = client.redeem(&code).await;
    let narrow = client.post("/token", &[&client.renewal(&tokens.refresh)[..], &[("scope", "c:d")]].concat()).await;
    let narrow = Tokens::of(&narrow);
    assert_eq!(narrow.scopes, ["c:d"]);
    let mut whole = client.renew(&narrow.refresh).await.scopes;
    whole.sort();
    assert_eq!(whole, ["a:b", "c:d"], "RFC 6749 §6: absent is the whole grant");
}

#[tokio::test]
async fn a_session_that_is_not_used_ends() {
    let auth = "[auth]\nprovider = \"local\"\naccess_ttl = \"1m\"\nrefresh_ttl = \"2m\"\n";
    let world = World::of(local().auth(auth).with_clock()).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let second = client.renew(&tokens.refresh).await;
    world.server.advance(Duration::from_secs(121));
    assert_eq!(refused(&client.try_renew(&second.refresh).await), invalid_grant());
}

#[tokio::test]
async fn renewing_keeps_what_was_given_over_a_kill() {
    let (world, client, tokens) = logged_in().await;
    let second = client.renew(&tokens.refresh).await;
    let world = world.killed().await;
    assert!(client.is_live(&second.access).await);
    let third = client.renew(&second.refresh).await;
    assert!(client.is_live(&third.access).await);
    drop(world);
}
