//! Grants that change while a call goes on.

use std::time::{Duration, Instant};

use serde_json::json;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::{DEADLINE, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{all_of, ask, configuration, fetching, get};

fn dripping(request: &str) -> Script {
    match request.contains("/drip") {
        true => Script::Drip(b"HTTP/1.1 200 OK\r\n\r\nx".to_vec(), b"x".to_vec(), Duration::from_millis(20)),
        false => Script::text("hello"),
    }
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_cuts_what_is_under_way() {
    let peer = Peer::start(dripping).await;
    let (server, client) = fetching(&all_of(&peer)).await;
    ask(&client, get(&peer.url("/"))).await;
    assert_eq!(peer.open(), 1, "its connection is kept");
    let download = client.call("fetch_download", json!({ "url": peer.url("/drip") }));
    let withdraw = async {
        until("a request under way", async || peer.requests().len() == 2).await;
        server.site().configure(&configuration(""));
        Instant::now()
    };
    let (called, withdrawn) = tokio::join!(download, withdraw);
    // Half a second until the file is looked at, and the machine of the tests has others to serve.
    assert!(withdrawn.elapsed() < Duration::from_secs(4), "{:?}", withdrawn.elapsed());
    let place = peer.url("");
    assert!(called.is_error && called.text.contains("HTTP request denied after "), "{called:?}");
    assert!(called.text.ends_with(&format!("no grant for {place}: ask the operator")), "{called:?}");
    until("the end of all connections", async || peer.open() == 0).await;
    client.failure("fetch", get(&peer.url("/"))).await;

    server.site().configure(&configuration(&all_of(&peer)));
    let again = async || !client.call("fetch", get(&peer.url("/"))).await.is_error;
    tokio::time::timeout(DEADLINE, until("a grant that is given again", again)).await.unwrap();
}

#[tokio::test]
async fn connections_are_closed_with_their_grant() {
    let peer = Peer::start(dripping).await;
    let (server, client) = fetching(&all_of(&peer)).await;
    ask(&client, get(&peer.url("/"))).await;
    assert_eq!(peer.open(), 1);
    server.site().configure(&configuration("http = [\"https://elsewhere.example\"]"));
    until("the end of the connection that was kept", async || peer.open() == 0).await;
}

#[tokio::test]
async fn an_upload_whose_answer_has_begun_is_cut_with_its_grant() {
    // It answers when it has the head, and reads on.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let table = format!("http_bytes = \"64GiB\"\ntimeout = \"60s\"\nhttp = [\"http://{place}\"]");
    let (server, client) = fetching(&table).await;
    let upload = json!({ "url": format!("http://{place}/"), "bytes": 60_000_000_000_u64, "trailer": false });
    let upload = client.call("fetch_upload", upload);
    let withdraw = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut piece = vec![0; 64 * 1024];
        assert!(stream.read(&mut piece).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        server.site().configure(&configuration("timeout = \"60s\""));
        let withdrawn = Instant::now();
        while stream.read(&mut piece).await.is_ok_and(|count| count > 0) {}
        withdrawn.elapsed()
    };
    let (called, took) = tokio::join!(upload, withdraw);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(called.is_error, "{called:?}");
}
