//! Bodies that the server does not want: their senders read the reason, with any client.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tinymcp_tests::command::finish;
use tinymcp_tests::guests::tests_dir;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::within;
use tinymcp_tests::world::{World, local};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MIB: usize = 1 << 20;

/// Posts bodies with a client of another language, and returns the statuses that it read.
fn posted(tool: &str, script: &str, server: &Server, requests: &Value) -> Vec<u16> {
    let program = tests_dir().join(".tools").join(tool);
    assert!(program.exists(), "`{}` is not installed: run `tests/run --setup-only`", program.display());
    let mut command = Command::new(program);
    command.arg(tests_dir().join("clients").join(script)).stdin(Stdio::null());
    let finished = finish(command.args([format!("http://{}", server.address), requests.to_string()]));
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

/// Paths, sizes and headers, with what each is answered.
fn unwanted() -> Vec<(Value, u16)> {
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let request =
        |path: &str, bytes: usize, headers: Value| json!({ "path": path, "bytes": bytes, "headers": headers });
    let mut requests = Vec::new();
    for bytes in [5 * MIB, 7 * MIB] {
        requests.push((request("/mcp", bytes, json!({ "content-type": json })), 401));
        requests.push((request("/mcp", bytes, json!({ "content-type": json, "host": "evil.example" })), 403));
        requests.push((request("/token", bytes, json!({ "content-type": form })), 413));
        requests.push((request("/register", bytes, json!({ "content-type": json })), 413));
        requests.push((request("/register", bytes, json!({ "content-type": json, "content-encoding": "gzip" })), 415));
        requests.push((request("/nothing", bytes, json!({})), 404));
    }
    requests
}

const CLIENTS: [(&str, &str); 2] =
    [("node/node_modules/.bin/node", "unwanted.mjs"), ("python/bin/python", "unwanted.py")];

#[tokio::test(flavor = "multi_thread")]
async fn clients_read_why_a_body_is_refused() {
    let server = World::of(local()).await.server;
    let (requests, expected): (Vec<Value>, Vec<u16>) = unwanted().into_iter().unzip();
    for (tool, script) in CLIENTS {
        assert_eq!(posted(tool, script, &server, &json!(requests)), expected, "{tool}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_read_that_a_message_is_too_large() {
    let server = Site::new().config("[server]\nbody = \"64KiB\"\n").start().await;
    let requests = json!([{ "path": "/mcp", "bytes": 6 * MIB, "headers": { "content-type": "application/json" } }]);
    for (tool, script) in CLIENTS {
        assert_eq!(posted(tool, script, &server, &requests), [413], "{tool}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_reads_it_too() {
    let server = World::of(local().config("requests_per_minute = 1\n")).await.server;
    let request = json!({ "path": "/register", "bytes": 4 * MIB, "headers": { "content-type": "application/json" } });
    let statuses = posted(CLIENTS[1].0, CLIENTS[1].1, &server, &json!([request, request, request]));
    assert_eq!(statuses, [413, 429, 429]);
}

/// Sends a head and bytes for as long as they are taken, and returns how many were and what came back.
async fn pour(server: &Server, path: &str) -> (usize, String) {
    let (mut reader, mut writer) = TcpStream::connect(server.address).await.unwrap().into_split();
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999\r\n\r\n");
    writer.write_all(head.as_bytes()).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    });
    let (mut sent, piece) = (0, vec![b'x'; 64 * 1024]);
    while sent < 200 * MIB && writer.write_all(&piece).await.is_ok() {
        sent += piece.len();
    }
    (sent, reading.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_of_an_unwanted_body_has_an_end() {
    let server = World::of(local()).await.server;
    let (sent, answer) = within("the end of the connection", pour(&server, "/nothing")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    // The rest is in buffers of the system.
    assert!(sent < 32 * MIB, "{sent}");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refused_body() {
    let server = World::of(local()).await.server;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let refused =
        format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let last = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(refused.as_bytes()).await.unwrap();
    stream.write_all(last.as_bytes()).await.unwrap();
    let mut answers = String::new();
    within("both answers", stream.read_to_string(&mut answers)).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 401") && answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn compressed_bodies_are_not_taken() {
    let server = Site::new().start().await;
    let listed = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    for (coding, expected) in [("gzip", 415), ("br", 415), ("GZIP, identity", 415), ("identity", 200)] {
        let request =
            server.request("POST", "/mcp").json(&listed).header("accept", "application/json, text/event-stream");
        let answer = request.header("content-encoding", coding).send().await;
        assert_eq!(answer.status, expected, "{coding}: {answer:?}");
        if expected == 415 {
            assert_eq!(answer.header("accept-encoding"), "identity", "{answer:?}");
            assert!(answer.json()["error"]["message"].as_str().unwrap().contains("Content-Encoding"), "{answer:?}");
        }
    }
}
