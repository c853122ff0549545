//! Attacks by those who have not logged in on what others need: connections, memory, room in the log. Every attack is
//! bounded in count and time, and each test says what others get meanwhile.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::Client;
use tinymcp_tests::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, head};
use tinymcp_tests::http::Answer;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};
use tinymcp_tests::{until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The memory that strangers may make the server hold, and as much again for what the allocator keeps of it.
const HELD_KIB: u64 = 64 * 1024;

/// Others are served long before a stranger's requests have to end, which have a minute.
const SOON: Duration = Duration::from_secs(30);

/// Opens a connection from an address of loopback, of which there are many.
async fn connect_from(server: &Server, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from([127, 0, 0, last]), 0)).unwrap();
    within("a connection", socket.connect(server.address)).await.unwrap()
}

/// Opens connections that send this and no more.
async fn silent(server: &Server, count: usize, last: u8, bytes: &[u8]) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = connect_from(server, last).await;
        // One that is turned away at once is no loss to the attack.
        let _ = connection.write_all(bytes).await;
        connections.push(connection);
    }
    connections
}

async fn served_in_time(server: &Server) {
    let asked = Instant::now();
    assert_eq!(server.get("/healthz").await.status, 200);
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

/// Headers of a POST that is to go on, compressed (RFC 7541): one field that is put into the table, and `repeats` more
/// that are one byte each.
fn bomb(stream: u32, path: &str, repeats: usize) -> Vec<u8> {
    let literal = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let field = [&b"\x40\x01x\x01"[..], b"y"].concat();
    let block =
        [vec![0x83, 0x86], literal(0x04, path), literal(0x01, "localhost"), field, vec![0xbe; repeats]].concat();
    frame(1, 0x4, stream, &block)
}

#[tokio::test]
async fn the_preface_alone_holds_no_place_for_ever() {
    let server = Site::new().config("[server]\nheader_timeout = \"300ms\"\n").start().await;
    for sent in [PREFACE.to_vec(), [PREFACE, SETTINGS].concat(), [PREFACE, SETTINGS, &[0, 0, 9, 1]].concat()] {
        let mut connection = connect_from(&server, 1).await;
        connection.write_all(&sent).await.unwrap();
        let _ = within("the end of the connection", connection.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn who_takes_every_place_and_is_silent_makes_room() {
    let server = Site::new().config("[server]\nconnections = 16\nheader_timeout = \"1h\"\n").start().await;
    for sent in [PREFACE, b"", b"GET / HTTP/1.1\r\nx: "] {
        // From elsewhere, and from the very address of those who want to be served.
        for last in [1, 2] {
            let taken = silent(&server, 40, last, sent).await;
            served_in_time(&server).await;
            drop(taken);
        }
    }
}

#[tokio::test]
async fn who_has_every_place_in_use_makes_room_for_others() {
    let server = Site::new().config("[server]\nconnections = 8\n").start().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(Client::legacy(&server).await.listen().await);
    }
    // Everybody is the same person here, and whoever comes is a stranger before.
    served_in_time(&server).await;
}

#[tokio::test]
async fn bodies_that_do_not_come_take_no_place_of_others() {
    let server = World::of(local().config("[server]\nconnections = 16\n")).await.server;
    let slow = b"POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
        content-length: 60000\r\n\r\ngrant_type=";
    let taken = silent(&server, 40, 2, slow).await;
    served_in_time(&server).await;
    drop(taken);
}

#[tokio::test]
async fn a_living_stream_outlasts_the_deadlines_of_what_is_silent() {
    let server = Site::with(&["greeter-v1"]).config("[server]\nheader_timeout = \"1s\"\n").start().await;
    let mut events = Client::legacy(&server).await.listen().await;
    // That nothing happens is what is tested.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.site().put("another.wasm", &tinymcp_tests::guests::guest("greeter-v2"));
    assert_eq!(events.expect("a change").await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn compressed_heads_do_not_become_memory() {
    let server = World::of(local()).await.server;
    served_in_time(&server).await;
    let before = server.resident_kib();
    let mut connections = Vec::new();
    let mut most = 0;
    for _ in 0..64 {
        let mut connection = connect_from(&server, 2).await;
        let mut sent = [PREFACE, SETTINGS].concat();
        for stream in 0..100 {
            // Just below what a list of headers may have: more is refused as it is read.
            sent.extend(bomb(2 * stream + 1, "/register", 470));
        }
        let _ = connection.write_all(&sent).await;
        connections.push(connection);
        most = most.max(server.resident_kib());
    }
    served_in_time(&server).await;
    most = most.max(server.resident_kib());
    assert!(most < before + HELD_KIB, "{before} KiB grew to {most} KiB");
}

#[tokio::test]
async fn a_head_of_too_many_fields_is_refused_on_http_2_too() {
    let server = Site::new().start().await;
    let mut connection = connect_from(&server, 1).await;
    connection
        .write_all(&[PREFACE, SETTINGS, &bomb(1, "/healthz", 200), &bomb(3, "/healthz", 700)].concat())
        .await
        .unwrap();
    let mut heads = 0;
    while heads < 2 {
        let mut head = [0; 9];
        within("a frame", connection.read_exact(&mut head)).await.unwrap();
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
        within("its payload", connection.read_exact(&mut payload)).await.unwrap();
        if head[3] == 1 {
            heads += 1;
            // `:status`, literal with the name of index 8 (RFC 7541 Appendix A): 431, Huffman or not, or from the table.
            assert!(payload[0] != 0x88, "status 200: {payload:?}");
        }
    }
}

#[tokio::test]
async fn unread_bodies_and_heads_do_not_become_memory() {
    let server = World::of(local()).await.server;
    let before = server.resident_kib();
    let form = format!(
        "POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: 65000\r\n\r\n{}",
        "x".repeat(64_000)
    );
    let head = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\nx: {}", "p".repeat(1000), "h".repeat(60_000));
    let data = [PREFACE, SETTINGS, &bomb(1, "/register", 1), &frame(0, 0, 1, &vec![b'x'; 15_000]).repeat(4)].concat();
    let pieces = [PREFACE, SETTINGS, &bomb(1, "/register", 1), &frame(0, 0, 1, b"x").repeat(16_000)].concat();
    let mut most = 0;
    for sent in [form.as_bytes(), head.as_bytes(), &data, &pieces] {
        let mut held = Vec::new();
        for last in 0..10 {
            held.extend(silent(&server, 60, 10 + last, sent).await);
            most = most.max(server.resident_kib());
        }
        served_in_time(&server).await;
        most = most.max(server.resident_kib());
    }
    assert!(most < before + HELD_KIB, "{before} KiB grew to {most} KiB");
}

#[tokio::test]
async fn everything_that_strangers_hold_at_once_has_a_bound() {
    let server = World::of(local()).await.server;
    served_in_time(&server).await;
    let before = server.resident_kib();
    let opened = [PREFACE, SETTINGS].concat();
    let no_window = [PREFACE, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    let get = |stream: u32, path: &str| {
        frame(HEADERS, END_STREAM | END_HEADERS, stream, &head("GET", path, &[("accept", "text/html")]))
    };
    let each = |make: &dyn Fn(u32) -> Vec<u8>| (0..16).flat_map(|at| make(2 * at + 1)).collect::<Vec<u8>>();
    let long = format!("/authorize?client_id={}", "c".repeat(10_000));
    let http1 = |line: &str, more: &str| format!("{line} HTTP/1.1\r\nhost: localhost\r\n{more}").into_bytes();
    let form = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 65000\r\n\r\n";
    let all = [
        // Half of a head, half of a body, and a body that is refused.
        http1(&format!("GET /{}", "p".repeat(1000)), &format!("x: {}", "h".repeat(62_000))),
        http1("POST /token", &format!("{form}{}", "x".repeat(64_000))),
        http1("POST /mcp", &format!("content-length: 8000000\r\n\r\n{}", "x".repeat(500_000))),
        // Answers that nobody reads.
        http1(&format!("GET {long}"), "accept: text/html\r\n\r\n").repeat(50),
        [&no_window[..], &each(&|stream| get(stream, "/"))].concat(),
        [&no_window[..], &each(&|stream| get(stream, &long))].concat(),
        // Heads that are small on their way, bodies in large and in small pieces, and half of a head.
        [&opened[..], &each(&|stream| bomb(stream, "/register", 470))].concat(),
        [&opened[..], &bomb(1, "/register", 1), &frame(DATA, 0, 1, &vec![b'x'; 15_000]).repeat(4)].concat(),
        [&opened[..], &bomb(1, "/register", 1), &frame(DATA, 0, 1, b"x").repeat(60_000)].concat(),
        [&opened[..], &frame(HEADERS, 0, 1, &vec![0xbe; 16_000]), &frame(9, 0, 1, &vec![0xbe; 16_000])].concat(),
    ];
    let (mut held, mut most) = (Vec::new(), 0);
    for last in 10..20 {
        for sent in &all {
            held.extend(silent(&server, 4, last, sent).await);
        }
        most = most.max(server.resident_kib());
    }
    served_in_time(&server).await;
    most = most.max(server.resident_kib());
    // The places of strangers, half of each protocol.
    let connections = 96 * (20 + 64);
    assert!(most < before + HELD_KIB + connections, "{before} KiB grew to {most} KiB");
}

#[tokio::test]
async fn people_log_in_while_strangers_send_what_they_can() {
    let world = World::of(local().config("[server]\nconnections = 64\n")).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let address = world.server.address;
    let attack = {
        let stop = stop.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let mut connections = std::collections::VecDeque::new();
            loop {
                if let Ok(mut connection) = TcpStream::connect(address).await {
                    let _ = connection.write_all(&[PREFACE, SETTINGS, &bomb(1, "/token", 90)].concat()).await;
                    connections.push_back(connection);
                }
                if connections.len() > 200 {
                    connections.pop_front();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
    };
    let client = world.register(Kind::ALL[0]).await;
    let tokens = within("a login", client.log_in(&mut Browser::of("alice"))).await;
    assert_eq!(world.modern(&tokens.access).tools().await.len(), 0);
    stop.cancel();
    let _ = attack.await;
}

/// The answer to a request from another origin, with a long header beside it.
async fn refused(server: &Server, at: usize) -> Answer {
    let origin = format!("https://{}.example/\u{202e}{at}", "o".repeat(50_000));
    server.request("POST", "/mcp").header("origin", &origin.replace('\u{202e}', "")).body("{}").send().await
}

#[tokio::test]
async fn refusals_take_little_room_in_the_log() {
    let server = Site::new().start().await;
    for at in 0..60 {
        assert_eq!(refused(&server, at).await.status, 403);
        assert_eq!(server.request("GET", "/").header("host", &"h".repeat(40_000)).send().await.status, 403);
    }
    until("records", async || !server.log.lines("another host").is_empty()).await;
    for kind in ["another host", "another origin"] {
        let lines = server.log.lines(kind);
        assert!((1..=11).contains(&lines.len()), "{} lines", lines.len());
        assert!(lines.iter().all(|line| line.len() < 1024 && !line.contains("Some(")), "{lines:?}");
    }
    assert!(server.log.text().len() < 64 * 1024, "{}", server.log.text().len());
}
