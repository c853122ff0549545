//! Connections: all that a stranger can stretch has an end.

use std::time::{Duration, Instant};

use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes, and returns what comes until the server closes the connection.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = within("the end of the connection", stream.read_to_end(&mut answer)).await;
    // A connection that is cut is at its end, too.
    let _ = read;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn impatient() -> Server {
    Site::new().config("[server]\nheader_timeout = \"300ms\"\n").start().await
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let server = impatient().await;
    for start in ["", "GET", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let answer = exchange(&server, start.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{start:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_waited_for() {
    let server = Server::with(&[]).await;
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 99999999999\r\n\r\n";
    let answer = exchange(&server, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("server.body"), "{answer}");
}

#[tokio::test]
async fn a_connection_in_use_is_kept() {
    let server = Site::new().config("[server]\nheader_timeout = \"2s\"\n").start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        // Together longer than the head of a request may take: time itself is tested.
        tokio::time::sleep(Duration::from_millis(800)).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        within("an answer", stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = [0; 1024];
        within("the rest", stream.read(&mut rest)).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Site::new().start().await;
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let answer = exchange(&server, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = Site::new().start().await;
    let answer = exchange(&server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello over TLS\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(server.get("/healthz").await.status, 200);
}

/// A connection that has a place: it has been answered once, and stays open.
async fn served(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    within("an answer", stream.read_exact(&mut [0; 15])).await.unwrap();
    stream
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_their_turn() {
    let server = Site::new().config("[server]\nconnections = 2\n").start().await;
    let (first, second) = (served(&server).await, served(&server).await);
    let held_since = Instant::now();
    let third = tokio::spawn(server.request("GET", "/healthz").send());
    // That nothing happens is what is tested. After a second an idle connection gives way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let is_waiting = !third.is_finished();
    assert!(is_waiting || held_since.elapsed() >= Duration::from_millis(900));
    drop((first, second));
    assert_eq!(third.await.unwrap().status, 200);
}

#[tokio::test]
async fn http_2_is_spoken_to_who_knows_of_it() {
    let server = Site::new().start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // RFC 9113 §3.4: the preface, and an empty SETTINGS frame; the server answers with its own.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    within("a frame", stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
}
