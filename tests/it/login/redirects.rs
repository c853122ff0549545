//! Redirect URIs: byte for byte, but for loopback (RFC 6749 §3.1.2, RFC 8252 §7.3, RFC 9700 §2.1).

use serde_json::json;
use tinymcp_tests::browser::Browser;
use tinymcp_tests::oauth::{Kind, OAuthClient, register};
use tinymcp_tests::world::{World, local};

use super::{alice, refused};

/// Tells whether `/authorize` takes a URI from a client that registered another.
async fn takes(world: &World, registered: &str, offered: &str) -> bool {
    let answer = register(&world.base, &json!({ "redirect_uris": [registered] })).await;
    assert_eq!(answer.status, 201, "{registered}: {answer:?}");
    let id = answer.json()["client_id"].as_str().unwrap().to_owned();
    let client = OAuthClient::known(&world.base, &id, offered);
    let page = Browser::of("alice").open(&client.authorization().url()).await.page();
    if page.asks_for_consent() {
        return true;
    }
    assert_eq!(page.status, 400, "{registered} {offered}: {page:?}");
    assert_eq!(page.refresh(), None, "a page, and nothing that leads away");
    false
}

#[tokio::test]
async fn on_loopback_the_port_and_the_spelling_of_the_host_are_free() {
    let world = World::local().await;
    for (registered, offered) in [
        ("http://localhost:3118/callback", "http://localhost:3118/callback"),
        ("http://localhost:3118/callback", "http://localhost:50999/callback"),
        ("http://localhost:3118/callback", "http://127.0.0.1:50999/callback"),
        ("http://localhost:3118/callback", "http://[::1]:50999/callback"),
        ("http://localhost:3118/callback", "http://localhost/callback"),
        ("http://localhost/callback", "http://localhost:1/callback"),
        ("http://127.0.0.1/", "http://127.0.0.1:50999/"),
        ("http://127.0.0.1/", "http://127.0.0.1:50999"),
        ("http://localhost", "http://localhost:65535/"),
        ("http://[::1]:9/cb?a=b", "http://127.0.0.1:10/cb?a=b"),
    ] {
        assert!(takes(&world, registered, offered).await, "{registered} {offered}");
    }
}

#[tokio::test]
async fn on_loopback_everything_else_is_exact() {
    let world = World::local().await;
    let registered = "http://localhost:3118/callback";
    for offered in [
        "https://localhost:3118/callback",
        "http://localhost:3118/callback/",
        "http://localhost:3118/Callback",
        "http://localhost:3118/callback/../callback",
        "http://localhost:3118/callback?a=b",
        "http://localhost:3118/callback?",
        "http://localhost:3118/callback#f",
        "http://localhost:3118/callback%2f",
        "http://localhost:0/callback",
        "http://localhost:65536/callback",
        "http://localhost:/callback",
        "http://LOCALHOST.evil.example:3118/callback",
        "http://localhost.:3118/callback",
        "http://127.0.0.2:3118/callback",
        "http://127.1:3118/callback",
        "http://2130706433:3118/callback",
        "http://0x7f.0.0.1:3118/callback",
        "http://0.0.0.0:3118/callback",
        "http://[::ffff:127.0.0.1]:3118/callback",
        "http://[0:0:0:0:0:0:0:1]:3118/callback",
        "http://user@localhost:3118/callback",
        "http://localhost@evil.example/callback",
        "http://localhost\\@evil.example/callback",
        "http://localhost:3118\\.evil.example/callback",
        "http:localhost:3118/callback",
        "http://lоcalhost:3118/callback",
        " http://localhost:3118/callback",
        "http://localhost:3118/callback\n",
        "http://local\thost:3118/callback",
    ] {
        assert!(!takes(&world, registered, offered).await, "{offered:?}");
    }
}

#[tokio::test]
async fn away_from_loopback_it_is_byte_for_byte() {
    let world = World::local().await;
    let registered = "https://client.example/cb?a=b";
    assert!(takes(&world, registered, registered).await);
    for offered in [
        "https://client.example/cb",
        "https://client.example/cb?a=b&c=d",
        "https://client.example:443/cb?a=b",
        "https://client.example:8443/cb?a=b",
        "https://CLIENT.example/cb?a=b",
        "https://client.example/cb/?a=b",
        "https://client.example.evil.example/cb?a=b",
        "https://client.example/%63b?a=b",
        "http://client.example/cb?a=b",
        "https://client.example/cb?a=b#",
        "https://evil.example/cb?a=b",
    ] {
        assert!(!takes(&world, registered, offered).await, "{offered}");
    }
    assert!(!takes(&world, "cursor://anysphere.cursor-mcp/oauth/callback", "cursor://evil/oauth/callback").await);
}

