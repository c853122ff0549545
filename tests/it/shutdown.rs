//! The end of a server, orderly or not, and the next beginning.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::command::{finish, program};
use tinymcp_tests::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, frame, head};
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};
use tinymcp_tests::{until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Sends a request after all others and waits for its answer: those before it have been received.
async fn all_under_way(client: &Client) {
    client.value("greeter_v1_wait", json!({ "ms": 200 })).await;
}

async fn greeter(config: &str) -> Server {
    Site::with(&["greeter-v1"]).config(config).start().await
}

#[tokio::test]
async fn a_call_under_way_finishes_before_the_end() {
    let mut server = greeter("").await;
    let mut calls = Vec::new();
    for client in Client::both(&server).await {
        calls.push(tokio::spawn(async move { client.value("greeter_v1_wait", json!({ "ms": 4000 })).await }));
    }
    all_under_way(&Client::modern(&server)).await;
    server.terminate();
    server.log.wait_for("stopping").await;
    until("refused connections", async || TcpStream::connect(server.address).is_err()).await;
    assert!(calls.iter().all(|call| !call.is_finished()), "the calls were over before");
    for call in calls {
        assert_eq!(call.await.unwrap(), "v1");
    }
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
}

#[tokio::test]
async fn ctrl_c_ends_a_server_too() {
    let mut server = greeter("").await;
    server.interrupt();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(server.log.text().contains("stopped"), "{}", server.log.text());
}

#[tokio::test]
async fn what_outlasts_the_grace_period_is_cut() {
    let mut server = greeter("[server]\ngrace = \"300ms\"\n[limits]\ntimeout = \"10m\"\n").await;
    let mut calls = Vec::new();
    for client in Client::both(&server).await {
        calls.push(tokio::spawn(async move { client.try_call("greeter_v1_wait", json!({ "ms": 600_000 })).await }));
    }
    all_under_way(&Client::modern(&server)).await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    server.log.wait_for("grace period is over").await;
    for call in calls {
        assert!(within("a cut call", call).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = greeter("[server]\ngrace = \"5m\"\n[limits]\ntimeout = \"10m\"\n").await;
    let client = Client::modern(&server);
    let call = tokio::spawn(async move { client.try_call("greeter_v1_wait", json!({ "ms": 600_000 })).await });
    all_under_way(&Client::modern(&server)).await;
    server.terminate();
    server.log.wait_for("stopping").await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(within("a cut call", call).await.unwrap().is_err());
}

#[tokio::test]
async fn open_streams_end_and_hold_nothing_up() {
    let mut server = greeter("").await;
    let mut streams = Vec::new();
    for client in Client::both(&server).await {
        streams.push(client.listen().await);
    }
    server.terminate();
    for stream in streams {
        stream.rest().await;
    }
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
}

#[tokio::test]
async fn a_subscription_that_ends_in_order_gets_its_result() {
    let server = greeter("").await;
    let client = Client::modern(&server);
    let (id, request) =
        client.request("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let mut events = request.open().await.events();
    events.expect("an acknowledgement").await;
    server.terminate();
    let rest = events.rest().await;
    let last = rest.last().expect("a result");
    assert!(last["id"] == id && last.get("result").is_some(), "{last}");
}

#[tokio::test]
async fn idle_connections_hold_nothing_up() {
    let mut server = greeter("").await;
    let silent = TcpStream::connect(server.address).unwrap();
    let mut idle = TcpStream::connect(server.address).unwrap();
    idle.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).as_bytes()).unwrap();
    let mut answered = [0; 12];
    idle.read_exact(&mut answered).unwrap();
    assert_eq!(&answered, b"HTTP/1.1 200");
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
    drop((silent, idle));
}

#[tokio::test]
async fn clients_that_keep_the_server_waiting_hold_nothing_up() {
    let mut server = greeter("[server]\ngrace = \"10m\"\nheader_timeout = \"10m\"\n").await;
    let opened = [PREFACE, SETTINGS].concat();
    let post = head("POST", "/mcp", &[("content-type", "application/json")]);
    let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let get = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("GET", "/", &[]));
    let sent = [
        PREFACE.to_vec(),
        opened.clone(),
        // Half a frame, and half a head.
        [&opened[..], &[0, 0, 9, 1]].concat(),
        [&opened[..], &frame(HEADERS, 0, 1, &post)].concat(),
        // A body that does not come, and an answer that is not taken.
        [&opened[..], &frame(HEADERS, END_HEADERS, 1, &post), &frame(DATA, 0, 1, b"{")].concat(),
        [PREFACE, &no_window, &get].concat(),
        b"P".to_vec(),
        b"GET / HTTP/1.1\r\nx: ".to_vec(),
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
            .to_vec(),
    ];
    let mut connections = Vec::new();
    for bytes in sent {
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection.write_all(&bytes).unwrap();
        if bytes.starts_with(&opened) {
            // Its own SETTINGS.
            connection.read_exact(&mut [0; 9]).unwrap();
        }
        connections.push(connection);
        assert_eq!(server.get("/healthz").await.status, 200);
    }
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
}

/// Ends a server while strangers hold connections to it that begin with this and then send a piece again and again.
/// The grace period outlasts the test.
async fn ends_before_strangers_who_send(opening: &[u8], piece: &[u8]) {
    let site = local().config("[server]\ngrace = \"10m\"\nheader_timeout = \"10m\"\n");
    let mut server = World::of(site).await.server;
    let mut sending = Vec::new();
    for _ in 0..3 {
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection.write_all(opening).unwrap();
        let piece = piece.to_vec();
        sending.push(std::thread::spawn(move || {
            while connection.write_all(&piece).is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }));
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
    for one in sending {
        one.join().unwrap();
    }
}

const REGISTRATION: [(&str, &str); 2] = [("content-type", "application/json"), ("content-length", "60000")];

#[tokio::test]
async fn a_stranger_who_drips_head_lines_holds_nothing_up() {
    ends_before_strangers_who_send(b"POST /register HTTP/1.1\r\nhost: localhost\r\n", b"x: y\r\n").await;
}

#[tokio::test]
async fn a_stranger_who_drips_a_body_holds_nothing_up() {
    let fields = REGISTRATION.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let opening = format!("POST /register HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n{{");
    ends_before_strangers_who_send(opening.as_bytes(), b" ").await;
}

#[tokio::test]
async fn a_stranger_who_drips_a_body_over_http_2_holds_nothing_up() {
    let post = frame(HEADERS, END_HEADERS, 1, &head("POST", "/register", &REGISTRATION));
    ends_before_strangers_who_send(&[PREFACE, SETTINGS, &post].concat(), &frame(DATA, 0, 1, b" ")).await;
}

#[tokio::test]
async fn a_stranger_who_takes_no_answer_and_pings_holds_nothing_up() {
    let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let get = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("GET", "/", &[("accept", "text/html")]));
    ends_before_strangers_who_send(&[PREFACE, &no_window, &get].concat(), &frame(PING, 0, 0, b"12345678")).await;
}

#[tokio::test]
async fn a_persons_request_that_comes_slowly_is_answered_before_the_end() {
    let mut server = greeter("").await;
    let parameters = json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } });
    let (_, request) = Client::modern(&server).request("tools/call", parameters);
    let line =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| format!("{name}: {}\r\n", value.to_str().unwrap());
    let fields = request.sent_headers().iter().map(line).collect::<Vec<_>>().concat();
    let body = request.sent_body();
    let head = format!("POST /mcp HTTP/1.1\r\n{fields}content-length: {}\r\n\r\n", body.len());
    let mut connection = tokio::net::TcpStream::connect(server.address).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(server.get("/healthz").await.status, 200);
    server.terminate();
    server.log.wait_for("stopping").await;
    // Twice the time that strangers have.
    for piece in body.chunks(body.len().div_ceil(8)) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        connection.write_all(piece).await.unwrap();
    }
    let mut answer = Vec::new();
    within("the answer", connection.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("v1 greets Ada"), "{answer}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_call_over_http_2_finishes_before_the_end() {
    let mut server = greeter("").await;
    let parameters = json!({ "name": "greeter_v1_wait", "arguments": { "ms": 4000 } });
    let (_, request) = Client::modern(&server).request("tools/call", parameters);
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
    };
    let fields: Vec<_> = request.sent_headers().iter().filter(|(name, _)| *name != "host").map(text).collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let head = frame(HEADERS, END_HEADERS, 1, &head("POST", "/mcp", &fields));
    let body = frame(DATA, END_STREAM, 1, request.sent_body());
    let mut connection = tokio::net::TcpStream::connect(server.address).await.unwrap();
    connection.write_all(&[PREFACE, SETTINGS, &head, &body].concat()).await.unwrap();
    all_under_way(&Client::modern(&server)).await;
    server.terminate();
    // It takes no notice of the end, and acknowledges nothing.
    let mut answer = Vec::new();
    within("the answer", connection.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("\"v1\""), "{answer}");
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(server.log.lines("grace period is over"), Vec::<String>::new());
}

