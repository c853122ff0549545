//! `/authorize` (RFC 6749 §4.1.1, RFC 7636 §4.3): before client and redirect URI are proved errors are pages, afterwards they go to
//! the client.

use std::collections::HashMap;

use tinymcp_tests::browser::page::Page;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::http::{Request, content_type};
use tinymcp_tests::oauth::{Authorization, Kind, OAuthClient};
use tinymcp_tests::world::{World, local};

use super::alice;

async fn client(world: &World) -> OAuthClient {
    world.register(Kind::Inspector).await
}

/// The page at which an authorization ends.
async fn page(authorization: Authorization) -> Page {
    let page = alice().open(&authorization.url()).await.page();
    assert_eq!((page.status, page.refresh(), page.asks_for_consent()), (400, None, false), "{page:?}");
    page
}

/// The error that the client is told, when a person follows the link: nobody has approved it.
async fn told(client: &OAuthClient, authorization: Authorization) -> String {
    let has_state = authorization.parameters.iter().any(|(name, _)| name == "state");
    let page = alice().open(&authorization.url()).await.page();
    assert_eq!((page.status, page.header("location")), (400, ""), "{page:?}");
    let url = Landing::Page(page).clicked();
    assert!(url.as_str().starts_with(&format!("{}?", client.redirect_uri)), "{url}");
    let told: HashMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(told["iss"], client.base.as_str().trim_end_matches('/'), "{told:?}");
    assert_eq!(told.get("state"), has_state.then_some(&authorization.state), "{told:?}");
    assert!(told.contains_key("error_description") && !told.contains_key("code"), "{told:?}");
    told["error"].clone()
}

#[tokio::test]
async fn a_good_request_is_asked_about() {
    let world = World::local().await;
    let client = client(&world).await;
    let page = alice().open(&client.authorization().url()).await.page();
    assert!(page.status == 200 && page.asks_for_consent(), "{page:?}");
    assert_eq!(content_type(&page.headers), "text/html");
    for part in ["MCP Inspector", "localhost:6274"] {
        assert!(page.text().contains(part), "{part}: {page:?}");
    }
}

