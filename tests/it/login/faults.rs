//! A provider that is down, slow, rate-limiting or talking nonsense never costs a person the login.

use std::time::Duration;

use tinymcp_tests::browser::Landing;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::settings::{Claim, Flavour, Settings, Signature};
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::world::{World, behind};

use super::{alice, refused};

/// Faults of the token endpoint.
const FAULTS: [Fault; 6] =
    [Fault::Cut, Fault::Status(500), Fault::Status(503), Fault::TooMany, Fault::Garbage, Fault::Huge];

/// Longer than the provider's tokens live.
const SPENT: Duration = Duration::from_secs(2);

/// Longer than any request of a test may take.
const FOR_EVER: Duration = Duration::from_secs(3600);

async fn failing(provider: &Provider, path: &str, fault: Fault) {
    provider.mend();
    provider.fail(path, fault);
}

/// Waits until people can log in again, which they try as people do.
async fn recovers(client: &OAuthClient) {
    tinymcp_tests::until("a login after the faults", async || {
        tokio::time::sleep(Duration::from_millis(250)).await;
        alice().walk(&client.authorization().url()).await.told().contains_key("code")
    })
    .await;
}

/// A provider whose tokens are over at once, so that every renewal needs it.
async fn short_lived() -> (Provider, World, OAuthClient, Tokens) {
    let provider = Provider::start(Settings { access_seconds: 1, ..Settings::auth0() }).await;
    let world = World::of(behind(&provider).with_clock()).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.server.advance(SPENT);
    (provider, world, client, tokens)
}

/// The answer to somebody who may come again. The renewal may also have been done without the provider.
fn is_temporary(answer: &tinymcp_tests::http::Answer) -> bool {
    if answer.status == 200 {
        return false;
    }
    assert_eq!(refused(answer), (503, "temporarily_unavailable".to_owned()));
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
    true
}

#[tokio::test]
async fn a_renewal_that_the_provider_fails_costs_nothing() {
    let (provider, _world, client, tokens) = short_lived().await;
    let mut refresh = tokens.refresh;
    for fault in FAULTS {
        failing(&provider, "/oauth/token", fault).await;
        let answer = client.try_renew(&refresh).await;
        if !is_temporary(&answer) {
            refresh = Tokens::of(&answer).refresh;
        }
        assert!(client.is_live(&tokens.access).await, "{fault:?}");
    }
    provider.mend();
    let mut renewed = None;
    tinymcp_tests::until("the provider is asked again", async || {
        let answer = client.try_renew(&refresh).await;
        if !is_temporary(&answer) {
            renewed = Some(Tokens::of(&answer));
        }
        renewed.is_some()
    })
    .await;
    assert!(client.is_live(&renewed.unwrap().access).await);
}

#[tokio::test]
async fn a_provider_that_hangs_is_not_waited_for() {
    let (provider, _world, client, tokens) = short_lived().await;
    failing(&provider, "/oauth/token", Fault::Slow(FOR_EVER)).await;
    let answer = client.try_renew(&tokens.refresh).await;
    is_temporary(&answer);
    assert!(client.is_live(&tokens.access).await);
}

/// The answer of the provider may have been lost on the way; then its own overlap is what saves the family.
#[tokio::test]
async fn the_provider_is_asked_once_however_many_ask() {
    let (provider, world, client, tokens) = short_lived().await;
    provider.fail("/oauth/token", Fault::Slow(Duration::from_millis(300)));
    let requests = (0..8).map(|_| {
        let (client, token) = (client.clone(), tokens.refresh.clone());
        tokio::spawn(async move { client.renew(&token).await.refresh })
    });
    let mut answers = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        answers.push(request.await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(provider.token_calls("refresh_token").len(), 1);
    provider.mend();
    world.server.advance(SPENT);
    client.renew(&answers[0]).await;
    let used: Vec<_> = provider
        .token_calls("refresh_token")
        .iter()
        .map(|sent| sent.parameter("refresh_token").unwrap().to_owned())
        .collect();
    assert!(used.len() == 2 && used[0] != used[1], "the rotated token is kept: {used:?}");
}

#[tokio::test]
async fn a_provider_that_does_not_rotate_keeps_its_token() {
    let provider = Provider::start(Settings { access_seconds: 1, rotate: false, ..Settings::auth0() }).await;
    let world = World::of(behind(&provider).with_clock()).await;
    let (client, mut tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    for _ in 0..2 {
        world.server.advance(SPENT);
        tokens = client.renew(&tokens.refresh).await;
    }
    let used = provider.token_calls("refresh_token");
    assert!(used.len() == 2 && used[0].parameter("refresh_token") == used[1].parameter("refresh_token"));
}

#[tokio::test]
async fn the_end_at_the_provider_is_the_end_here() {
    for settings in [Settings::auth0(), Settings::oidc(), Settings::clerk()] {
        let flavour = settings.flavour;
        let provider = Provider::start(Settings { access_seconds: 1, ..settings }).await;
        let world = World::of(behind(&provider).with_clock()).await;
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        provider.lock_out();
        world.server.advance(SPENT);
        let answer = client.try_renew(&tokens.refresh).await;
        assert_eq!(refused(&answer), (400, "invalid_grant".to_owned()), "{flavour:?}");
        assert!(!client.is_live(&tokens.access).await, "{flavour:?}");
        if flavour == Flavour::Auth0 {
            let refusals = provider.token_calls("refresh_token");
            assert_eq!(refusals.last().map(|sent| sent.status), Some(403), "{refusals:?}");
        }
    }
}

#[tokio::test]
async fn an_error_that_is_no_end_is_none() {
    let (provider, _world, client, tokens) = short_lived().await;
    for (status, error) in [(401, "invalid_client"), (403, "access_denied"), (400, "invalid_request"), (400, "unknown")]
    {
        provider.change(|settings| settings.refuses_refresh = Some((status, error.to_owned())));
        let answer = client.try_renew(&tokens.refresh).await;
        if !is_temporary(&answer) {
            break;
        }
    }
    assert!(client.is_live(&tokens.access).await);
}

#[tokio::test]
async fn a_provider_that_is_down_does_not_stop_who_is_logged_in() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    provider.go_down();
    let world = World::launched(world.server.kill()).await;
    assert!(client.is_live(&tokens.access).await);
    provider.mend();
    drop(world);
}

#[tokio::test]
async fn a_code_exchange_that_fails_reaches_the_client() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let client = world.register(Kind::Inspector).await;
    for fault in FAULTS {
        failing(&provider, "/token", fault).await;
        let landing = alice().walk(&client.authorization().url()).await;
        assert!(matches!(landing, Landing::Client(_)), "{fault:?}: {landing:?}");
        let told = landing.told();
        assert!(["temporarily_unavailable", "server_error"].contains(&told["error"].as_str()), "{fault:?}: {told:?}");
        assert!(told.contains_key("iss") && told.contains_key("state") && !told.contains_key("code"), "{told:?}");
        for leak in ["Something is wrong here", "access_token", "127.0.0.1"] {
            assert!(!told["error_description"].contains(leak), "{told:?}");
        }
    }
    provider.mend();
    recovers(&client).await;
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_a_temporary_error() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let client = world.register(Kind::Inspector).await;
    provider.fail("/.well-known/jwks.json", Fault::Status(500));
    let told = alice().walk(&client.authorization().url()).await.told();
    assert!(["temporarily_unavailable", "server_error"].contains(&told["error"].as_str()), "{told:?}");
    provider.mend();
    recovers(&client).await;
}

