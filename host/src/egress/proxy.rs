//! The operator's proxy: who goes through it, and the tunnel that it makes (RFC 9110 §9.3.6).
//!
//! Every request goes through a tunnel, plain http too: what a proxy is asked for then is a place, which was judged here,
//! and never a request that it could read differently.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use url::Url;

use super::dial::Stream;
use super::failure::Failure;
use crate::grants::host::Host;

/// Bytes that a proxy may send before its tunnel begins, informational answers included.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A proxy, and those who do not need it.
#[derive(Clone)]
pub struct Proxy {
    /// Its URL, user name and password included.
    pub url: Url,
    /// It is asked for names, and not for addresses.
    pub resolves: bool,
    /// Hosts that are reached without it.
    pub direct: Direct,
}

/// Shows no password.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("host", &self.url.host_str()).field("resolves", &self.resolves).finish()
    }
}

/// Hosts that are reached without the proxy, as `NO_PROXY` lists them: addresses, networks, and domains with all below
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Direct {
    networks: Vec<IpNet>,
    domains: Vec<String>,
    all: bool,
}

impl Direct {
    /// Reads a list, separated by commas or spaces. What is neither an address nor a name is nobody.
    pub fn parse(list: &str) -> Self {
        let mut direct = Self::default();
        for entry in list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let bare = entry.trim_start_matches('[').trim_end_matches(']');
            match (entry, entry.parse::<IpNet>(), bare.parse::<IpAddr>()) {
                ("*", ..) => direct.all = true,
                (_, Ok(network), _) => direct.networks.push(network),
                (_, _, Ok(address)) => direct.networks.push(address.into()),
                _ => {
                    let domain = entry.trim_start_matches("*.").trim_start_matches('.');
                    direct.domains.push(domain.trim_end_matches('.').to_ascii_lowercase());
                }
            }
        }
        direct
    }

    pub(super) fn contains(&self, host: &Host) -> bool {
        self.all
            || match host {
                Host::Address(address) => self.networks.iter().any(|network| network.contains(address)),
                Host::Name(name) => self.domains.iter().any(|domain| {
                    let labels = name.strip_suffix(domain.as_str());
                    labels.is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
                }),
            }
    }
}

impl Proxy {
    /// Asks for a tunnel to a place, `host:port`, over a connection to the proxy.
    ///
    /// # Errors
    /// [`Failure::Proxy`].
    pub(super) async fn tunnel(&self, stream: Stream, place: &str) -> Result<TokioIo<Upgraded>, Failure> {
        let failed = |error: hyper::Error| Failure::Proxy(error.to_string());
        let is_open = Arc::new(AtomicBool::new(false));
        let stream = Bounded { stream, left: ANSWER_BYTES_MAX, is_open: Arc::clone(&is_open) };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let uri: Uri = place.parse().map_err(|_| Failure::Proxy("the place has no form".to_owned()))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = uri;
        let host = HeaderValue::from_str(place).map_err(|_| Failure::Proxy("the place has no form".to_owned()))?;
        request.headers_mut().insert(HOST, host);
        if let Some(credentials) = self.authorization() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials);
        }
        // Nothing but the answer is waited for: the connection ends with the tunnel, or with this future.
        let connection = connection.with_upgrades();
        let asked = async {
            let answer = sender.send_request(request).await.map_err(failed)?;
            match answer.status() {
                status if status.is_success() => hyper::upgrade::on(answer).await.map_err(failed),
                status if status == http::StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                    Err(Failure::Proxy("it wants a user name and password, or others (status 407)".to_owned()))
                }
                status => Err(Failure::Proxy(format!("status {}", status.as_u16()))),
            }
        };
        let served = async {
            match connection.await {
                Ok(()) => std::future::pending().await,
                Err(error) => Err(failed(error)),
            }
        };
        tokio::select! {
            biased;
            tunnel = asked => {
                is_open.store(true, Ordering::Relaxed);
                tunnel.map(TokioIo::new)
            }
            failure = served => failure,
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = (self.url.username(), self.url.password().unwrap_or_default());
        if user.is_empty() && password.is_empty() {
            return None;
        }
        let plain = format!("{}:{}", decoded(user), decoded(password));
        let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A connection to a proxy, of which only so much is read before its tunnel is open: a proxy may send informational
/// answers without end, and each is read and forgotten.
struct Bounded {
    stream: Stream,
    left: usize,
    is_open: Arc<AtomicBool>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_open.load(Ordering::Relaxed) {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("its answer is too large")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A part of a URL without its escapes.
fn decoded(text: &str) -> String {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn hosts_that_go_direct_are_named_as_elsewhere() {
        let direct = Direct::parse("intern.example, .corp.example,10.0.0.0/8 [::1] *.x.example");
        for (host, expected) in [
            ("intern.example", true),
            ("a.intern.example", true),
            ("notintern.example", false),
            ("corp.example", true),
            ("a.corp.example", true),
            ("a.x.example", true),
            ("10.1.2.3", true),
            ("11.1.2.3", false),
            ("[::1]", true),
            ("example", false),
        ] {
            assert_eq!(direct.contains(&Host::parse(host).unwrap()), expected, "{host}");
        }
        assert!(Direct::parse("a.example, *").contains(&Host::parse("b.example").unwrap()));
        assert!(!Direct::default().contains(&Host::parse("b.example").unwrap()));
    }

    #[tokio::test]
    async fn a_proxy_that_only_informs_is_left() {
        let (near, mut far) = tokio::io::duplex(16 * 1024);
        let flood = tokio::spawn(async move {
            let piece = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
            let mut sent = 0;
            while sent < 16 * ANSWER_BYTES_MAX && far.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
            sent
        });
        let url = Url::parse("http://proxy.example:3128").unwrap();
        let proxy = Proxy { url, resolves: false, direct: Direct::default() };
        let failure = proxy.tunnel(Box::new(near), "example.com:443").await.unwrap_err();
        assert!(matches!(failure, Failure::Proxy(_)), "{failure}");
        assert!(flood.await.unwrap() < 4 * ANSWER_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_tunnel_takes_more_than_the_answer_before_it() {
        let (near, mut far) = tokio::io::duplex(16 * 1024);
        let sending = tokio::spawn(async move {
            far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            far.write_all(&vec![b'x'; 4 * ANSWER_BYTES_MAX]).await.unwrap();
        });
        let url = Url::parse("http://proxy.example:3128").unwrap();
        let proxy = Proxy { url, resolves: false, direct: Direct::default() };
        let mut tunnel = proxy.tunnel(Box::new(near), "example.com:443").await.unwrap();
        let mut bytes = Vec::new();
        tunnel.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len(), 4 * ANSWER_BYTES_MAX);
        sending.await.unwrap();
    }

    #[test]
    fn a_password_is_sent_as_it_is_meant_and_never_shown() {
        let url = Url::parse("http://user:a%20b%2Bc+d@proxy.example:3128").unwrap();
        let proxy = Proxy { url, resolves: false, direct: Direct::default() };
        let expected = format!("Basic {}", STANDARD.encode("user:a b+c+d"));
        assert_eq!(proxy.authorization().unwrap().to_str().unwrap(), expected);
        assert!(!format!("{proxy:?}").contains("a%20b"));
    }
}
