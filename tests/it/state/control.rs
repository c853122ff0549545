//! The control socket: for the operator of this machine, and bounded.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

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
    let socket = server.site().path().join(".tinymcp/control/socket");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    let hello = ask(&socket, r#"{"version":1,"command":"hello"}"#);
    assert_eq!(hello["result"]["process"], server.pid());
    for (line, expected) in [
        ("{}", "not a request"),
        ("hello", "not a request"),
        ("[1]", "not a request"),
        ("\u{0}\u{0}", "not a request"),
        (r#"{"version":2,"command":"hello"}"#, "requests of version 2 are not known"),
        (r#"{"version":1,"command":"stop"}"#, "unknown command; known here: hello, kv, operator"),
        (r#"{"version":1,"command":"kv"}"#, "the arguments do not fit"),
        (r#"{"version":1,"command":"kv","arguments":{"clear":{}}}"#, "the arguments do not fit"),
    ] {
        let answer = ask(&socket, line);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(expected)), "{line}: {answer}");
    }
    let long = ask(&socket, &"x".repeat(9 << 20));
    assert!(long.is_null() || long["error"].as_str().unwrap().contains("at most"), "{long}");
    // Connections that say nothing, or never end what they say, delay nobody: a silent one has ten seconds.
    for count in [16, 64, 200] {
        let silent: Vec<UnixStream> = (0..count).map(|_| UnixStream::connect(&socket).unwrap()).collect();
        for mut half in silent.iter().step_by(2) {
            // Of many the first have given way.
            let _ = half.write_all(b"{");
        }
        let (asked, begun) = (socket.clone(), Instant::now());
        let hello = move || ask(&asked, r#"{"version":1,"command":"hello"}"#);
        let answer = tokio::task::spawn_blocking(hello).await.unwrap();
        assert_eq!(answer["result"]["process"], server.pid());
        assert!(begun.elapsed() < Duration::from_secs(8), "{count} silent connections: {:?}", begun.elapsed());
    }
    server.terminate();
    server.ended().await;
    assert!(!socket.exists(), "it goes with the server");
}

#[tokio::test]
async fn a_socket_that_a_killed_server_has_left_is_replaced_and_one_in_use_is_not() {
    let (server, client) = state(GRANTED).await;
    set(&client, "a", "one").await;
    let site = server.kill();
    let socket = site.path().join(".tinymcp/control/socket");
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

#[tokio::test]
async fn the_socket_may_be_elsewhere_in_a_directory_of_its_own() {
    let elsewhere = tempfile::tempdir().unwrap();
    let own = elsewhere.path().join("run");
    let config = format!("[state]\nsocket = '{}'\n{GRANTED}", own.join("tinymcp.sock").display());
    let site = Site::with(&["state"]).config(&config);
    let mut server = site.start().await;
    set(&Client::modern(&server), "a", "one").await;
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!server.site().path().join(".tinymcp/control").exists());
    assert_eq!(server.site().run(&["kv", "state", "get", "a"]).stdout.trim(), "one");
    // Another server, with another state directory, leaves it alone.
    let other = Site::with(&["state"]).config(&config).start().await;
    other.log.wait_for("another server has it").await;
    assert_eq!(server.site().run(&["kv", "state", "get", "a"]).stdout.trim(), "one");
    drop(other);
    server.terminate();
    server.ended().await;
    assert!(!own.join("tinymcp.sock").exists());
    // A directory that others may enter is none for a socket; the server goes on without.
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    let server = server.kill().start().await;
    server.log.wait_for("choose a directory for `state.socket`").await;
    assert_eq!(get(&Client::modern(&server), "a").await, "one");
}

#[tokio::test]
async fn a_file_in_the_place_of_the_socket_is_left_alone() {
    let site = Site::with(&["state"]).config(GRANTED);
    fs::create_dir_all(site.path().join(".tinymcp/control")).unwrap();
    fs::write(site.path().join(".tinymcp/control/socket"), "mine").unwrap();
    let server = site.start().await;
    server.log.wait_for("is no socket").await;
    assert_eq!(fs::read(server.site().path().join(".tinymcp/control/socket")).unwrap(), b"mine");
}