#[tokio::test]
async fn a_start_that_may_succeed_later_has_another_code_than_a_mistake() {
    // A file that is always full, in the place of one that the store writes at each start.
    let site = local();
    let store = site.path().join(".tinymcp/store");
    std::fs::create_dir_all(&store).unwrap();
    std::os::unix::fs::symlink("/dev/full", store.join("lock")).unwrap();
    let finished = site.refusal();
    assert!(finished.code == 1 && finished.stderr.contains("No space left"), "{finished:?}");
    assert!(finished.stderr.contains("make room on that disk"), "{finished:?}");
    std::fs::remove_file(store.join("lock")).unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::write(&store, "no directory").unwrap();
    let finished = site.refusal();
    assert!(finished.code == 2 && finished.stderr.contains("store"), "{finished:?}");
}

#[tokio::test]
async fn a_start_with_too_few_descriptors_fails_and_names_the_cure() {
    let site = Site::with(&["greeter-v1"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 32 && exec \"$0\" serve --listen 127.0.0.1:0"]).arg(program());
    let finished = finish(command.current_dir(site.path()).stdin(Stdio::null()));
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("32 descriptors") && finished.stderr.contains("ulimit -n"), "{finished:?}");
}

#[tokio::test]
async fn a_killed_server_starts_again_from_its_state() {
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).start().await;
    let client = Client::legacy(&server).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.try_call("greeter_wait", json!({ "ms": 5000 })).await })
        })
        .collect();
    client.value("greeter_wait", json!({ "ms": 200 })).await;
    // In the middle of calls and of a load.
    server.site().put("other.wasm", &guest("greeter-v2"));
    let server = server.kill().start().await;
    for call in calls {
        assert!(within("a cut call", call).await.unwrap().is_err());
    }
    let client = client.moved_to(&server);
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    assert_eq!(client.value("other_greet", json!({ "name": "Ada" })).await, "v2 greets Ada");
    assert_eq!(server.log.lines("WARN"), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_state_is_survived_or_named() {
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).start().await;
    let site = server.kill();
    let state = site.path().join(".tinymcp");
    std::fs::write(state.join("names.json"), "{").unwrap();
    for entry in std::fs::read_dir(&state).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in std::fs::read_dir(entry.path()).unwrap().flatten().filter(|file| file.path().is_file()) {
            std::fs::write(file.path(), "damaged").unwrap();
        }
    }
    let server = site.start().await;
    assert_eq!(Client::modern(&server).value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let site = server.kill();
    std::fs::write(site.path().join(".tinymcp/key"), "short").unwrap();
    let finished = site.refusal();
    assert!(finished.code == 2 && finished.stderr.contains("expected 32 bytes, found 5"), "{finished:?}");
}