/// Keys that were fetched once are good while the endpoint fails.
#[tokio::test]
async fn known_keys_outlast_their_endpoint() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    provider.fail("/.well-known/jwks.json", Fault::Cut);
    world.log_in(Kind::ClaudeCode, "alice").await;
}

#[tokio::test]
async fn a_provider_that_comes_late_is_found() {
    let provider = Provider::start(Settings::oidc()).await;
    provider.go_down();
    let site = behind(&provider);
    let base = site.base();
    let server = site.launch().await;
    let client = OAuthClient::register(&base, Kind::Inspector).await;
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/healthz").await.status, 200);
    let mut person = alice();
    let page = person.open(&client.authorization().url()).await.page();
    assert_eq!(page.status, 503, "{page:?}");
    // The client learns of it if the person likes: nobody has approved it yet.
    let told = Landing::Page(page).clicked();
    assert!(told.query().unwrap().starts_with("error=temporarily_unavailable&"), "{told}");
    provider.mend();
    server.ready().await;
    client.log_in(&mut alice()).await;
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_refused_by_name() {
    let provider = Provider::start(Settings::oidc()).await;
    provider.change(|settings| settings.discovery_issuer = Some("https://attacker.example".to_owned()));
    let server = behind(&provider).launch().await;
    let line = server.log.wait_for("https://attacker.example").await;
    assert!(line.contains(&provider.url), "{line}");
    assert_eq!(server.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn a_huge_discovery_document_is_not_read() {
    let provider = Provider::start(Settings::oidc()).await;
    provider.fail("/.well-known/openid-configuration", Fault::Huge);
    let server = behind(&provider).launch().await;
    server.log.wait_for("WARN").await;
    assert_eq!(server.get("/readyz").await.status, 503);
    provider.mend();
    server.ready().await;
}

#[tokio::test]
async fn a_known_provider_may_be_down_at_the_next_start() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    provider.fail("/.well-known/openid-configuration", Fault::Cut);
    let world = world.killed().await;
    world.log_in(Kind::ClaudeCode, "alice").await;
}

/// OpenID Connect Core §12.2: what comes with a renewal is about the same person, and proves it.
#[tokio::test]
async fn a_renewal_that_is_about_somebody_else_is_none() {
    let wrong: [fn(&mut Settings); 6] = [
        |settings| settings.signature = Signature::Foreign,
        |settings| settings.signature = Signature::Symmetric,
        |settings| settings.signature = Signature::None,
        |settings| settings.audience = Claim::Wrong,
        |settings| settings.token_issuer = Claim::Wrong,
        |settings| settings.subject = Claim::Wrong,
    ];
    let usual = Settings { access_seconds: 1, ..Settings::oidc() };
    let provider = Provider::start(usual.clone()).await;
    let world = World::of(behind(&provider).with_clock()).await;
    let mut logins = Vec::new();
    for _ in &wrong {
        logins.push(world.log_in(Kind::ClaudeCode, "alice").await);
    }
    world.server.advance(SPENT);
    for (number, ((client, tokens), change)) in logins.into_iter().zip(wrong).enumerate() {
        provider.change(|settings| {
            *settings = Settings { redirect_uris: settings.redirect_uris.clone(), ..usual.clone() };
            change(settings);
        });
        let answer = client.try_renew(&tokens.refresh).await;
        assert!([400, 503].contains(&answer.status), "{number}: {answer:?}");
    }
}
