//! Each kind of provider, with its habits (facts of Auth0, Clerk and GitHub) and with those of any other.

use std::time::{Duration, Instant};

use serde_json::json;
use tinymcp_tests::browser::page::Page;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Claim, ExpiresIn, Settings, Signature};
use tinymcp_tests::world::{World, behind, every_provider};

use super::alice;

/// A difference of a provider.
type Change = fn(&mut Settings);

#[tokio::test]
async fn people_log_in_at_every_kind_of_provider() {
    for settings in every_provider() {
        let flavour = settings.flavour;
        let provider = Provider::start(settings).await;
        let world = World::with(&provider).await;
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        assert!(client.is_live(&tokens.access).await, "{flavour:?}");
        let renewed = client.renew(&tokens.refresh).await;
        assert!(client.is_live(&renewed.access).await, "{flavour:?}");
        let codes = provider.token_calls("authorization_code");
        assert_eq!(codes.len(), 1, "{flavour:?}");
        let callback = format!("{}auth/callback", world.base);
        assert_eq!(codes[0].parameter("redirect_uri"), Some(callback.as_str()), "{flavour:?}");
        assert!(codes[0].parameter("code_verifier").is_some(), "{flavour:?}");
    }
}

#[tokio::test]
async fn the_consent_page_names_the_provider() {
    for (settings, name) in [(Settings::auth0(), "Auth0"), (Settings::clerk(), "Clerk"), (Settings::github(), "GitHub")]
    {
        let provider = Provider::start(settings).await;
        let world = World::with(&provider).await;
        let client = world.register(Kind::Inspector).await;
        let page = alice().open(&client.authorization().url()).await.page();
        assert!(page.text().contains(name), "{page:?}");
    }
}

#[tokio::test]
async fn auth0_is_asked_for_the_audience_and_for_refresh_tokens() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    let sent = &provider.sent("/authorize")[0];
    assert_eq!(sent.parameter("audience"), Some("https://api.example"));
    let scopes: Vec<_> = sent.parameter("scope").unwrap().split(' ').collect();
    for scope in ["openid", "offline_access"] {
        assert!(scopes.contains(&scope), "{scopes:?}");
    }
}

#[tokio::test]
async fn auth0_without_an_audience_gives_opaque_tokens_which_will_do() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(behind(&provider).variable("AUTH0_AUDIENCE", "")).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await);
    assert_eq!(provider.sent("/authorize")[0].parameter("audience"), None);
}

#[tokio::test]
async fn auth0_without_refresh_tokens_still_gives_a_session() {
    let provider = Provider::start(Settings { allow_offline: false, access_seconds: 1, ..Settings::auth0() }).await;
    let world = World::of(behind(&provider).with_clock()).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.server.advance(Duration::from_secs(2));
    assert!(client.is_live(&tokens.access).await);
    assert!(client.is_live(&client.renew(&tokens.refresh).await.access).await);
    world.server.log.wait_for("Allow Offline Access").await;
}

/// The page of an operator's mistake: what happened, who must act, and the way on for the client.
async fn mistake(world: &World) -> Page {
    let client = world.register(Kind::Inspector).await;
    let page = alice().walk(&client.authorization().url()).await.page();
    assert_eq!(page.status, 502, "{page:?}");
    let (seconds, url) = page.refresh().expect("it leads to the client");
    let told: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert!(seconds >= 3 && told["error"] == "server_error", "{seconds} {told:?}");
    assert!(told.contains_key("iss") && told.contains_key("state"), "{told:?}");
    assert!(page.links().contains(&url.to_string()), "{:?}", page.links());
    page
}

