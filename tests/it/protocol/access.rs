//! Access by host and origin (facts of DNS rebinding and CORS), and the headers that a browser sees.

use serde_json::json;
use tinymcp_tests::client::{Client, LEGACY, initialize};
use tinymcp_tests::http::{Answer, Request, content_type};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

fn handshake(server: &Server) -> Request {
    server.request("POST", "/mcp").json(&initialize(LEGACY[0]))
}

#[tokio::test]
async fn other_hosts_are_refused_on_every_route() {
    let server = Server::with(&[]).await;
    for path in ["/", "/mcp", "/llms.txt", "/nothing"] {
        for host in ["evil.example.com", "evil.example.com:80", "localhost.evil.example", "127.0.0.1.nip.io"] {
            let answer = server.request("GET", path).header("host", host).send().await;
            assert_eq!(answer.status, 403, "{path} {host}");
            assert!(answer.text().contains("server.allowed_hosts"), "{path} {host}: {}", answer.text());
        }
    }
    assert_eq!(handshake(&server).header("host", "evil.example.com").send().await.status, 403);
}

#[tokio::test]
async fn health_is_told_by_whatever_name_and_says_nothing_else() {
    let server = Site::new().variable("BASE_URL", "https://mcp.example").auth(ELSEWHERE).launch().await;
    for (path, expected) in [("/healthz", json!({ "status": "ok" })), ("/readyz", json!({ "status": "not ready" }))] {
        for host in ["10.1.2.3:8000", "[fd00::1]", "lb.internal", "mcp.example"] {
            let get = server.request("GET", path).header("host", host).send().await;
            assert_eq!(get.json(), expected, "{host}");
            assert_eq!(get.header("x-content-type-options"), "nosniff");
            let head = server.request("HEAD", path).header("host", host).send().await;
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{host}");
        }
        assert_eq!(server.get(path).await.json(), expected);
    }
    assert_eq!(server.request("GET", "/").header("host", "10.1.2.3:8000").send().await.status, 403);
}

/// A provider that is not there, so that the server may be called by a name that is not loopback's.
const ELSEWHERE: &str = "[auth]\nprovider = \"acme\"\nallow = [\"alice@example.com\"]\n[auth.providers.acme]\n\
    discovery = \"https://127.0.0.1:9/x\"\nclient_id = \"x\"\nclient_secret = \"y\"\n";

#[tokio::test]
async fn addresses_of_allowed_networks_are_served() {
    let config = "[server]\nallowed_hosts = [\"10.0.0.0/8\", \"fd00::/8\"]\n";
    let server = Site::new().config(config).start().await;
    for (host, expected) in
        [("10.1.2.3:8000", 200), ("[fd00::1]:8000", 200), ("10.1.2.3.nip.io", 403), ("11.0.0.1", 403), ("10.1", 403)]
    {
        assert_eq!(handshake(&server).header("host", host).send().await.status, expected, "{host}");
    }
}

#[tokio::test]
async fn two_hosts_are_one_too_many() {
    let server = Server::with(&[]).await;
    for other in ["evil.example", "localhost"] {
        let status = handshake(&server).also("host", other).send().await.status;
        assert!(status == 400 || status == 403, "{other}: {status}");
    }
}

#[tokio::test]
async fn hosts_of_this_machine_and_configured_ones_are_served() {
    let server = Site::new().config("[server]\nallowed_hosts = [\"mcp.example\"]\n").start().await;
    let port = server.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "mcp.example", "MCP.example"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            assert_eq!(handshake(&server).header("host", &host).send().await.status, 200, "{host}");
        }
    }
}

