//! How much the requests of one call may take: the guest has a code, and the caller reads which limit it was.

use serde_json::json;
use tinymcp_tests::peer::{Peer, Script};

use super::{all_of, ask, fetching, get};

#[tokio::test]
async fn a_call_makes_so_many_requests() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let (_server, client) = fetching(&format!("http_requests = 2\n{}", all_of(&peer))).await;
    let urls: Vec<String> = (0..4).map(|_| peer.url("/")).collect();
    let outcomes = client.value("fetch_fetch_all", json!({ "urls": urls })).await;
    let code = "ErrorCode::ConnectionLimitReached";
    assert_eq!(outcomes, json!(["200", "200", code, code]));
    let (_server, client) = fetching(&format!("http_requests = 0\n{}", all_of(&peer))).await;
    let said = client.failure("fetch", get(&peer.url("/"))).await;
    assert_eq!(said, format!("{code}\na call may make 0 requests and no more: `http_requests`"));
}

#[tokio::test]
async fn a_call_has_so_many_connections() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let (_server, client) = fetching(&format!("connections = 1\n{}", all_of(&peer))).await;
    let outcomes = client.value("fetch_fetch_all", json!({ "urls": [peer.url("/"), peer.url("/")] })).await;
    assert_eq!(outcomes, json!(["200", "ErrorCode::ConnectionLimitReached"]));
    assert_eq!(ask(&client, get(&peer.url("/"))).await["body"], "hello");
}

#[tokio::test]
async fn a_call_sends_and_receives_so_much() {
    let large = "x".repeat(100_000);
    let peer = Peer::start(move |_| Script::text(&large)).await;
    let (_server, client) = fetching(&format!("http_bytes = \"64KiB\"\n{}", all_of(&peer))).await;
    let limit = "the requests of a call may send and receive 65536 bytes and no more: `http_bytes`";
    let said = client.failure("fetch_download", json!({ "url": peer.url("/") })).await;
    assert!(said.contains("response body size exceeds limit") && said.ends_with(limit), "{said}");
    let upload = json!({ "url": peer.url("/"), "bytes": 10_000_000, "trailer": false });
    let said = client.failure("fetch_upload", upload).await;
    assert!(said.ends_with(limit), "{said}");
    let small = json!({ "url": peer.url("/"), "bytes": 10_000, "trailer": false });
    assert_eq!(client.value("fetch_upload", small).await, 200);
}