#[tokio::test]
async fn an_audience_that_auth0_does_not_know_is_explained() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(behind(&provider).variable("AUTH0_AUDIENCE", "https://wrong.example")).await;
    let text = mistake(&world).await.text();
    for part in ["AUTH0_AUDIENCE", "Service not found: https://wrong.example"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_wrong_client_secret_is_explained() {
    for (settings, variable) in [
        (Settings::auth0(), "AUTH0_CLIENT_SECRET"),
        (Settings::clerk(), "CLERK_CLIENT_SECRET"),
        (Settings::github(), "GITHUB_CLIENT_SECRET"),
    ] {
        let provider = Provider::start(settings).await;
        let world = World::of(behind(&provider).variable(variable, "a wrong secret")).await;
        let page = mistake(&world).await;
        assert!(page.text().contains(variable), "{page:?}");
        assert!(!page.html.contains("a wrong secret"));
    }
}

#[tokio::test]
async fn a_scope_that_clerk_refuses_is_explained() {
    let provider = Provider::start(Settings::clerk()).await;
    let world = World::of(behind(&provider).variable("CLERK_SCOPES", "openid, profile email")).await;
    let text = mistake(&world).await.text();
    for part in ["openid", "CLERK_SCOPES", "Clerk"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let sent = provider.sent("/oauth/authorize");
    assert_eq!(sent[0].parameter("scope"), Some("openid profile email"));
}

#[tokio::test]
async fn what_a_provider_says_is_quoted_and_never_a_tag() {
    let words = "<script>alert(1)</script><a href=\"https://evil.example\">click</a>";
    let refuses = Some(("invalid_scope".to_owned(), words.to_owned()));
    let provider = Provider::start(Settings { refuses, ..Settings::auth0() }).await;
    let world = World::with(&provider).await;
    let page = mistake(&world).await;
    assert!(!page.html.contains("<script") && !page.links().iter().any(|link| link.contains("evil")), "{}", page.html);
}

#[tokio::test]
async fn clerk_is_asked_for_exactly_its_scopes() {
    for (variable, asked) in
        [(None, "profile email"), (Some("email,profile"), "email profile"), (Some("email"), "email")]
    {
        let provider = Provider::start(Settings::clerk()).await;
        let site = behind(&provider);
        let site = match variable {
            Some(scopes) => site.variable("CLERK_SCOPES", scopes),
            None => site,
        };
        let world = World::of(site).await;
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        assert!(client.is_live(&tokens.access).await);
        let sent = provider.sent("/oauth/authorize");
        assert_eq!(sent[0].parameter("scope"), Some(asked));
        assert_eq!(sent[0].parameter("nonce"), None, "without openid there is nothing that brings it back");
    }
}

#[tokio::test]
async fn clerks_tokens_may_be_opaque_or_jwts() {
    for jwt_access in [false, true] {
        let provider = Provider::start(Settings { jwt_access, ..Settings::clerk() }).await;
        let world = World::with(&provider).await;
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        assert!(client.is_live(&tokens.access).await, "{jwt_access}");
    }
}

/// An id_token is checked once. Its end does not end the session, nor is there another one on refresh.
#[tokio::test]
async fn verifying_clerks_id_token_does_not_end_in_another_login() {
    let mut settings = Settings::clerk();
    settings.scopes.push("openid".to_owned());
    let provider = Provider::start(Settings { access_seconds: 1, ..settings }).await;
    let site =
        behind(&provider).variable("CLERK_SCOPES", "openid profile email").variable("CLERK_VERIFY_ID_TOKEN", "true");
    let world = World::of(site.with_clock()).await;
    let (client, mut tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    for _ in 0..3 {
        world.server.advance(Duration::from_secs(2));
        tokens = client.renew(&tokens.refresh).await;
        assert!(client.is_live(&tokens.access).await);
    }
    assert!(!provider.token_calls("refresh_token").is_empty(), "{}", provider.transcript());
}

#[tokio::test]
async fn verifying_an_id_token_that_is_not_there_is_a_failure() {
    let mut settings = Settings::clerk();
    settings.scopes.push("openid".to_owned());
    let provider = Provider::start(Settings { omits_id_token: true, ..settings }).await;
    let site =
        behind(&provider).variable("CLERK_SCOPES", "openid profile email").variable("CLERK_VERIFY_ID_TOKEN", "true");
    let world = World::of(site).await;
    let client = world.register(Kind::Inspector).await;
    let told = alice().walk(&client.authorization().url()).await.told();
    assert!(told["error"] == "server_error" && !told.contains_key("code"), "{told:?}");
}

#[tokio::test]
async fn github_people_are_numbers_and_their_verified_address_counts() {
    let provider = Provider::start(Settings::github()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await);
    provider.change(|settings| {
        settings.accounts.insert("bob".to_owned(), Account::of("bob").unverified());
    });
    let landing = tinymcp_tests::browser::Browser::of("bob").walk(&client.authorization().url()).await;
    assert!((400..500).contains(&landing.page().status));
}

#[tokio::test]
async fn a_provider_of_the_configuration_needs_no_code() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::Cursor, "alice").await;
    assert!(client.is_live(&tokens.access).await);
    assert!(provider.token_calls("authorization_code")[0].header("authorization").starts_with("Basic "));
}

#[tokio::test]
async fn answers_may_be_poorer_than_the_specifications_want() {
    let odd: [Change; 5] = [
        |settings| settings.expires_in = ExpiresIn::Text,
        |settings| settings.expires_in = ExpiresIn::Absent,
        |settings| settings.omits_scope = true,
        |settings| settings.rotate = false,
        |settings| settings.extra_audience = vec!["https://api.example".to_owned()],
    ];
    for settings in [Settings::auth0(), Settings::oidc()] {
        let provider = Provider::start(settings.clone()).await;
        let world = World::with(&provider).await;
        for (number, change) in odd.iter().enumerate() {
            let callbacks = std::cell::RefCell::new(Vec::new());
            provider.change(|current| {
                *callbacks.borrow_mut() = current.redirect_uris.clone();
                *current = settings.clone();
                change(current);
                current.redirect_uris = callbacks.take();
            });
            let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
            assert!(client.is_live(&tokens.access).await, "{number}");
            client.renew(&tokens.refresh).await;
        }
    }
}

/// OpenID Connect Core §3.1.3.7, RFC 9207 §2.4: whatever is wrong with who somebody is, nobody is logged in.
#[tokio::test]
async fn an_identity_that_does_not_check_out_is_no_login() {
    let wrong: [(&str, Change); 12] = [
        ("issuer", |settings| settings.token_issuer = Claim::Wrong),
        ("no issuer", |settings| settings.token_issuer = Claim::Missing),
        ("audience", |settings| settings.audience = Claim::Wrong),
        ("no audience", |settings| settings.audience = Claim::Missing),
        ("nonce", |settings| settings.nonce = Claim::Wrong),
        ("no nonce", |settings| settings.nonce = Claim::Missing),
        ("subject is a number", |settings| settings.subject = Claim::Wrong),
        ("no subject", |settings| settings.subject = Claim::Missing),
        ("foreign key", |settings| settings.signature = Signature::Foreign),
        ("HS256 with the secret", |settings| settings.signature = Signature::Symmetric),
        ("alg none", |settings| settings.signature = Signature::None),
        ("callback iss", |settings| settings.callback_issuer = Claim::Wrong),
    ];
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let client = world.register(Kind::Inspector).await;
    for (what, change) in wrong {
        provider.change(|settings| {
            let callbacks = settings.redirect_uris.clone();
            *settings = Settings { redirect_uris: callbacks, ..Settings::oidc() };
            change(settings);
        });
        let told = alice().walk(&client.authorization().url()).await.told();
        assert!(told["error"] == "server_error" && !told.contains_key("code"), "{what}: {told:?}");
        assert!(told.contains_key("iss") && told.contains_key("state"), "{what}: {told:?}");
    }
    provider.change(|settings| settings.callback_issuer = Claim::Missing);
    let told = alice().walk(&client.authorization().url()).await.told();
    assert_eq!(told["error"], "server_error", "it was promised in discovery");
}

#[tokio::test]
async fn clocks_may_differ_a_little() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    for seconds in [-50, 50] {
        provider.change(|settings| settings.skew_seconds = seconds);
        world.log_in(Kind::ClaudeCode, "alice").await;
    }
    provider.change(|settings| settings.skew_seconds = -4000);
    let client = world.register(Kind::Inspector).await;
    assert_eq!(alice().walk(&client.authorization().url()).await.told()["error"], "server_error");
}