#[tokio::test]
async fn other_origins_are_refused() {
    let server = Server::with(&[]).await;
    for origin in ["http://evil.example.com", "null", "https://localhost.evil.example", "file://", ""] {
        for request in [handshake(&server), server.request("GET", "/mcp"), server.request("DELETE", "/mcp")] {
            let answer = request.header("origin", origin).send().await;
            assert_eq!(answer.status, 403, "{origin}: {answer:?}");
            assert_eq!(content_type(&answer.headers), "application/json", "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        }
    }
}

#[tokio::test]
async fn allowed_origins_are_served_and_told_so() {
    let server = Site::new().config("[server]\nallowed_origins = [\"https://app.example\"]\n").start().await;
    let own = format!("http://localhost:{}", server.address.port());
    for origin in [own.as_str(), "http://127.0.0.1:6274", "https://app.example"] {
        let answer = handshake(&server).header("origin", origin).send().await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin), "{answer:?}");
        let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
        for header in ["mcp-session-id", "mcp-protocol-version", "www-authenticate"] {
            assert!(exposed.contains(header), "{header}: {exposed}");
        }
        assert!(answer.header("vary").to_ascii_lowercase().contains("origin"), "{answer:?}");
    }
}

fn is_readable_from(answer: &Answer, origin: &str) -> bool {
    answer.header("access-control-allow-origin") == origin
}

#[tokio::test]
async fn a_page_may_read_errors_too() {
    let server = Server::with(&[]).await;
    let origin = "http://localhost:6274";
    let client = Client::legacy(&server).await;
    let errors = [
        (400, server.request("POST", "/mcp").json(&json!(null)).body("{")),
        (404, client.other("DELETE").header("mcp-session-id", "forged")),
        (405, server.request("PUT", "/mcp")),
        (415, handshake(&server).header("content-type", "text/plain")),
        (404, server.request("GET", "/nothing")),
        (403, handshake(&server).header("host", "evil.example")),
    ];
    for (status, request) in errors {
        let answer = request.header("origin", origin).send().await;
        assert!(answer.status == status && is_readable_from(&answer, origin), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_before_anything_else() {
    let server = Server::with(&[]).await;
    let preflight = |origin: &str| {
        server
            .request("OPTIONS", "/mcp")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,mcp-session-id,mcp-param-city")
    };
    let answer = preflight("http://localhost:6274").send().await;
    assert!(answer.status == 200 || answer.status == 204, "{answer:?}");
    assert!(is_readable_from(&answer, "http://localhost:6274"), "{answer:?}");
    for method in ["GET", "POST", "DELETE"] {
        assert!(answer.header("access-control-allow-methods").contains(method), "{answer:?}");
    }
    assert!(answer.header("access-control-allow-headers").contains("mcp-param-city"), "{answer:?}");
    let answer = preflight("http://evil.example").send().await;
    assert!(!is_readable_from(&answer, "http://evil.example"), "{answer:?}");
}

#[tokio::test]
async fn a_browser_at_the_endpoint_sees_a_page() {
    let server = Server::with(&["greeter-v1"]).await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for path in ["/mcp", "/"] {
        let answer = server.request("GET", path).header("accept", browser).send().await;
        assert_eq!((answer.status, content_type(&answer.headers)), (200, "text/html"), "{path}");
        assert!(answer.text().contains("greeter_v1_greet"), "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!((answer.header("x-frame-options"), answer.header("x-content-type-options")), ("DENY", "nosniff"));
    }
    assert!(server.get("/llms.txt").await.text().contains("greeter_v1_greet"));
}

#[tokio::test]
async fn a_broken_plugin_is_shown_on_the_page_and_escaped() {
    let site = Site::new().plugin("broken", b"<script>alert(1)</script>");
    let server = site.start().await;
    let mut page = String::new();
    until("the reason on the page", async || {
        page = server.get("/").await.text();
        page.contains("broken.wasm") && page.contains("not a WebAssembly file")
    })
    .await;
    assert!(!page.contains("<script>"), "{page}");
}

#[tokio::test]
async fn a_forwarded_request_is_refused_where_nobody_logs_in() {
    let server = Server::with(&[]).await;
    for header in ["x-forwarded-for", "forwarded"] {
        let answer = handshake(&server).header(header, "for=203.0.113.9").send().await;
        assert_eq!(answer.status, 403, "{header}: {answer:?}");
    }
}