#[tokio::test]
async fn an_unknown_client_gets_a_page_that_says_what_to_do() {
    let world = World::local().await;
    let client = client(&world).await;
    for id in ["unknown", "", "a b", "<script>", "https://", "tmcp_client_xxxx"] {
        let page = page(client.authorization().set("client_id", id)).await;
        assert!(!page.html.contains("<script>"), "{}", page.html);
    }
    page(client.authorization().without("client_id")).await;
    let text = page(client.authorization().set("client_id", "unknown")).await.text();
    for part in ["Client Not Registered", "Cursor", "Claude Code", "mcp-remote"] {
        assert!(text.to_lowercase().contains(&part.to_lowercase()), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_url_that_can_be_no_clients_id_is_told_why() {
    let world = World::local().await;
    let client = client(&world).await;
    for (id, rule) in [
        ("https://app.example/", "it has no path"),
        ("https://app.example:22/c", "it has a port"),
        ("https://127.0.0.1/c", "its host is an address"),
        ("http://app.example/c", "it does not begin with"),
        ("https://app.example/c#f", "it has a fragment"),
    ] {
        let text = page(client.authorization().set("client_id", id)).await.text();
        assert!(text.contains(rule) && !text.contains("Client Not Registered"), "{id}: {text}");
    }
}

#[tokio::test]
async fn a_program_gets_the_same_in_json() {
    let world = World::local().await;
    let client = client(&world).await;
    let url = client.authorization().set("client_id", "unknown").url().parse().unwrap();
    let answer = Request::to(&url, "GET").header("accept", "application/json").send().await;
    assert_eq!((answer.status, content_type(&answer.headers)), (400, "application/json"), "{answer:?}");
    let body = answer.json();
    assert!(
        body["error"].is_string() && body["error_description"].is_string() && body["reference"].is_string(),
        "{body}"
    );
}

#[tokio::test]
async fn a_redirect_uri_that_is_not_registered_is_a_page_with_both_values() {
    let world = World::local().await;
    let client = client(&world).await;
    let page = page(client.authorization().set("redirect_uri", "https://evil.example/cb")).await;
    assert!(page.text().contains("evil.example") && page.text().contains("localhost/oauth/callback"), "{page:?}");
    assert!(!page.links().iter().any(|link| link.contains("evil.example")), "{:?}", page.links());
}

/// The same with another state, of which JSON and quotes have to fit into 4 KiB.
fn with_state(mut authorization: Authorization, state: &str) -> Authorization {
    state.clone_into(&mut authorization.state);
    authorization.set("state", state)
}

#[tokio::test]
async fn later_errors_go_to_the_client_with_state_and_issuer() {
    let world = World::local().await;
    let client = client(&world).await;
    let good = || client.authorization();
    for (authorization, error) in [
        (good().set("response_type", "token"), "unsupported_response_type"),
        (good().without("response_type"), "invalid_request"),
        (good().without("code_challenge"), "invalid_request"),
        (good().set("code_challenge", "short"), "invalid_request"),
        (good().set("code_challenge", &"a".repeat(44)), "invalid_request"),
        (good().set("code_challenge", &format!("{}=", "a".repeat(42))), "invalid_request"),
        (good().set("code_challenge_method", "plain"), "invalid_request"),
        (good().set("code_challenge_method", "s256"), "invalid_request"),
        (good().without("code_challenge_method"), "invalid_request"),
        (good().set("resource", "https://other.example/mcp"), "invalid_target"),
        (good().set("resource", "not a url"), "invalid_target"),
        (good().without("code_challenge").without("state"), "invalid_request"),
        (with_state(good(), &"s".repeat(4096)), "invalid_request"),
        (with_state(good(), &"\u{1}".repeat(700)), "invalid_request"),
    ] {
        let parameters = authorization.parameters.clone();
        assert_eq!(told(&client, authorization).await, error, "{parameters:?}");
    }
}

/// RFC 9700 §4.11.2: before a person has approved it, a client that says itself who it is cannot make this server lead
/// anybody anywhere.
#[tokio::test]
async fn errors_lead_to_no_client_that_nobody_has_approved() {
    let world = World::of(local().config("[auth.clients.ci]\nredirect_uris = [\"https://ci.example/cb\"]\n")).await;
    let bad = |client: &OAuthClient| client.authorization().set("response_type", "token");
    for uri in
        ["https://evil.example/cb", "http://localhost:6274/cb", "cursor://a/cb", "myapp://cb", "com.example.app:/cb"]
    {
        let body = serde_json::json!({ "client_name": "Google", "redirect_uris": [uri] });
        let answer = tinymcp_tests::oauth::register(&world.base, &body).await;
        let client = OAuthClient::known(&world.base, answer.json()["client_id"].as_str().unwrap(), uri);
        for authorization in [bad(&client), client.authorization().set("prompt", "none")] {
            let page = alice().open(&authorization.url()).await.page();
            assert_eq!(page.status, 400, "{page:?}");
            assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{page:?}");
            assert!(page.html.contains("rel=\"noopener noreferrer nofollow\""), "{}", page.html);
            let url = Landing::Page(page).clicked();
            assert!(url.as_str().starts_with(&format!("{uri}?error=")), "{url}");
        }
        // A program that does not ask for a page is not led there either.
        let answer = Request::to(&bad(&client).url().parse().unwrap(), "GET").send().await;
        assert_eq!((answer.status, answer.header("location"), answer.header("refresh")), (400, "", ""), "{answer:?}");
    }
    // The operator knows this one.
    let declared = OAuthClient::known(&world.base, "ci", "https://ci.example/cb");
    let url = alice().open(&bad(&declared).url()).await.client();
    assert!(url.as_str().starts_with("https://ci.example/cb?error=unsupported_response_type"), "{url}");
}

/// RFC 6749 §3.1: parameters must not be included more than once.
#[tokio::test]
async fn repeated_parameters_are_refused() {
    let world = World::local().await;
    let client = client(&world).await;
    for name in ["client_id", "redirect_uri"] {
        let value = client.authorization().parameters.iter().find(|(key, _)| key == name).unwrap().1.clone();
        page(client.authorization().also(name, &value)).await;
        page(client.authorization().also(name, "https://evil.example/cb")).await;
    }
    for name in ["state", "scope", "code_challenge", "response_type"] {
        let landing = alice().open(&client.authorization().set(name, "x").also(name, "y").url()).await;
        let url = landing.clicked();
        assert!(url.query_pairs().any(|pair| pair == ("error".into(), "invalid_request".into())), "{name}: {url}");
    }
    let twice = client.authorization().set("prompt", "consent").also("prompt", "consent");
    assert!(alice().open(&twice.url()).await.page().asks_for_consent(), "VS Code sends it twice");
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let world = World::local().await;
    let client = client(&world).await;
    let authorization = client.authorization().set("prompt", "consent").set("login_hint", "a@b.example").set("x", "y");
    client.redeem(&client.code_of(authorization, &mut alice()).await).await;
}

#[tokio::test]
async fn state_comes_back_byte_for_byte_or_not_at_all() {
    let world = World::local().await;
    let client = client(&world).await;
    for state in ["a b+c&d=e%20/?#\"'<>\\", "ünïcödé 🦀", &"s".repeat(4000), "{\"json\":[1,2]}"] {
        let mut authorization = client.authorization().set("state", state);
        state.clone_into(&mut authorization.state);
        client.code_of(authorization, &mut alice()).await;
    }
    let code = client.code_of(client.authorization().without("state"), &mut alice()).await;
    assert_eq!(code.told.get("state"), None);
}

/// Clients that put base64 into a URL as it is, and clients that write spaces as `+`.
#[tokio::test]
async fn a_plus_in_a_state_comes_back_as_the_client_means_it() {
    let world = World::local().await;
    for kind in [Kind::ClaudeCode, Kind::Cursor] {
        let client = world.register(kind).await;
        for (raw, expected) in [
            ("ab+/cd+=", "ab%2B%2Fcd%2B%3D"),
            ("ab%2B%2Fcd%2b%3D", "ab%2B%2Fcd%2B%3D"),
            ("ab+cd", "ab%20cd"),
            ("ab%20d", "ab%20d"),
            ("{a}+%2B%22", "%7Ba%7D%20%2B%22"),
        ] {
            let query = client.authorization().without("state").url();
            let url = format!("{query}&state={raw}");
            let alias = url.replacen("http://localhost:", "http://127.0.0.1:", 1);
            let refused = url.replace("S256", "plain");
            let (_, form) = refused.split_once('?').unwrap();
            let posted = client.request("POST", "/authorize").header("accept", "text/html");
            let posted = posted.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
            let told = [
                ("code=", alice().walk(&url).await.client()),
                ("code=", alice().walk(&alias).await.client()),
                ("error=access_denied", Browser::denying("alice").walk(&url).await.clicked()),
                ("error=invalid_request", alice().walk(&refused).await.clicked()),
                ("error=invalid_request", alice().see(refused.parse().unwrap(), posted.send().await).clicked()),
            ];
            for (what, told) in told {
                let told = told.query().unwrap().to_owned();
                assert!(told.contains(what), "{raw}: {told}");
                assert!(told.split('&').any(|pair| pair == format!("state={expected}")), "{raw}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn an_authorization_may_be_posted() {
    let world = World::local().await;
    let client = client(&world).await;
    let authorization = client.authorization();
    let parameters: Vec<_> =
        authorization.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = client.request("POST", "/authorize").form(&parameters).header("accept", "text/html").send().await;
    assert_eq!((answer.status, content_type(&answer.headers)), (200, "text/html"), "{answer:?}");
    let other = client.request("PUT", "/authorize").send().await;
    assert_eq!(other.status, 405, "{other:?}");
}

/// Cookies of the consent page must be there at the callback, which has one host.
#[tokio::test]
async fn an_alias_of_this_machine_is_sent_to_the_host_of_the_base_url() {
    let world = World::local().await;
    let client = client(&world).await;
    let url = client.authorization().url();
    let alias = url.replacen("http://localhost:", "http://127.0.0.1:", 1);
    let answer = Request::to(&alias.parse().unwrap(), "GET").send().await;
    assert!([302, 303, 307].contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("location"), url);
    let code = Browser::of("alice").walk(&alias).await.told();
    assert!(code.contains_key("code"), "{code:?}");
}

#[tokio::test]
async fn a_post_at_an_alias_is_no_reason_to_fail() {
    let world = World::local().await;
    let client = client(&world).await;
    let host = format!("127.0.0.1:{}", world.server.address.port());
    for body in ["client_id=a\nb&x=\r\ny", &"x=".repeat(20_000)] {
        let request = client.request("POST", "/authorize").header("host", &host);
        let answer =
            request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned()).send().await;
        assert!(answer.status < 500 && answer.header("location").len() < 16_384, "{answer:?}");
    }
}

#[tokio::test]
async fn nobody_is_sent_to_the_provider_before_they_approve() {
    let provider = tinymcp_tests::provider::Provider::start(tinymcp_tests::provider::settings::Settings::auth0()).await;
    let world = World::with(&provider).await;
    let client = client(&world).await;
    let mut alice = alice();
    let page = alice.open(&client.authorization().url()).await.page();
    assert!(page.asks_for_consent(), "{page:?}");
    assert!(provider.sent("/authorize").is_empty(), "{}", provider.transcript());
    assert!(alice.jar.named("login").is_empty(), "no binding before the approval: {:?}", alice.jar);
    let page = alice.decide(&page, "approve").await.page();
    assert_eq!(provider.sent("/authorize").len(), 1);
    assert!(page.url.as_str().starts_with(&provider.url), "{page:?}");
    assert_eq!(alice.jar.named("login").len(), 1, "{:?}", alice.jar);
}

#[tokio::test]
async fn a_stranger_cannot_fill_the_disk_at_authorize() {
    let world = World::local().await;
    let client = client(&world).await;
    let size = || -> u64 {
        let files = std::fs::read_dir(world.server.site().path().join(".tinymcp/store")).unwrap().flatten();
        files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
    };
    alice().open(&client.authorization().url()).await;
    let before = size();
    for _ in 0..50 {
        alice().open(&client.authorization().url()).await;
    }
    assert_eq!(size(), before);
}

#[tokio::test]
async fn an_authorization_that_is_too_long_is_refused() {
    let world = World::local().await;
    let client = client(&world).await;
    let answer = Request::to(&client.authorization().set("state", &"s".repeat(20_000)).url().parse().unwrap(), "GET")
        .send()
        .await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
}
