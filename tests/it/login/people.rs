//! `[auth] allow`: who may log in at all.

use tinymcp_tests::browser::Browser;
use tinymcp_tests::browser::page::Page;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Settings};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, behind};

/// A server at which these may log in.
async fn allowing(provider: &Provider, allow: &str) -> World {
    let auth = format!(
        "[auth]\nprovider = \"auth0\"\nallow = {allow}\n[auth.providers.auth0]\ndiscovery = \"{}\"\n",
        provider.discovery()
    );
    World::of(behind(provider).auth(&auth)).await
}

/// Tells whether somebody gets in; if not, with the page that says so.
async fn enters(world: &World, name: &str) -> Result<(), Page> {
    let client = world.register(Kind::Inspector).await;
    let landing = Browser::of(name).walk(&client.authorization().url()).await;
    match landing {
        tinymcp_tests::browser::Landing::Page(page) => Err(page),
        tinymcp_tests::browser::Landing::Client(url) => {
            assert!(url.query().unwrap().contains("code="), "{url}");
            Ok(())
        }
    }
}

#[tokio::test]
async fn an_address_a_domain_a_subject_or_an_organization_lets_in() {
    let provider = Provider::start(Settings::auth0()).await;
    provider.change(|settings| {
        settings
            .accounts
            .insert("bob".to_owned(), Account { email: Some("bob@other.example".to_owned()), ..Account::of("bob") });
    });
    for (allow, alice, bob) in [
        ("[]", true, true),
        ("[\"alice@example.com\"]", true, false),
        ("[\"ALICE@Example.COM\"]", true, false),
        ("[\"*@example.com\"]", true, false),
        ("[\"*@other.example\"]", false, true),
        ("[\"sub:auth0|bob\"]", false, true),
        ("[\"*@example.com\", \"bob@other.example\"]", true, true),
        ("[\"*@ple.com\"]", false, false),
    ] {
        let world = allowing(&provider, allow).await;
        assert_eq!(enters(&world, "alice").await.is_ok(), alice, "{allow}");
        assert_eq!(enters(&world, "bob").await.is_ok(), bob, "{allow}");
    }
}

#[tokio::test]
async fn whoever_may_not_gets_a_page_that_says_so_and_whom_to_ask() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = allowing(&provider, "[\"*@other.example\"]").await;
    let page = enters(&world, "alice").await.unwrap_err();
    assert!((400..500).contains(&page.status), "{page:?}");
    let text = page.text();
    assert!(text.contains("alice@example.com"), "{text}");
    for leak in ["other.example", "auth.allow = "] {
        assert!(!text.contains(leak), "{leak}: {text}");
    }
    // The client learns it, too.
    let (_, url) = page.refresh().expect("the page leads to the client");
    let told: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(told["error"], "access_denied", "{told:?}");
    assert!(told.contains_key("state") && told.contains_key("iss"), "{told:?}");
}

#[tokio::test]
async fn an_address_that_is_not_verified_lets_nobody_in() {
    let provider = Provider::start(Settings::auth0()).await;
    provider.change(|settings| {
        settings.accounts.insert("alice".to_owned(), Account::of("alice").unverified());
    });
    let world = allowing(&provider, "[\"alice@example.com\"]").await;
    let page = enters(&world, "alice").await.unwrap_err();
    assert!(page.text().to_lowercase().contains("verif"), "{page:?}");
}

#[tokio::test]
async fn an_address_that_looks_like_another_is_another() {
    let provider = Provider::start(Settings::auth0()).await;
    for (name, email) in [
        ("a", "alice@example.com.evil.example"),
        ("b", "alice@evil.example?@example.com.x"),
        ("c", "alice@EXAMPLE.com@evil.example"),
        ("d", "\"alice@example.com\"@evil.example"),
        ("e", ""),
        ("f", "alice@exаmple.com"),
    ] {
        provider.change(|settings| {
            settings.accounts.insert(name.to_owned(), Account { email: Some(email.to_owned()), ..Account::of(name) });
        });
    }
    let world = allowing(&provider, "[\"*@example.com\"]").await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert!(enters(&world, name).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn whoever_is_taken_off_the_list_loses_what_they_have() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = allowing(&provider, "[\"*@example.com\"]").await;
    let (client, tokens) = world.log_in(Kind::Inspector, "alice").await;
    let site = world.server.kill();
    let auth = format!(
        "[auth]\nprovider = \"auth0\"\nallow = [\"bob@example.com\"]\n[auth.providers.auth0]\ndiscovery = \"{}\"\n",
        provider.discovery()
    );
    let world = World::of(site.auth(&auth)).await;
    let answer = client.try_renew(&tokens.refresh).await;
    assert_eq!(answer.oauth_error(), (400, "invalid_grant".to_owned()));
    assert!(!client.is_live(&tokens.access).await);
    drop(world);
}

/// `tinymcp dev` and `tinymcp serve` share a directory: whoever made up a name in the one is nobody in the other.
#[tokio::test]
async fn sessions_of_another_provider_end() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(behind(&provider).auth("[auth]\nprovider = \"local\"\n")).await;
    let (client, tokens) = world.log_in(Kind::Inspector, "auth0|alice").await;
    let auth = format!(
        "[auth]\nprovider = \"auth0\"\nallow = [\"sub:auth0|alice\"]\n[auth.providers.auth0]\ndiscovery = \"{}\"\n",
        provider.discovery()
    );
    let world = World::of(world.server.kill().auth(&auth)).await;
    assert!(!client.is_live(&tokens.access).await);
    assert_eq!(client.try_renew(&tokens.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
    assert!(enters(&world, "alice").await.is_ok());
}

#[test]
fn where_anybody_can_sign_up_a_list_is_demanded() {
    for provider in ["google", "github", "discord"] {
        let upper = provider.to_uppercase();
        let site = Site::new()
            .auth(&format!("[auth]\nprovider = \"{provider}\"\n"))
            .variable(&format!("{upper}_CLIENT_ID"), "id")
            .variable(&format!("{upper}_CLIENT_SECRET"), "secret");
        let finished = site.refusal();
        assert_eq!(finished.code, 2, "{provider}: {finished:?}");
        assert!(finished.stderr.contains("auth.allow"), "{provider}: {finished:?}");
    }
}