#[tokio::test]
async fn keys_that_rotate_are_fetched_and_not_for_every_login() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    for _ in 0..3 {
        world.log_in(Kind::ClaudeCode, "alice").await;
    }
    assert_eq!(provider.sent("/.well-known/jwks.json").len(), 1);
    provider.change(|settings| settings.keys = vec!["second", "first"]);
    world.log_in(Kind::ClaudeCode, "alice").await;
    provider.change(|settings| settings.keys = vec!["second"]);
    world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(provider.sent("/.well-known/jwks.json").len(), 2);
    assert_eq!(provider.key_set()["keys"][0]["kid"], json!("second"));
}

#[tokio::test]
async fn a_wrong_domain_is_explained_soon() {
    let provider = Provider::start(Settings::auth0()).await;
    provider.fail("/.well-known/openid-configuration", tinymcp_tests::provider::Fault::Status(404));
    let site = behind(&provider);
    let base = site.base();
    let server = site.launch().await;
    let client = tinymcp_tests::oauth::OAuthClient::register(&base, Kind::Inspector).await;
    let mut alice = alice();
    let page = alice.open(&client.authorization().url()).await.page();
    let began = Instant::now();
    let page = if page.asks_for_consent() { alice.decide(&page, "approve").await.page() } else { page };
    // The page waits ten seconds at most, and a busy machine some more.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(page.status == 502 || page.status == 503, "{page:?}");
    assert!(page.text().contains("AUTH0_DOMAIN"), "{page:?}");
    assert_eq!(server.get("/readyz").await.status, 503);
}

/// A person pasted the provider's client id into their editor.
#[tokio::test]
async fn the_providers_own_client_id_gets_its_own_page() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let client =
        tinymcp_tests::oauth::OAuthClient::known(&world.base, "upstream-client-id", Kind::Cursor.redirect_uri());
    let page = alice().open(&client.authorization().url()).await.page();
    assert_eq!((page.status, page.refresh()), (400, None), "{page:?}");
    let text = page.text();
    for part in ["Auth0", "mcpServers", &format!("{}mcp", world.base)] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
