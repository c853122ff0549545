//! What programs read beside the endpoint, and what browsers get where there is nothing.

use serde_json::json;
use tinymcp_tests::http::content_type;
use tinymcp_tests::world::local;

use super::{Server, Site, World, with_shown};

#[tokio::test]
async fn the_server_card_names_the_way_and_no_tool() {
    let server = with_shown(Site::new()).start().await;
    let card = server.get("/mcp/server-card").await;
    assert_eq!(content_type(&card.headers), "application/mcp-server-card+json");
    assert_eq!(card.header("access-control-allow-origin"), "*");
    assert_eq!(card.header("cache-control"), "public, max-age=3600");
    let url = format!("http://localhost:{}/mcp", server.address.port());
    let expected = json!({
        "$schema": "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json",
        "name": "localhost/tinymcp",
        "title": "TinyMCP",
        "description": "An MCP server whose tools are WebAssembly plugins",
        "version": env!("CARGO_PKG_VERSION"),
        "websiteUrl": url.trim_end_matches("/mcp"),
        "remotes": [{
            "type": "streamable-http", "url": url,
            "supportedProtocolVersions": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"],
        }],
    });
    assert_eq!(card.json(), expected);
    let again = server.request("GET", "/mcp/server-card").header("if-none-match", card.header("etag")).send().await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let preflight = server.request("OPTIONS", "/mcp/server-card").header("origin", "https://any.example").send().await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (204, "GET"));
}

#[tokio::test]
async fn an_entry_for_registries_is_served() {
    let server = Server::with(&[]).await;
    let entry = server.get("/server.json").await;
    assert_eq!(content_type(&entry.headers), "application/json");
    let entry = entry.json();
    let schema = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
    assert_eq!((&entry["$schema"], &entry["remotes"][0]["type"]), (&json!(schema), &json!("streamable-http")));
    assert!(entry["remotes"][0].get("supportedProtocolVersions").is_none(), "{entry}");
}

#[tokio::test]
async fn models_read_how_to_log_in_and_what_a_tool_takes() {
    let world = World::of(with_shown(local())).await;
    let text = world.server.get("/llms.txt").await.text();
    for line in [
        "/.well-known/oauth-protected-resource",
        "- `shown_fields`: Give back what was entered.",
        "  - `count` (whole number, 0 to 1000, required)",
        "  - `place.city` (text, required)",
        "  - `ratio` (number; without it 0.5)",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains('\u{202e}'), "{text}");
}

#[tokio::test]
async fn browsers_get_pages_where_clients_get_json() {
    let server = Server::with(&[]).await;
    for (path, host, status, title) in [
        ("/nothing", "localhost", 404, "There is nothing here"),
        ("/", "evil.example", 403, "This server has another name"),
        ("/mcp", "evil.example", 403, "This server has another name"),
    ] {
        let request = || server.request("GET", path).header("host", host);
        let page = request().header("accept", "text/html,*/*;q=0.8").send().await;
        assert_eq!((page.status, content_type(&page.headers)), (status, "text/html"), "{path}");
        assert!(page.text().contains(title) && !page.text().contains("<script"), "{}", page.text());
        for accept in ["*/*", "application/json", "application/json, text/event-stream"] {
            let answer = request().header("accept", accept).send().await;
            assert_eq!((answer.status, content_type(&answer.headers)), (status, "application/json"), "{path} {accept}");
        }
    }
    // Whoever has only found the address is not told the name.
    let page = server.request("GET", "/").header("host", "evil.example").header("accept", "text/html").send().await;
    assert!(!page.text().contains("localhost"), "{}", page.text());
}

#[tokio::test]
async fn files_of_the_page_are_kept_for_ever_by_their_digest() {
    let server = Server::with(&[]).await;
    let page = server.get("/").await.text();
    let (_, rest) = page.split_once("/assets/").unwrap();
    let (version, _) = rest.split_once('/').unwrap();
    for (name, expected) in [("page.js", "text/javascript"), ("dom.js", "text/javascript"), ("page.css", "text/css")] {
        let file = server.get(&format!("/assets/{version}/{name}")).await;
        assert_eq!((file.status, content_type(&file.headers)), (200, expected), "{name}");
        assert!(file.header("cache-control").contains("immutable"), "{name}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(server.get("/assets/0000000000000000/page.js").await.status, 404);
    assert_eq!(server.get(&format!("/assets/{version}/..%2fpage.js")).await.status, 404);
    let icon = server.get("/favicon.ico").await;
    assert_eq!((icon.status, content_type(&icon.headers), &icon.body[..4]), (200, "image/x-icon", &[0, 0, 1, 0][..]));
}
