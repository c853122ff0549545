//! The control socket: for the operator of this machine, and bounded.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::server::Site;

use super::{GRANTED, get, set, state};

/// What the socket answers to a line; nothing where it hangs up.
fn ask(socket: &Path, line: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\n"));
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer);
    serde_json::from_str(&answer).unwrap_or_default()
}

#[tokio::test]
async fn the_socket_is_private_and_takes_what_it_knows() {
    let (mut server, _client) = state(GRANTED).await;
    let socket = server.site().path().join(".tinymcp/control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let hello = ask(&socket, r#"{"version":1,"command":"hello"}"#);
    assert_eq!(hello["result"]["process"], server.pid());
    for (line, expected) in [
        ("{}", "not a request"),
        ("hello", "not a request"),
        ("[1]", "not a request"),
        ("\u{0}\u{0}", "not a request"),
        (r#"{"version":2,"command":"hello"}"#, "requests of version 2 are not known"),
        (r#"{"version":1,"command":"stop"}"#, "unknown command; known here: hello, kv, approve"),
        (r#"{"version":1,"command":"kv"}"#, "the arguments do not fit"),
        (r#"{"version":1,"command":"kv","arguments":{"clear":{}}}"#, "the arguments do not fit"),
    ] {
        let answer = ask(&socket, line);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(expected)), "{line}: {answer}");
    }
    let long = ask(&socket, &"x".repeat(9 << 20));
    assert!(long.is_null() || long["error"].as_str().unwrap().contains("at most"), "{long}");
    // Connections that say nothing take places for a while, and no more.
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let asked = socket.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&asked, r#"{"version":1,"command":"hello"}"#)).await.unwrap();
    assert_eq!(answer["result"]["process"], server.pid());
    drop(silent);
    server.terminate();
    server.ended().await;
    assert!(!socket.exists(), "it goes with the server");
}

#[tokio::test]
async fn a_socket_that_a_killed_server_has_left_is_replaced_and_one_in_use_is_not() {
    let (server, client) = state(GRANTED).await;
    set(&client, "a", "one").await;
    let site = server.kill();
    let socket = site.path().join(".tinymcp/control.sock");
    assert!(socket.exists());
    let server = site.start().await;
    assert_eq!(ask(&socket, r#"{"version":1,"command":"hello"}"#)["result"]["process"], server.pid());
    // Another server with the same state directory serves, and leaves socket and state to the first.
    let other = Site::with(&["state"])
        .config(&format!("[state]\ndir = '{}'\n{GRANTED}", server.site().path().join(".tinymcp").display()));
    let other = other.start().await;
    other.log.wait_for("no control socket").await;
    assert_eq!(ask(&socket, r#"{"version":1,"command":"hello"}"#)["result"]["process"], server.pid());
    let client = Client::modern(&other);
    let said = client.failure("state_get", json!({ "key": "a" })).await;
    assert!(said.contains("cannot be used now"), "{said}");
    other.log.wait_for("in use by another process").await;
    assert_eq!(get(&Client::modern(&server), "a").await, "one");
}

#[tokio::test]
async fn a_state_directory_may_have_a_long_name() {
    let site = Site::with(&["state"]);
    let long = site.path().join("x".repeat(120)).join("y".repeat(120));
    let server = site.config(&format!("[state]\ndir = '{}'\n{GRANTED}", long.display())).start().await;
    set(&Client::modern(&server), "a", "one").await;
    let listed = server.site().run(&["kv", "state", "get", "a"]);
    assert_eq!((listed.code, listed.stdout.trim()), (0, "one"), "{listed:?}");
}
