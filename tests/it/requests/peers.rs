//! Services that misbehave in each phase: the guest has the code for it, and the next request goes well.

use std::time::{Duration, Instant};

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::peer::{Peer, Script};

use super::{all_of, ask, fetching, get, site};

fn misbehaving(request: &str) -> Script {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let bytes = |text: &str| text.as_bytes().to_vec();
    match path {
        "/ends" => Script::Last(Vec::new()),
        "/half-head" => Script::Last(bytes("HTTP/1.1 200 OK\r\ncontent-le")),
        "/huge-head" => Script::Last(bytes(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000)))),
        "/many-headers" => Script::Last(bytes(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(500)))),
        "/truncated" => Script::Last(bytes("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")),
        "/truncated-chunks" => {
            Script::Last(bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"))
        }
        "/garbage-chunk" => {
            Script::Last(bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\nhello\r\n0\r\n\r\n"))
        }
        "/two-lengths" => Script::Last(bytes("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 5\r\n\r\nhello")),
        "/no-http" => Script::Last(bytes("SSH-2.0-OpenSSH_9.9\r\n\r\n")),
        "/switches" => Script::Last(bytes("HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")),
        "/early-hints" => Script::Answer(bytes(
            "HTTP/1.1 103 X\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        )),
        "/trailers" => Script::Answer(bytes(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-after: done\r\n\r\n",
        )),
        "/until-the-end" => Script::Last(bytes("HTTP/1.1 200 OK\r\n\r\nhello")),
        "/silence" => Script::Stall(Vec::new()),
        "/drip" => Script::Drip(
            bytes("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
            bytes("x"),
            Duration::from_millis(700),
        ),
        "/hints" => endless("", &"HTTP/1.1 103 X\r\nlink: <x>\r\n\r\n".repeat(1000)),
        "/processing" => endless("", "HTTP/1.1 102 Processing\r\n\r\n"),
        "/continues" => endless("", &"HTTP/1.1 100 Continue\r\n\r\n".repeat(50)),
        "/extensions" => endless(&format!("{CHUNKED}5"), &";x=y".repeat(1000)),
        "/extension-each" => endless(CHUNKED, &format!("1;{}\r\nx\r\n", "y".repeat(1000))),
        "/endless-trailers" => endless(&format!("{CHUNKED}0\r\n"), &"x: y\r\n".repeat(1000)),
        "/endless-status" => endless("HTTP/1.1 200 ", &"x".repeat(1000)),
        "/endless-head" => endless("HTTP/1.1 200 OK\r\n", &"x: y\r\n".repeat(100)),
        "/zeros" => endless(CHUNKED, &"0".repeat(1000)),
        _ => Script::text("hello"),
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// The beginning, and then the same without an end.
fn endless(begin: &str, piece: &str) -> Script {
    Script::Drip(begin.as_bytes().to_vec(), piece.as_bytes().to_vec(), Duration::ZERO)
}

#[tokio::test]
async fn each_phase_has_its_code() {
    let peer = Peer::start(misbehaving).await;
    let (_server, client) = fetching(&all_of(&peer)).await;
    for (path, expected) in [
        ("/ends", "ConnectionTerminated"),
        ("/half-head", "ConnectionTerminated"),
        ("/huge-head", "HttpResponseHeaderSectionSize"),
        ("/many-headers", "HttpResponseHeaderSectionSize"),
        // In the middle of a body the error is that of a stream, which says it in words.
        ("/truncated", "incomplete"),
        ("/truncated-chunks", "incomplete"),
        ("/garbage-chunk", "protocol error"),
        ("/two-lengths", "HttpProtocolError"),
        ("/no-http", "HttpProtocolError"),
        ("/switches", "HttpProtocolError"),
    ] {
        let said = client.failure("fetch", get(&peer.url(path))).await;
        assert!(said.contains(expected), "{path}: {said}");
        assert!(!said.contains("ask the operator"), "{path}: {said}");
        assert_eq!(ask(&client, get(&peer.url("/"))).await["body"], "hello", "after {path}");
    }
    for path in ["/early-hints", "/trailers", "/until-the-end"] {
        let answer = ask(&client, get(&peer.url(path))).await;
        assert_eq!(
            (answer["status"].as_u64(), answer["body"].as_str()),
            (Some(200), Some("hello")),
            "{path}: {answer}"
        );
        assert_eq!(answer["trailers"].as_array().unwrap().len(), usize::from(path == "/trailers"), "{answer}");
    }
}

#[tokio::test]
async fn what_has_no_end_and_is_no_body_is_cut_at_once() {
    let peer = Peer::start(misbehaving).await;
    let (server, client) = fetching(&all_of(&peer)).await;
    ask(&client, get(&peer.url("/"))).await;
    let before = server.resident_kib();
    for (path, expected) in [
        ("/hints", "HttpProtocolError"),
        ("/processing", "HttpProtocolError"),
        ("/continues", "HttpProtocolError"),
        ("/extensions", "protocol error"),
        ("/extension-each", "protocol error"),
        ("/endless-trailers", "protocol error"),
        ("/endless-status", "HttpResponseHeaderSectionSize"),
        ("/endless-head", "HttpResponseHeaderSectionSize"),
        ("/zeros", "protocol error"),
    ] {
        let begun = Instant::now();
        let said = client.failure("fetch", get(&peer.url(path))).await;
        assert!(said.contains(expected), "{path}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{path}: {:?}", begun.elapsed());
        assert_eq!(ask(&client, get(&peer.url("/"))).await["body"], "hello", "after {path}");
    }
    tinymcp_tests::until("the end of the connections", async || peer.open() <= 1).await;
    assert!(server.resident_kib() < before + 32 * 1024, "{before} KiB before, {} after", server.resident_kib());
}

/// Calls that others get in six seconds beside eight floods. On two cores that have nothing else to do it is some hundreds.
const CALLS_OF_OTHERS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_flood_leave_others_their_time() {
    let peer = Peer::start(misbehaving).await;
    let site = site(&format!("concurrency = 8\n{}", all_of(&peer))).plugin("greeter", &guest("greeter-v1"));
    let server = site.start().await;
    let client = Client::modern(&server);
    ask(&client, get(&peer.url("/"))).await;
    let until = Instant::now() + Duration::from_secs(6);
    let floods = ["/hints", "/continues", "/extension-each", "/zeros"].repeat(2).into_iter().map(|path| {
        let (client, url) = (client.clone(), peer.url(path));
        tokio::spawn(async move {
            let mut cut = 0;
            while Instant::now() < until {
                let said = client.failure("fetch", get(&url)).await;
                assert!(said.contains("HttpProtocolError") || said.contains("protocol error"), "{url}: {said}");
                cut += 1;
            }
            cut
        })
    });
    let floods: Vec<_> = floods.collect();
    let mut took = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
        took.push(begun.elapsed());
    }
    for flood in floods {
        assert!(flood.await.unwrap() > 1);
    }
    let slowest = took.iter().max().unwrap();
    assert!(took.len() >= CALLS_OF_OTHERS && *slowest < Duration::from_secs(2), "{} calls, {slowest:?}", took.len());
}

#[tokio::test]
async fn a_guest_waits_for_as_long_as_it_says() {
    let peer = Peer::start(misbehaving).await;
    let (_server, client) = fetching(&all_of(&peer)).await;
    let within = async |path: &str, first_byte: u32, between_bytes: u32| {
        let timeouts = json!({ "connect-ms": 5000, "first-byte-ms": first_byte, "between-bytes-ms": between_bytes });
        client.failure("fetch_fetch_within", json!({ "url": peer.url(path), "timeouts": timeouts })).await
    };
    let begun = Instant::now();
    let said = within("/silence", 200, 10_000).await;
    assert!(said.contains("HttpResponseTimeout"), "{said}");
    let said = within("/drip", 10_000, 200).await;
    assert!(said.contains("connection read timeout"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_closed_port_is_told_from_a_refusal() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_server, client) =
        fetching(&format!("http = [\"http://{gone}\", \"http://localhost:{}\"]", gone.port())).await;
    for url in [format!("http://{gone}/"), format!("http://localhost:{}/", gone.port())] {
        let said = client.failure("fetch", get(&url)).await;
        assert!(said.contains("ConnectionRefused"), "{said}");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_ends_with_its_call() {
    let peer = Peer::start(|request| match request.contains("/drip") {
        true => Script::Drip(b"HTTP/1.1 200 OK\r\n\r\nx".to_vec(), b"x".to_vec(), Duration::from_millis(20)),
        false => Script::text("hello"),
    })
    .await;
    let (_server, client) = fetching(&all_of(&peer)).await;
    assert_eq!(client.value("fetch_leave", json!({ "url": peer.url("/drip") })).await, 1);
    tinymcp_tests::until("the end of the connection", async || peer.open() == 0).await;
}

#[tokio::test]
async fn slow_services_hold_no_thread() {
    let peer = Peer::start(misbehaving).await;
    let table = format!("timeout = \"4s\"\nconcurrency = 250\n{}", all_of(&peer));
    let (server, client) = fetching(&table).await;
    ask(&client, get(&peer.url("/"))).await;
    let threads = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap().trim().to_owned();
        line.parse::<usize>().unwrap()
    };
    let before = threads();
    let slow = (0..200).map(|_| client.call("fetch", get(&peer.url("/silence"))));
    let waiting = futures_of(slow.collect());
    let others = async {
        tinymcp_tests::until("200 requests under way", async || peer.open() >= 200).await;
        let begun = Instant::now();
        assert_eq!(ask(&client, get(&peer.url("/"))).await["body"], "hello");
        (begun.elapsed(), threads())
    };
    let (outcomes, (took, during)) = tokio::join!(waiting, others);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(during <= before + 8, "{before} threads before, {during} with 200 slow services");
    assert!(outcomes.iter().all(|text| text.contains("did not finish within")), "{outcomes:?}");
}

/// The texts of all of these calls, made at once.
async fn futures_of<F: Future<Output = tinymcp_tests::client::CallOutcome>>(calls: Vec<F>) -> Vec<String> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    let mut texts = Vec::new();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(outcome) => {
                texts.push(outcome.text);
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    texts
}
