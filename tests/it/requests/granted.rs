//! What is granted is sent as it was decided on; what is not is refused in one way, whatever the reason.

use serde_json::json;
use tinymcp_tests::peer::{Peer, Script};

use super::{all_of, ask, fetching, get, header, site};
use tinymcp_tests::client::Client;

#[tokio::test]
async fn a_granted_request_is_answered() {
    let peer = Peer::start(|_| Script::with(201, "x-of-the-service: yes\r\n", "hello")).await;
    let (server, client) = fetching(&all_of(&peer)).await;
    let answer = ask(&client, get(&peer.url("/a%20b?c=d"))).await;
    assert_eq!((answer["status"].as_u64(), answer["body"].as_str()), (Some(201), Some("hello")), "{answer}");
    assert_eq!(header(&answer, "x-of-the-service"), Some("yes"));
    let posted = json!({
        "method": "POST",
        "url": peer.url("/post"),
        "headers": [{ "name": "content-type", "value": "text/plain" }, { "name": "content-length", "value": "4" }],
        "body": "body",
    });
    ask(&client, posted).await;
    let requests = peer.requests();
    assert!(requests[0].starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains(&format!("\r\nhost: {}\r\n", peer.address)), "{requests:?}");
    assert!(requests[1].contains("content-type: text/plain") && requests[1].ends_with("\r\n\r\nbody"), "{requests:?}");
    assert_eq!(peer.connections(), 1, "the second call has used the connection of the first");
    let line = server.log.wait_for("made 1 requests").await;
    assert!(line.contains(&peer.url("")) && !line.contains("a%20b"), "{line}");
}

#[tokio::test]
async fn what_is_refused_is_refused_alike() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let site = site("").fixed();
    let own = site.base().port().unwrap();
    let port = peer.address.port();
    let table = format!(
        "http = [\"http://127.0.0.1:{own}\", \"http://nowhere.invalid\", \"http://10.255.255.1:1\", \"https://127.0.0.1:{port}\"]"
    );
    let table =
        table.replace("\"http://10.255.255.1:1\"", "{ to = \"http://rebound.localhost.invalid\", private = true }");
    let server = site.config(&super::configuration(&table)).start().await;
    let client = Client::modern(&server);
    for (url, place, reason) in [
        (peer.url("/path?query"), peer.url(""), "is for https only"),
        ("https://api.example.com/x".to_owned(), "https://api.example.com".to_owned(), "no entry of `http` matches"),
        (format!("http://127.0.0.1:{own}/mcp"), format!("http://127.0.0.1:{own}"), "this server or its proxy"),
        ("http://nowhere.invalid/".to_owned(), "http://nowhere.invalid".to_owned(), "no address"),
        ("http://169.254.169.254/".to_owned(), "http://169.254.169.254".to_owned(), "no entry"),
        ("http://0x7f.1:1/".to_owned(), "http://127.0.0.1:1".to_owned(), "no entry"),
    ] {
        let said = client.failure("fetch", get(&url)).await;
        let expected = format!("ErrorCode::HttpRequestDenied\nno grant for {place}: ask the operator");
        assert_eq!(said, expected);
        let line = server.log.wait_for(&format!("may not send a request to {place}: ")).await;
        assert!(line.contains(reason) && line.contains("digest="), "{line}");
    }
    let line = server.log.wait_for("may not send a request to https://api.example.com").await;
    assert!(line.contains(r#"to_grant="[plugin.fetch]\nhttp = [\"https://api.example.com\"]"#), "{line}");
    let text = server.log.text();
    assert!(!text.contains("path?query"), "{text}");
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_call_that_goes_well_tells_of_no_refusal_and_a_crash_does() {
    let (_server, client) = fetching("").await;
    let called = client.call("fetch_fetch_all", json!({ "urls": ["https://a.example/", "https://b.example/"] })).await;
    assert!(!called.is_error && !called.text.contains("ask the operator"), "{called:?}");
    let said = client.failure("fetch_panic_at", json!({ "url": "https://a.example/" })).await;
    assert_eq!(said, "the tool crashed\nno grant for https://a.example: ask the operator");
}

#[tokio::test]
async fn redirects_are_answers_and_are_decided_anew() {
    let other = Peer::start(|_| Script::text("elsewhere")).await;
    let location = format!("location: {}\r\n", other.url("/x"));
    let peer = Peer::start(move |_| Script::with(302, &location, "")).await;
    let (_server, client) = fetching(&all_of(&peer)).await;
    let answer = ask(&client, get(&peer.url("/"))).await;
    assert_eq!(answer["status"], 302);
    let said = client.failure("fetch", get(header(&answer, "location").unwrap())).await;
    assert!(said.contains("HttpRequestDenied"), "{said}");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_path_decides_on_what_is_sent() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let table = format!("http = [{{ to = \"http://{}/v1\", methods = [\"GET\"] }}]", peer.address);
    let (_server, client) = fetching(&table).await;
    for path in ["/v1/../admin", "/v1%2f..%2fadmin", "/v1/%2e%2e/admin", "/v1/..;/admin", "/v10", "/", "/v1//x"] {
        client.failure("fetch", get(&peer.url(path))).await;
    }
    assert_eq!(peer.requests(), Vec::<String>::new());
    let overridden = json!({ "method": "GET", "url": peer.url("/v1/./a/%7Eb"), "headers": [
        { "name": "x-http-method-override", "value": "DELETE" },
        { "name": "x_original_url", "value": "/admin" },
        { "name": "x-forwarded-host", "value": "evil.example" },
        { "name": "x-mine", "value": "stays" },
    ]});
    ask(&client, overridden).await;
    let sent = peer.requests().remove(0);
    assert!(sent.starts_with("GET /v1/a/~b HTTP/1.1\r\n") && sent.contains("x-mine: stays"), "{sent}");
    assert!(!sent.contains("override") && !sent.contains("original") && !sent.contains("forwarded"), "{sent}");
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_not_sent() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let (_server, client) = fetching(&all_of(&peer)).await;
    for (name, value) in [
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("Transfer_Encoding", "chunked"),
        ("host", "evil.example"),
        ("connection", "x"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "x"),
        ("Content_Length", "1"),
    ] {
        let request = json!({ "method": "GET", "url": peer.url("/"), "headers": [{ "name": name, "value": value }] });
        client.failure("fetch", request).await;
    }
    for method in ["CONNECT", "TRACE"] {
        let request = json!({ "method": method, "url": peer.url("/"), "headers": [] });
        client.failure("fetch", request).await;
    }
    let user = peer.url("/").replace("http://", "http://user@");
    for url in [user, format!("//{}/", peer.address), format!("ftp://{}/", peer.address)] {
        client.failure("fetch", get(&url)).await;
    }
    assert_eq!(peer.requests(), Vec::<String>::new());
    let said = client.failure("fetch_upload", json!({ "url": peer.url("/"), "bytes": 10, "trailer": true })).await;
    assert!(said.contains("trailers"), "{said}");
}

/// A command that is waited for needs others to serve it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_sends_what_is_granted_too() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let site = site(&all_of(&peer));
    let called = site.run(&["call", "fetch", &get(&peer.url("/")).to_string()]);
    assert_eq!(called.code, 0, "{called:?}");
    assert!(called.stdout.contains("hello"), "{called:?}");
    let called = site.run(&["call", "fetch", &get("https://a.example/").to_string()]);
    assert_eq!(called.code, 1, "{called:?}");
    assert!(called.stderr.contains("no grant for https://a.example: ask the operator"), "{called:?}");
}