#[tokio::test]
async fn a_query_that_was_registered_stays_and_ours_replaces_its_like() {
    let world = World::local().await;
    let uri = "https://client.example/cb?a=b&code=old&state=old&iss=old&error=old";
    let answer = register(&world.base, &json!({ "redirect_uris": [uri] })).await;
    let client = OAuthClient::known(&world.base, answer.json()["client_id"].as_str().unwrap(), uri);
    let landing = Browser::of("alice").walk(&client.authorization().url()).await;
    let url = landing.client();
    let values = |name: &str| {
        url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values("a"), ["b"]);
    for name in ["code", "state", "iss"] {
        assert!(values(name).len() == 1 && values(name)[0] != "old", "{name}: {url}");
    }
    assert!(!values("error").contains(&"old".to_owned()), "{url}");
}

#[tokio::test]
async fn a_redirect_uri_must_be_given() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    for authorization in
        [client.authorization().without("redirect_uri"), client.authorization().set("redirect_uri", "")]
    {
        let page = Browser::of("alice").open(&authorization.url()).await.page();
        assert_eq!((page.status, page.refresh()), (400, None), "{page:?}");
    }
}

#[tokio::test]
async fn the_code_goes_to_the_port_at_which_the_client_waits() {
    let world = World::local().await;
    let mut client = world.register(Kind::ClaudeCode).await;
    client.redirect_uri = "http://127.0.0.1:50777/callback".to_owned();
    let landing = Browser::of("alice").walk(&client.authorization().url()).await;
    assert!(landing.client().as_str().starts_with("http://127.0.0.1:50777/callback?"));
}

#[tokio::test]
async fn a_private_scheme_is_opened_by_a_link_and_without_a_script() {
    let world = World::local().await;
    let client = world.register(Kind::Cursor).await;
    let authorization = client.authorization();
    let page = Browser::of("alice").walk(&authorization.url()).await.page();
    let (seconds, url) = page.refresh().expect("it leads on by itself");
    assert!(page.status == 200 && seconds <= 3, "{page:?}");
    assert!(url.as_str().starts_with("cursor://anysphere.cursor-mcp/oauth/callback?"), "{url}");
    assert!(page.links().contains(&url.to_string()), "{:?}", page.links());
    assert!(!page.elements().contains(&"script".to_owned()), "{}", page.html);
    assert!(page.text().contains("Cursor"), "{page:?}");
    let code = OAuthClient::take(&authorization, tinymcp_tests::browser::Landing::Page(page));
    assert!(client.is_live(&client.redeem(&code).await.access).await);
}

/// A client that registered one URI.
async fn registered(world: &World, uri: &str) -> OAuthClient {
    let answer = register(&world.base, &json!({ "client_name": "An app", "redirect_uris": [uri] })).await;
    assert_eq!(answer.status, 201, "{uri}: {answer:?}");
    OAuthClient::known(&world.base, answer.json()["client_id"].as_str().unwrap(), uri)
}

#[tokio::test]
async fn applications_that_are_known_by_name_are_opened_after_the_approval() {
    let world = World::local().await;
    for (uri, name) in [
        ("warp://mcp/oauth2callback", "Warp"),
        ("raycast://oauth?package_name=Extension", "Raycast"),
        ("com.raycast:/oauth?package_name=Extension", "Raycast"),
        ("vscodium://vendor.extension/cb", "VSCodium"),
        ("VSCode://vendor.extension/cb", "Visual Studio Code"),
    ] {
        let client = registered(&world, uri).await;
        let authorization = client.authorization();
        let page = alice().walk(&authorization.url()).await.page();
        assert!(page.text().contains(&format!("Open {name}")), "{page:?}");
        assert!(page.refresh().is_some_and(|(seconds, _)| seconds <= 3), "{page:?}");
        let code = OAuthClient::take(&authorization, tinymcp_tests::browser::Landing::Page(page));
        client.redeem(&code).await;
    }
}

