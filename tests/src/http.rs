//! Raw HTTP/1.1: every request on a connection of its own, so that dropping it is a client that goes away.
//! [`Kept`] is a connection for many, of either version.

mod kept;

pub use kept::{Kept, Version};

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use url::{Host, Position, Url, form_urlencoded};

use crate::sse::EventReader;
use crate::within;

/// A request that has not been sent.
#[derive(Clone)]
pub struct Request {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer whose body is still coming. Dropping it closes the connection.
pub struct OpenAnswer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    connection: Connection,
}

/// The messages of an event stream (HTML Living Standard §9.2). Dropping it closes the connection.
pub struct Events {
    body: Incoming,
    /// All that has come.
    raw: Vec<u8>,
    reader: EventReader,
    ready: VecDeque<Value>,
    _connection: Connection,
}

/// The task that moves a connection's bytes.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Request {
    /// A request with nothing but `Host`.
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::HOST, address.to_string().parse().expect("an address is a host"));
        let method = method.parse().expect("a method is a token");
        Self { address, method, path: path.to_owned(), headers, body: Bytes::new() }
    }

    /// A request to a URL on this machine, with its host as `Host`.
    ///
    /// # Panics
    /// When it is on another machine.
    pub fn to(url: &Url, method: &str) -> Self {
        let ip: IpAddr = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST.into(),
            other => panic!("{other:?} is not this machine"),
        };
        let port = url.port_or_known_default().expect("a URL of HTTP");
        let target = &url[Position::BeforePath..Position::AfterQuery];
        Self::new(SocketAddr::new(ip, port), method, target).header("host", url.authority())
    }

    /// Sets a header, in place of one that is there.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name is a token");
        self.headers.insert(name, HeaderValue::from_str(value).expect("a header's value is visible"));
        self
    }

    /// Adds a header beside one that is there.
    #[must_use]
    pub fn also(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name is a token");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header's value is visible"));
        self
    }

    /// Takes a header away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The headers, for tests that send them by hand.
    pub fn sent_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body, for tests that send it by hand.
    pub fn sent_body(&self) -> &[u8] {
        &self.body
    }

    /// Sets a JSON body, as MCP clients send it.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.to_string())
    }

    /// Sets a form as the body.
    #[must_use]
    pub fn form(self, parameters: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    /// Sets the token of an access as RFC 6750 §2.1 has it.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends the request, and waits for the head of the answer.
    ///
    /// # Errors
    /// The error of the system or of hyper, if there is no answer.
    pub async fn try_open(self) -> anyhow::Result<OpenAnswer> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = Connection(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse()?;
        *request.headers_mut() = self.headers;
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(OpenAnswer { status: head.status.as_u16(), headers: head.headers, body, connection })
    }

    /// Sends the request, and waits for the whole answer.
    ///
    /// # Errors
    /// The error of the system or of hyper, if there is none.
    pub async fn try_send(self) -> anyhow::Result<Answer> {
        self.try_open().await?.complete().await
    }

    /// Sends the request, and waits for the head of the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn open(self) -> OpenAnswer {
        let what = format!("{} {}", self.method, self.path);
        within(&what, self.try_open()).await.unwrap_or_else(|error| panic!("{what}: {error:#}"))
    }

    /// Sends the request, and waits for all messages that it brings: notifications, and the answer at last.
    ///
    /// # Panics
    /// When there is none, or it ends early.
    pub async fn messages(self) -> Vec<Value> {
        let opened = self.open().await;
        if opened.is_stream() {
            return opened.events().rest().await;
        }
        vec![opened.complete().await.expect("the whole answer").json()]
    }

    /// Sends the request, and waits for the whole answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        within(&what, self.try_send()).await.unwrap_or_else(|error| panic!("{what}: {error:#}"))
    }
}

impl OpenAnswer {
    /// True for a body that is an event stream.
    pub fn is_stream(&self) -> bool {
        content_type(&self.headers) == "text/event-stream"
    }

    /// The body as events.
    pub fn events(self) -> Events {
        let Self { body, connection, .. } = self;
        Events {
            body,
            raw: Vec::new(),
            reader: EventReader::default(),
            ready: VecDeque::new(),
            _connection: connection,
        }
    }

    /// Waits for the rest of the body.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn complete(self) -> anyhow::Result<Answer> {
        let Self { status, headers, body, connection } = self;
        let body = body.collect().await?.to_bytes();
        drop(connection);
        Ok(Answer { status, headers, body })
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// Status and `error` of an OAuth error (RFC 6749 §5.2), which must be well formed.
    ///
    /// # Panics
    /// When it is not.
    pub fn oauth_error(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(content_type(&self.headers), "application/json", "{self:?}");
        assert!(body.get("access_token").is_none(), "{self:?}");
        let error = body["error"].as_str().unwrap_or_else(|| panic!("no error: {self:?}"));
        (self.status, error.to_owned())
    }

    /// A header's value; empty without the header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Events {
    /// The next message; `None` when the stream has ended or broken.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let Some(Ok(frame)) = self.body.frame().await else { return None };
            if let Ok(bytes) = frame.into_data() {
                self.take(&bytes);
            }
        }
    }

    /// The next message.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn expect(&mut self, what: &str) -> Value {
        within(what, self.next()).await.unwrap_or_else(|| panic!("{what}: the stream has ended"))
    }

    /// The bytes that have been read so far, as they came.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The id of the last event that has been read.
    pub fn last_id(&self) -> Option<String> {
        self.raw().lines().filter_map(|line| line.strip_prefix("id:")).next_back().map(|id| id.trim().to_owned())
    }

    /// Waits until the server ends the stream, and returns what came before.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        within("the end of the stream", async {
            while let Some(message) = self.next().await {
                messages.push(message);
            }
        })
        .await;
        messages
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend(bytes);
        let messages = self.reader.take(bytes);
        self.ready.extend(messages.iter().map(|data| serde_json::from_str::<Value>(data).expect("messages are JSON")));
    }
}

/// The media type without its parameters.
pub fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}
