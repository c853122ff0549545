//! Sockets: a plugin reaches the host and port that it was granted, and nothing else. Its peers may be slow, silent or
//! gone, and its grant may be taken back while a socket is open.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tinymcp_tests::client::Client;
use tinymcp_tests::server::{Server, Site, free_port};
use tinymcp_tests::until;

/// A grant that is withdrawn cuts what is open within two seconds. A machine that is busy with other tests is slower.
const CUT_WITHIN: Duration = Duration::from_secs(2);

/// A socket that is refused, as the standard library tells it.
const DENIED: &str = "Permission denied";

/// A server with the guest `sockets`, and these entries for it.
async fn granted(entries: &[String], further: &str) -> (Server, Client) {
    let server = Site::with(&["sockets"]).config(&table(entries, further)).start().await;
    let client = Client::modern(&server);
    (server, client)
}

fn table(entries: &[String], further: &str) -> String {
    format!("[plugin.sockets]\ntcp = {entries:?}\n{further}\n")
}

/// A peer that does something with each connection, on a thread of its own.
fn peer(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A peer that says nothing, and tells when a connection has come and when it has ended.
fn silent_peer() -> (SocketAddr, Receiver<Instant>) {
    let (sender, events) = channel();
    let address = peer(move |mut stream| {
        sender.send(Instant::now()).unwrap();
        // Whatever comes is read: the end is the next event.
        let _ = io::copy(&mut stream, &mut io::sink());
        sender.send(Instant::now()).unwrap();
    });
    (address, events)
}

/// A peer that keeps a connection for a while and reads nothing of it.
fn deaf_peer() -> SocketAddr {
    peer(|stream| {
        thread::sleep(Duration::from_secs(120));
        drop(stream);
    })
}

/// A real Redis, which is killed when this is dropped.
struct Redis {
    port: u16,
    child: Child,
    _dir: TempDir,
}

impl Redis {
    async fn start() -> Self {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(dir.path()).stdout(Stdio::null()).stdin(Stdio::null());
        let child = command.spawn().expect("redis-server is installed by `tests/run --setup-only`");
        until("a Redis that listens", async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Self { port, child, _dir: dir }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_plugin_with_nothing_but_its_standard_library_talks_to_a_redis() {
    let redis = Redis::start().await;
    let (by_name, by_address) = (format!("localhost:{}", redis.port), format!("127.0.0.1:{}", redis.port));
    let commands =
        json!([["PING"], ["SET", "greeting", "hello"], ["GET", "greeting"], ["INCR", "count"], ["GET", "none"]]);
    for (host, entry) in [("localhost", by_name), ("127.0.0.1", by_address)] {
        let (server, client) = granted(&[entry], "").await;
        let arguments = json!({ "host": host, "port": redis.port, "commands": commands });
        let answers = client.value("sockets_redis", arguments.clone()).await;
        assert_eq!(answers[0], "+PONG");
        assert_eq!(answers[2], "hello");
        assert_eq!(answers[4], "(nil)");
        // A large value in both directions.
        let large = "x".repeat(1024 * 1024);
        let commands = json!([["SET", "large", large], ["GET", "large"], ["STRLEN", "large"]]);
        let answers =
            client.value("sockets_redis", json!({ "host": host, "port": redis.port, "commands": commands })).await;
        assert_eq!(answers[1], large);
        assert_eq!(answers[2], ":1048576");

        // The same without a grant.
        server.site().configure("");
        until("the grant is gone", async || client.call("sockets_redis", arguments.clone()).await.is_error).await;
    }
}

#[tokio::test]
async fn a_grant_is_for_one_host_and_one_port() {
    let (granted_peer, events) = silent_peer();
    let (other_peer, others) = silent_peer();
    let port = granted_peer.port();
    let (_server, client) = granted(&[format!("localhost:{port}")], "").await;

    // By its name, and by the address that the look-up of the same call gave.
    client.value("sockets_connect_to", json!({ "host": "localhost", "port": port })).await;
    let after = json!({ "name": "localhost", "address": granted_peer.to_string() });
    assert_eq!(client.value("sockets_dial_after", after).await, granted_peer.to_string());

    // Without a look-up in this call, at another port, and at whatever else.
    for address in [
        granted_peer.to_string(),
        other_peer.to_string(),
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::127.0.0.1]:{port}"),
        format!("[64:ff9b::127.0.0.1]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
        "169.254.169.254:80".to_owned(),
        "[fd00:ec2::254]:80".to_owned(),
        "224.0.0.1:80".to_owned(),
        "255.255.255.255:80".to_owned(),
        "10.0.0.1:80".to_owned(),
        "8.8.8.8:53".to_owned(),
    ] {
        let said = client.failure("sockets_dial", json!({ "address": address })).await;
        assert!(said.contains(DENIED), "{address}: {said}");
    }
    for address in [other_peer.to_string(), format!("127.0.0.2:{port}"), "127.0.0.1:22".to_owned()] {
        let arguments = json!({ "name": "localhost", "address": address });
        let said = client.failure("sockets_dial_after", arguments).await;
        assert!(said.contains(DENIED), "{address}: {said}");
    }
    client.failure("sockets_connect_to", json!({ "host": "localhost", "port": other_peer.port() })).await;
    assert!(others.try_recv().is_err(), "a guest has reached a port that nobody granted");
    assert_eq!(events.try_iter().count(), 4, "two connections with their ends");
}

#[tokio::test]
async fn a_name_that_is_not_granted_looks_like_one_that_does_not_exist() {
    let entries = ["granted.invalid:1".to_owned(), "localhost:2".to_owned()];
    let (_server, client) = granted(&entries, "").await;
    let unresolvable = client.failure("sockets_look_up", json!({ "name": "granted.invalid" })).await;
    for name in ["elsewhere.invalid", "example.com", "metadata.google.internal", "a.localhost"] {
        let said = client.failure("sockets_look_up", json!({ "name": name })).await;
        let without_names = |text: &str| text.replace(name, "NAME").replace("granted.invalid", "NAME");
        assert_eq!(without_names(&said), without_names(&unresolvable), "{name}");
    }
    let found = client.value("sockets_look_up", json!({ "name": "LOCALHOST" })).await;
    assert!(found.as_array().unwrap().contains(&json!("127.0.0.1")), "{found}");
}

#[tokio::test]
async fn the_caller_reads_what_to_ask_for_and_the_operator_why() {
    let (server, client) = granted(&["granted.invalid:1".to_owned()], "").await;
    let said = client.failure("sockets_dial", json!({ "address": "127.0.0.1:6379" })).await;
    assert!(said.contains("no grant for tcp://127.0.0.1:6379: ask the operator"), "{said}");
    let said = client.failure("sockets_connect_to", json!({ "host": "db.example.com", "port": 5432 })).await;
    assert!(said.contains("no grant for tcp://db.example.com: ask the operator"), "{said}");
    assert!(!said.contains("tcp = "), "a snippet is for the operator alone: {said}");
    server.log.wait_for("no entry of `tcp` has this name").await;
}

#[tokio::test]
async fn nobody_is_led_to_this_server() {
    let site = Site::with(&["sockets"]).fixed();
    let port = site.base().port().unwrap();
    let entries = [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    let server = site.config(&table(&entries, "")).start().await;
    let client = Client::modern(&server);
    for host in ["localhost", "127.0.0.1", "::1"] {
        client.failure("sockets_connect_to", json!({ "host": host, "port": port })).await;
    }
    server.log.wait_for("it leads to this server or its proxy").await;
}

#[tokio::test]
async fn nobody_listens_and_nothing_goes_by_datagram() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_nonblocking(true).unwrap();
    let to = receiver.local_addr().unwrap();
    let (_server, client) = granted(&[format!("127.0.0.1:{}", to.port())], "").await;
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", "127.0.0.1:8099"] {
        client.failure("sockets_listen_at", json!({ "address": address })).await;
    }
    client.failure("sockets_send_datagram", json!({ "address": to.to_string() })).await;
    assert!(receiver.recv(&mut [0; 16]).is_err(), "a datagram has arrived");
}

#[tokio::test]
async fn a_call_has_so_many_connections_at_once() {
    let (address, _events) = silent_peer();
    let (server, client) = granted(&[address.to_string()], "connections = 4").await;
    let arguments = |count: u32| json!({ "host": "127.0.0.1", "port": address.port(), "count": count });
    for _ in 0..3 {
        let said = client.value("sockets_open_many", arguments(1000)).await;
        assert!(said.as_str().unwrap().starts_with("4: "), "{said}");
    }
    assert_eq!(client.value("sockets_open_in_turn", arguments(200)).await, 200);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = open();
    client.value("sockets_open_many", arguments(4)).await;
    until("every socket is closed", async || open() <= before).await;
}

#[tokio::test]
async fn both_ends_may_say_that_they_are_done() {
    let address = peer(|mut stream| {
        let mut question = String::new();
        stream.read_to_string(&mut question).unwrap();
        write!(stream, "you said {question}").unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    let (_server, client) = granted(&[address.to_string()], "").await;
    let arguments = json!({ "host": "127.0.0.1", "port": address.port(), "text": "hello" });
    assert_eq!(client.value("sockets_ask", arguments).await, "you said hello");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_holds_its_own_caller_alone() {
    const BYTES: u64 = 512 << 20;
    let (deaf, (silent, _events)) = (deaf_peer(), silent_peer());
    let further = "timeout = \"4s\"";
    let (server, client) = granted(&[deaf.to_string(), silent.to_string()], further).await;
    let pour = |address: SocketAddr| json!({ "host": "127.0.0.1", "port": address.port(), "bytes": BYTES });
    let before = server.resident_kib();
    let pouring: Vec<_> = (0..8)
        .map(|_| {
            let (client, arguments) = (client.clone(), pour(deaf));
            tokio::spawn(async move { client.failure("sockets_pour", arguments).await })
        })
        .collect();
    // Others go on meanwhile.
    let arguments = json!({ "host": "127.0.0.1", "port": silent.port() });
    for _ in 0..10 {
        client.value("sockets_connect_to", arguments.clone()).await;
    }
    for poured in pouring {
        let said = poured.await.unwrap();
        assert!(said.contains("did not finish within 4s"), "{said}");
    }
    let grown_mib = server.resident_kib().saturating_sub(before) / 1024;
    assert!(grown_mib < 64, "the server holds {grown_mib} MiB more");
}

#[tokio::test]
async fn a_guest_gives_a_silent_peer_up_when_it_likes() {
    let (silent, _events) = silent_peer();
    let (_server, client) = granted(&[silent.to_string()], "").await;
    let arguments = json!({ "host": "127.0.0.1", "port": silent.port(), "ms": 200 });
    let began = Instant::now();
    let said = client.value("sockets_impatient", arguments).await;
    assert!(["WouldBlock", "TimedOut"].contains(&said.as_str().unwrap()), "{said}");
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_peer_that_resets_is_an_error_of_the_guest() {
    let address = peer(|stream| {
        // Closed with unread bytes, which is a reset.
        thread::sleep(Duration::from_millis(100));
        drop(stream);
    });
    let (_server, client) = granted(&[address.to_string()], "").await;
    let arguments = json!({ "host": "127.0.0.1", "port": address.port(), "bytes": 64 << 20 });
    let said = client.failure("sockets_pour", arguments).await;
    assert!(!said.contains("no grant"), "{said}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_server, client) = granted(&[closed.to_string()], "").await;
    let said = client.failure("sockets_dial", json!({ "address": closed.to_string() })).await;
    assert!(said.contains("Connection refused"), "{said}");
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_cuts_a_socket_that_is_read() {
    let (address, events) = silent_peer();
    let (server, client) = granted(&[address.to_string()], "").await;
    let arguments = json!({ "host": "127.0.0.1", "port": address.port() });
    let draining = tokio::spawn(async move { client.call("sockets_drain", arguments).await });
    wait(&events).await;
    // Another grant stays, and other keys change: that cuts nothing.
    server.site().configure(&table(&[address.to_string(), "127.0.0.1:1".to_owned()], ""));
    server.log.wait_for("configuration reloaded").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!draining.is_finished() && events.try_recv().is_err(), "a grant that stays holds its sockets");

    let withdrawn = Instant::now();
    server.site().configure(&table(&["127.0.0.1:1".to_owned()], ""));
    let cut = wait(&events).await - withdrawn;
    assert!(cut < CUT_WITHIN, "cut after {cut:?}");
    draining.await.unwrap();
    assert!(withdrawn.elapsed() < CUT_WITHIN, "the guest heard of it after {:?}", withdrawn.elapsed());
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_cuts_a_socket_that_nobody_looks_at() {
    let (sender, events) = channel();
    let address = peer(move |mut stream| {
        sender.send(Instant::now()).unwrap();
        // What has arrived before is not read after the grant is gone.
        stream.write_all(b"a secret").unwrap();
        let _ = io::copy(&mut stream, &mut io::sink());
        sender.send(Instant::now()).unwrap();
    });
    let (server, client) = granted(&[address.to_string()], "").await;
    let arguments = json!({ "host": "127.0.0.1", "port": address.port(), "ms": 4000 });
    let neglecting = tokio::spawn(async move { client.value("sockets_neglect", arguments).await });
    wait(&events).await;
    let withdrawn = Instant::now();
    server.site().configure("");
    let cut = wait(&events).await - withdrawn;
    assert!(cut < CUT_WITHIN, "cut after {cut:?}");
    let said = neglecting.await.unwrap();
    let said = said.as_str().unwrap();
    assert!(said.starts_with("read: 0 bytes; written: ") && !said.ends_with("taken"), "{said}");
}

#[tokio::test]
async fn a_new_grant_is_for_new_calls() {
    let (address, events) = silent_peer();
    let (server, client) = granted(&[], "").await;
    let arguments = json!({ "address": address.to_string() });
    let said = client.failure("sockets_dial", arguments.clone()).await;
    assert!(said.contains(DENIED), "{said}");
    server.site().configure(&table(&[address.to_string()], ""));
    until("the grant is in force", async || !client.call("sockets_dial", arguments.clone()).await.is_error).await;
    wait(&events).await;
}

#[tokio::test]
async fn a_command_has_the_sockets_of_its_configuration() {
    let (address, events) = silent_peer();
    let site = Site::with(&["sockets"]).config(&table(&[address.to_string()], ""));
    let arguments = json!({ "address": address.to_string() }).to_string();
    let called = site.run(&["call", "sockets_dial", &arguments]);
    assert_eq!(called.stdout.trim(), address.to_string(), "{called:?}");
    wait(&events).await;
    site.configure("");
    let called = site.run(&["call", "sockets_dial", &arguments]);
    assert_eq!(called.code, 1, "{called:?}");
    assert!(called.stderr.contains(DENIED), "{called:?}");
}

/// Waits for the next event of a peer, away from the threads of the test.
async fn wait(events: &Receiver<Instant>) -> Instant {
    let mut event = None;
    until("an event of the peer", async || {
        event = events.try_recv().ok();
        event.is_some()
    })
    .await;
    event.unwrap()
}
