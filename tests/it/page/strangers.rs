//! What the page is to those who have not logged in: as cheap and as silent as before there was anything to try.

use tinymcp_tests::client::Client;
use tinymcp_tests::oauth::Kind;

use super::{Server, Site, Visitor, World, local, with_shown};

/// A server that others reach, where strangers see nothing.
async fn public() -> Server {
    // Its provider is not there, which the page does not need.
    let auth = "[auth]\nprovider = \"acme\"\nallow = [\"alice@example.com\"]\n[auth.providers.acme]\n\
        discovery = \"https://127.0.0.1:9/x\"\nclient_id = \"x\"\nclient_secret = \"y\"\n";
    let site = with_shown(Site::new().variable("BASE_URL", "https://mcp.example.com").auth(auth));
    site.put("broken.wasm", b"\0asm nonsense");
    let server = site.launch().await;
    server.log.wait_for("loaded plugin `shown`").await;
    server
}

#[tokio::test]
async fn strangers_see_no_tool_no_file_and_no_token() {
    let server = public().await;
    for path in ["/", "/mcp", "/llms.txt", "/server.json", "/mcp/server-card", "/live", "/nothing", "/favicon.ico"] {
        let request = server.request("GET", path).header("host", "mcp.example.com").header("accept", "text/html");
        let text = request.send().await.text();
        for word in ["shown_", "delete", "broken", "data-token", "data-schema", "data-live"] {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
    let page = server.request("GET", "/").header("host", "mcp.example.com").send().await;
    assert!(page.text().contains("https://mcp.example.com/mcp") && page.text().contains("/login"), "{}", page.text());
    assert_eq!(page.header("cache-control"), "no-store");
    let live = server.request("GET", "/live").header("host", "mcp.example.com").send().await;
    assert_eq!((live.status, live.body.len()), (204, 0));
}

#[tokio::test]
async fn a_policy_names_a_nonce_that_no_other_answer_has() {
    let server = with_shown(Site::new()).start().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = server.get("/").await;
        let policy = page.header("content-security-policy").to_owned();
        let (_, nonce) = policy.split_once("script-src 'nonce-").unwrap();
        let (nonce, _) = nonce.split_once('\'').unwrap();
        assert!(page.text().contains(&format!("<script type=\"module\" nonce=\"{nonce}\"")), "{policy}");
        assert_eq!(page.text().matches("<script").count(), 1);
        assert!(policy.contains("require-trusted-types-for 'script'") && policy.contains("connect-src 'self'"));
        assert!(
            !policy.contains("unsafe")
                && policy.contains("default-src 'none'")
                && policy.contains("frame-ancestors 'none'")
        );
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert!(!seen.contains(&nonce.to_owned()));
        seen.push(nonce.to_owned());
    }
}

#[tokio::test]
async fn pages_of_a_login_have_no_script() {
    let world = World::of(with_shown(local())).await;
    let alice = Visitor::logged_in(&world, "alice").await;
    let client = world.register(Kind::ClaudeCode).await;
    let authorize = client.authorization().url();
    let me = alice.get("me").send().await;
    let consent = tinymcp_tests::http::Request::to(&authorize.parse().unwrap(), "GET").send().await;
    let missing = alice.get("nothing").send().await;
    for page in [&me, &consent, &missing] {
        assert!(page.text().starts_with("<!doctype html>") && !page.text().contains("<script"), "{}", page.text());
        assert!(!page.header("content-security-policy").contains("script-src"), "{page:?}");
    }
}

#[tokio::test]
async fn a_change_of_plugins_is_on_the_next_page() {
    let server = Server::with(&["greeter-v1"]).await;
    assert!(!server.get("/").await.text().contains("shown_delete"));
    server.site().put("shown.wasm", &tinymcp_tests::guests::guest("shown"));
    Client::modern(&server).wait_for_tool("shown_delete").await;
    let page = server.get("/").await.text();
    assert!(page.contains("shown_delete") && page.contains("8 tools of 2 plugins"), "{page}");
}