#[tokio::test]
async fn an_application_that_nobody_knows_is_opened_by_a_click_alone() {
    let provider = tinymcp_tests::provider::Provider::start(tinymcp_tests::provider::settings::Settings::oidc()).await;
    let world = World::with(&provider).await;
    for uri in ["myapp://oauth/callback", "com.example.app:/callback", "app.contextmcp://oauth/callback", "my+app-2:cb"]
    {
        let client = registered(&world, uri).await;
        let authorization = client.authorization();
        // Success.
        let url = alice().walk(&authorization.url()).await.clicked();
        assert!(url.as_str().starts_with(&format!("{uri}?code=")), "{url}");
        let code = OAuthClient::take(&authorization, tinymcp_tests::browser::Landing::Client(url));
        client.redeem(&code).await;
        // Denial, here and at the provider.
        let url = Browser::denying("alice").walk(&client.authorization().url()).await.clicked();
        assert!(url.as_str().starts_with(&format!("{uri}?error=access_denied&")), "{url}");
        let mut alice = alice();
        alice.logs_in = false;
        let url = alice.walk(&client.authorization().url()).await.clicked();
        assert!(url.as_str().starts_with(&format!("{uri}?error=access_denied&")), "{url}");
        // An error that the client is told of, and one that the person is.
        provider.fail("/token", tinymcp_tests::provider::Fault::Status(500));
        let url = alice_again(&client).await.clicked();
        assert!(url.query().unwrap().starts_with("error="), "{url}");
        provider.mend();
    }
}

async fn alice_again(client: &OAuthClient) -> tinymcp_tests::browser::Landing {
    alice().walk(&client.authorization().url()).await
}

#[tokio::test]
async fn schemes_on_which_browsers_or_systems_act_cannot_be_registered() {
    let world = World::local().await;
    for uri in [
        "javascript:alert(1)",
        "JaVaScript://%0aalert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "javascript\n:alert(1)",
        "\u{1}javascript:alert(1)",
        "vbscript:x",
        "data:text/html,x",
        "file:///etc/passwd",
        "blob:https://a.example/x",
        "filesystem:https://a.example/x",
        "about:blank",
        "view-source:javascript:alert(1)",
        "VIEW-SOURCE:https://a.example",
        "intent://a#Intent;end",
        "intent://a/;S.browser_fallback_url=https://evil.example;end",
        "ms-settings:privacy",
        "ms-anything-at-all://x",
        "search-ms:query=x",
        "x-apple.systempreferences:x",
        "x-apple-anything://x",
        "itms-services://?action=download-manifest",
        "itms-apps://x",
        "chrome://settings",
        "chrome-extension://x/y",
        "moz-extension://x/y",
        "mailto:a@b.example",
        "tel:1",
        "sms:1",
        "ws://a.example",
        "wss://a.example",
        "ftp://a.example",
        "smb://a.example/x",
        "ssh://a.example",
        "git://a.example/x",
        "jar:file:///x!/y",
        "shell:startup",
        "web+mcp://x",
        "c:/x",
        "spotify:x",
        "coap+tcp://x",
        "z39.50r://x",
        "urn:ietf:wg:oauth:2.0:oob",
    ] {
        let answer = register(&world.base, &json!({ "redirect_uris": [uri] })).await;
        assert_eq!(refused(&answer), (400, "invalid_redirect_uri".to_owned()), "{uri:?}");
    }
    // One among others costs itself.
    let both = json!({ "redirect_uris": ["javascript:alert(1)", "myapp://cb"] });
    assert_eq!(register(&world.base, &both).await.json()["redirect_uris"], json!(["myapp://cb"]));
}

fn schemes(rules: &str) -> String {
    format!("[auth]\nprovider = \"local\"\nredirect_schemes = [{rules}]\n")
}

#[tokio::test]
async fn an_operator_widens_and_narrows_the_schemes() {
    let world = World::of(local().auth(&schemes("\"Spotify\", \"!zed\", \"!com.example.app\""))).await;
    let takes =
        async |world: &World, uri: &str| register(&world.base, &json!({ "redirect_uris": [uri] })).await.status == 201;
    assert!(
        takes(&world, "spotify://cb").await && takes(&world, "cursor://cb").await && takes(&world, "myapp:cb").await
    );
    assert!(!takes(&world, "zed://cb").await && !takes(&world, "com.example.app:/cb").await);
    assert!(!takes(&world, "javascript:alert(1)").await && !takes(&world, "steam://cb").await);
    // What was registered before it was refused is not good any more, in the middle of a login either.
    let client = registered(&world, "myapp://cb").await;
    let mut alice = alice();
    let login = alice.open(&client.authorization().url()).await.page();
    let login = alice.decide(&login, "approve").await.page();
    std::fs::write(world.server.site().path().join("tinymcp.toml"), schemes("\"!*\", \"cursor\"")).unwrap();
    tinymcp_tests::until("the narrower rule", async || !takes(&world, "windsurf://cb").await).await;
    assert!(takes(&world, "cursor://cb").await && takes(&world, "https://a.example/cb").await);
    let page = alice.log_in(&login).await.page();
    assert_eq!((page.status, page.refresh(), page.way_back()), (403, None, None), "{page:?}");
    assert_eq!(alice.open(&client.authorization().url()).await.page().status, 400);
}
