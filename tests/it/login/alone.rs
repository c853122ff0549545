//! `local` and `none`: for this machine only.

use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::{LEGACY, initialize};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::World;

use super::alice;

#[test]
fn the_built_in_login_listens_on_loopback_only() {
    let site = Site::new().auth("[auth]\nprovider = \"local\"\n");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let finished = site.run(&["serve", "--listen", listen]);
        assert_eq!(finished.code, 2, "{finished:?}");
        assert!(finished.stderr.contains("local") && finished.stderr.contains("--listen"), "{finished:?}");
    }
}

#[test]
fn the_built_in_login_has_a_base_url_on_loopback() {
    for base in ["https://mcp.example", "http://192.168.0.7:8000", "https://localhost.example"] {
        let site = Site::new().auth(&format!("[server]\nbase_url = \"{base}\"\n[auth]\nprovider = \"local\"\n"));
        let finished = site.refusal();
        assert!(finished.code == 2 && finished.stderr.contains("base_url"), "{base}: {finished:?}");
    }
}

#[tokio::test]
async fn what_a_proxy_has_forwarded_is_refused_everywhere() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let authorize = client.authorization().url();
    let authorize = authorize.strip_prefix(world.base.as_str()).unwrap();
    for (name, value) in [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9"), ("via", "1.1 tunnel")] {
        for request in [
            world.server.request("POST", "/mcp").json(&initialize(LEGACY[0])).bearer(&tokens.access),
            world.server.request("GET", &format!("/{authorize}")),
            world.server.request("GET", "/local/authorize?state=x"),
            client.posting("/token", &client.renewal(&tokens.refresh)),
        ] {
            let answer = request.header(name, value).send().await;
            assert_eq!(answer.status, 403, "{name}: {answer:?}");
        }
    }
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn the_built_in_login_asks_for_a_name() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let mut alice = alice();
    let page = alice.open(&client.authorization().url()).await.page();
    let login = alice.decide(&page, "approve").await.page();
    assert!(login.url.path() == "/local/authorize" && login.status == 200, "{login:?}");
    let policy = login.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("form-action"), "{policy}");
    assert!(!login.elements().contains(&"script".to_owned()), "{}", login.html);
    let mut nobody = alice.clone();
    nobody.name = "  ".to_owned();
    let again = nobody.log_in(&login).await.page();
    assert!(!again.forms().is_empty() || again.status == 400, "a name is needed: {again:?}");
    assert!(alice.log_in(&login).await.told().contains_key("code"));
}

#[tokio::test]
async fn a_made_up_local_login_is_refused() {
    let world = World::local().await;
    let answer = world.server.request("GET", "/local/authorize").header("accept", "text/html").send().await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let form = [("name", "alice"), ("state", "made-up"), ("code_challenge", "x"), ("nonce", "y")];
    let answer = world.server.request("POST", "/local/authorize").form(&form).send().await;
    let location: Option<url::Url> = answer.header("location").parse().ok();
    // Whatever it says, it leads to our own callback at most, which knows no such state.
    if let Some(location) = location {
        let landing = Browser::of("alice").open(location.as_str()).await.page();
        assert_eq!(landing.status, 400, "{landing:?}");
    }
}

#[tokio::test]
async fn there_is_no_local_login_with_another_provider() {
    let provider = tinymcp_tests::provider::Provider::start(tinymcp_tests::provider::settings::Settings::oidc()).await;
    let world = World::with(&provider).await;
    for method in ["GET", "POST"] {
        assert_eq!(world.server.request(method, "/local/authorize").send().await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn without_login_there_is_nothing_to_log_in_to() {
    let server = Site::new().start().await;
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server",
        "/authorize",
        "/auth/callback",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    for path in ["/register", "/token", "/revoke", "/consent"] {
        assert_eq!(server.request("POST", path).send().await.status, 404, "{path}");
    }
    let answer =
        server.request("POST", "/mcp").json(&initialize(LEGACY[0])).bearer("left over from before").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn the_same_name_is_the_same_person() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let first = client.log_in(&mut Browser::of("Alice ")).await;
    let second = client.log_in(&mut Browser::of("alice")).await;
    let session = tinymcp_tests::client::Client::legacy_with_token(&world.server, &first.access).await;
    assert!(session.with_token(&second.access).tool_names().await.is_empty(), "one person's session");
}

#[test]
fn a_server_for_auth0_without_credentials_says_what_is_missing() {
    let site = Site::new().auth("");
    let finished = site.refusal();
    assert_eq!(finished.code, 2, "{finished:?}");
    for part in ["AUTH0_DOMAIN", "AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET", "tinymcp dev"] {
        assert!(finished.stderr.contains(part), "{part}: {finished:?}");
    }
    let site = Site::new().auth("[auth]\nprovider = \"clerk\"\nallow = [\"*@example.com\"]\n");
    let finished = site.refusal();
    for part in ["CLERK_CONFIG_URL", "CLERK_CLIENT_ID", "CLERK_CLIENT_SECRET", "tinymcp dev"] {
        assert!(finished.code == 2 && finished.stderr.contains(part), "{part}: {finished:?}");
    }
}
