//! The rights of a plugin that the configuration does not name: to compute, to tell the time, and nothing else.

use std::net::TcpListener;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

use super::hostile;

#[tokio::test]
async fn there_is_no_environment_and_there_are_no_arguments() {
    let site = Site::new().plugin("hostile", &guest("hostile")).variable("API_KEY", "hunter2");
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.value("hostile_read_env", json!({})).await, json!([]));
    assert_eq!(client.value("hostile_read_args", json!({})).await, json!([]));
}

#[tokio::test]
async fn standard_input_is_closed() {
    let (_server, client) = hostile("").await;
    let called = client.call("hostile_read_stdin", json!({})).await;
    assert!(called.is_error || called.text == "(empty)", "{called:?}");
}

#[tokio::test]
async fn there_are_no_files() {
    let (server, client) = hostile("").await;
    for path in ["/etc/passwd", ".", "/", "tinymcp.toml", "../tinymcp.toml", "/proc/self/environ", ""] {
        client.failure("hostile_read_file", json!({ "path": path })).await;
        client.failure("hostile_list_dir", json!({ "path": path })).await;
    }
    let target = server.site().path().join("written").display().to_string();
    client.failure("hostile_write_file", json!({ "path": target, "text": "x" })).await;
    client.failure("hostile_write_file", json!({ "path": "written", "text": "x" })).await;
    assert!(!server.site().path().join("written").exists());
}

#[tokio::test]
async fn there_are_no_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_server, client) = hostile("").await;
    for host in ["127.0.0.1", "localhost", "::1"] {
        client.failure("hostile_connect", json!({ "host": host, "port": port })).await;
    }
    assert!(listener.accept().is_err(), "a guest has connected");
}

#[tokio::test]
async fn there_is_no_http() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let server = Server::with(&["http-fetch"]).await;
    let client = Client::modern(&server);
    let said = client.failure("http_fetch_fetch", json!({ "authority": authority, "path": "/" })).await;
    assert!(said.to_ascii_lowercase().contains("denied"), "{said}");
    assert!(listener.accept().is_err(), "a guest has connected");
}

#[tokio::test]
async fn time_and_chance_are_given() {
    let (_server, client) = hostile("").await;
    assert!(client.value("hostile_now", json!({})).await.as_u64().unwrap() > 1_700_000_000_000);
    let random = client.value("hostile_random", json!({})).await;
    assert_ne!(client.value("hostile_random", json!({})).await, random);
}
