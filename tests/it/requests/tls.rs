//! TLS and HTTP/2, with an authority of the house, and the operator's proxy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, frame};
use tinymcp_tests::peer::{Peer, Script};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::{ask, configuration, fetching, get, site};

/// A server of HTTP/2 over TLS that says what it was asked for, `Authorization` too.
pub(crate) struct Service {
    pub(crate) port: u16,
    /// The certificate of its authority.
    pub(crate) pem: String,
    connections: Arc<AtomicUsize>,
    authorizations: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// The number of its connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// `Authorization` of each request so far; empty without one.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.authorizations.lock().unwrap().clone()
    }
}

/// A port where HTTP/2 over TLS is spoken.
struct Secured {
    acceptor: TlsAcceptor,
    listener: TcpListener,
    port: u16,
    pem: String,
}

async fn secured() -> Secured {
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let (authority_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    Secured { acceptor, listener, port, pem }
}

pub(crate) async fn service() -> Service {
    let Secured { acceptor, listener, port, pem } = secured().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let authorizations: Arc<Mutex<Vec<String>>> = Arc::default();
    let (counted, noted) = (Arc::clone(&connections), Arc::clone(&authorizations));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted, noted) = (acceptor.clone(), Arc::clone(&counted), Arc::clone(&noted));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let answer = service_fn(|request| said(request, Arc::clone(&noted)));
                let _ = served.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    Service { port, pem, connections, authorizations }
}

async fn said(
    request: Request<Incoming>,
    authorizations: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let authorization = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    let said = format!("{:?} {} {} {authorization}", request.version(), request.method(), request.uri());
    authorizations.lock().unwrap().push(authorization);
    Ok(Response::new(Full::from(said.trim_end().to_owned())))
}

#[tokio::test]
async fn http_2_with_an_authority_of_the_house() {
    let service = service().await;
    let port = service.port;
    let table = format!("http = [\"https://localhost:{port}\"]");
    let site = site("");
    std::fs::write(site.path().join("house.pem"), &service.pem).unwrap();
    let server = site.config(&format!("[egress]\nca_file = \"house.pem\"\n{}", configuration(&table))).start().await;
    let client = Client::modern(&server);
    let url = format!("https://localhost:{port}/x?y");
    let answer = ask(&client, get(&url)).await;
    assert_eq!(answer["body"], format!("HTTP/2.0 GET https://localhost:{port}/x?y"));
    let outcomes = client.value("fetch_fetch_all", json!({ "urls": [url, url, url] })).await;
    assert_eq!(outcomes, json!(["200", "200", "200"]));
    assert_eq!(service.connections(), 1, "one connection has room for all");
    let said = client.failure("fetch", get(&format!("https://127.0.0.1:{port}/"))).await;
    assert!(said.contains("HttpRequestDenied"), "{said}");
}

/// A server of HTTP/2 that takes a request, says `begin` and then `piece` without an end.
async fn endless(begin: Vec<u8>, piece: Vec<u8>) -> (u16, String) {
    let Secured { acceptor, listener, port, pem } = secured().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, begin, piece) = (acceptor.clone(), begin.clone(), piece.clone());
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(acceptor.accept(stream).await?);
                writer.write_all(SETTINGS).await?;
                let mut read = Vec::new();
                while !read.windows(5).any(|head| head == [HEADERS, END_STREAM | END_HEADERS, 0, 0, 0]) {
                    reader.read_buf(&mut read).await?;
                }
                let discard = async { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await };
                let flood = async {
                    writer.write_all(&begin).await?;
                    loop {
                        writer.write_all(&piece).await?;
                    }
                };
                tokio::select! { flooded = flood => flooded, gone = discard => gone.map(drop) }
            });
        }
    });
    (port, pem)
}

#[tokio::test]
async fn frames_that_carry_no_body_have_an_end() {
    let status = |code: &str| frame(HEADERS, END_HEADERS, 1, &[&[8, 3], code.as_bytes()].concat());
    let thousand = |one: Vec<u8>| one.repeat(1000);
    for (kind, begin, piece) in [
        ("interim answers", Vec::new(), thousand(status("103"))),
        ("pings", Vec::new(), thousand(frame(PING, 0, 0, &[7; 8]))),
        ("pings within a body", status("200"), thousand(frame(PING, 0, 0, &[7; 8]))),
        ("settings", Vec::new(), thousand(frame(4, 0, 0, &[0, 4, 0, 0, 255, 255]))),
        ("windows", Vec::new(), [frame(8, 0, 0, &[0, 0, 0, 1]), frame(8, 0, 1, &[0, 0, 0, 1])].concat().repeat(1000)),
        ("priorities", status("200"), thousand(frame(2, 0, 3, &[0, 0, 0, 0, 7]))),
        ("kinds that nobody knows", status("200"), thousand(frame(200, 0, 1, &[7; 100]))),
        ("empty pieces", status("200"), thousand(frame(DATA, 0, 1, &[]))),
        ("padding alone", status("200"), thousand(frame(DATA, 8, 1, &[3, 0, 0, 0]))),
        (
            "a head without its end",
            frame(HEADERS, 0, 1, &[8, 3, b'2', b'0', b'0']),
            thousand(frame(9, 0, 1, &[0, 1, b'x', 0])),
        ),
    ] {
        let (port, pem) = endless(begin, piece).await;
        let site = site("");
        std::fs::write(site.path().join("house.pem"), &pem).unwrap();
        let table = format!("timeout = \"20s\"\nhttp = [\"https://localhost:{port}\"]");
        let server =
            site.config(&format!("[egress]\nca_file = \"house.pem\"\n{}", configuration(&table))).start().await;
        let client = Client::modern(&server);
        let before = server.resident_kib();
        let begun = std::time::Instant::now();
        let said = client.failure("fetch", get(&format!("https://localhost:{port}/"))).await;
        assert!(!said.contains("did not finish"), "{kind}: {said}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{kind}: {:?}", begun.elapsed());
        assert!(
            server.resident_kib() < before + 64 * 1024,
            "{kind}: {before} KiB before, {} after",
            server.resident_kib()
        );
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_not_taken() {
    let service = service().await;
    let port = service.port;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = plain.accept().await {
            client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let table = format!("http = [\"https://localhost:{port}\", \"https://{place}\"]");
    let (server, client) = fetching(&table).await;
    let said = client.failure("fetch", get(&format!("https://localhost:{port}/"))).await;
    assert!(said.contains("TlsCertificateError"), "{said}");
    server.log.wait_for("the certificate is not trusted").await;
    assert_eq!(service.connections(), 0);
    let said = client.failure("fetch", get(&format!("https://{place}/"))).await;
    assert!(said.contains("Tls"), "{said}");
}

/// A proxy that makes tunnels to one address, whatever it is asked for. Gives its address and what it was sent.
async fn proxy(target: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let remembered = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heads = Arc::clone(&remembered);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    if client.read_buf(&mut head).await? == 0 {
                        return Ok(());
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let is_denied = head.contains("denied.example");
                heads.lock().unwrap().push(head);
                if is_denied {
                    return client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
                }
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                let mut server = TcpStream::connect(target).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
            });
        }
    });
    (address, heads)
}

#[tokio::test]
async fn requests_go_through_the_proxy_and_near_ones_do_not() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let (address, heads) = proxy(peer.address).await;
    let near = peer.address;
    let table = format!(
        "http = [\"http://8.8.8.8:81\", \"http://{near}\", \"http://named.example\", \"http://denied.example\", \"http://{address}\"]"
    );
    let egress = format!("[egress]\nproxy = \"http://user:hunter2@{address}\"\nproxy_resolves = true\n");
    let server = site("").config(&format!("{egress}{}", configuration(&table))).start().await;
    let client = Client::modern(&server);
    ask(&client, get(&format!("http://{near}/"))).await;
    assert_eq!(heads.lock().unwrap().len(), 0, "what is near goes direct");
    assert_eq!(ask(&client, get("http://8.8.8.8:81/x")).await["body"], "hello");
    assert_eq!(ask(&client, get("http://named.example/x")).await["body"], "hello");
    let seen = heads.lock().unwrap().clone();
    assert!(seen[0].starts_with("CONNECT 8.8.8.8:81 HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[1].starts_with("CONNECT named.example:80 HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic dxnlcjpodw50zxiy")));
    assert!(peer.requests().iter().all(|request| !request.contains("proxy-")), "{:?}", peer.requests());
    let said = client.failure("fetch", get("http://denied.example/")).await;
    assert!(said.contains("DestinationUnavailable"), "{said}");
    server.log.wait_for("makes no tunnel: status 403").await;
    // The proxy itself is nobody's.
    client.failure("fetch", get(&format!("http://{address}/"))).await;
    assert!(!server.log.text().contains("hunter2"));
}
