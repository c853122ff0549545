//! One client, which knows the right answer to each of its calls.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::http::Connection;
use super::http2::{self, Http2};
use tinymcp_tests::http::Version;

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

/// A call that takes longer has failed. Real clients wait for a minute.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to call, and as whom.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The access token, where somebody has logged in.
    pub(crate) token: Option<String>,
}

impl Target {
    /// A server that asks nobody who they are.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    fn authorization(&self) -> String {
        let header = |token: &String| format!("authorization: Bearer {token}\r\n");
        self.token.as_ref().map(header).unwrap_or_default()
    }
}

/// The language in which a server is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// MCP 2026-07-28, with all its headers.
    Modern,
    /// MCP 2025-11-25, in a session.
    Legacy,
    /// The same JSON as the modern one, to a server that gives it back.
    Echo,
}

/// A dialect over a version of HTTP.
#[derive(Clone, Copy)]
pub(crate) struct Protocol {
    pub(crate) dialect: Dialect,
    pub(crate) http: Version,
}

impl Protocol {
    /// MCP 2026-07-28 over HTTP/1.1, as most clients come.
    pub(crate) const USUAL: Self = Self { dialect: Dialect::Modern, http: Version::Http1 };
}

/// A client of `add` with a connection of its own.
pub(crate) struct Caller {
    link: Link,
    dialect: Dialect,
    body: Vec<u8>,
}

/// A connection, with the headers that are the same in every request.
enum Link {
    /// The request line is before the headers.
    Http1 {
        connection: Connection,
        head: String,
        request: Vec<u8>,
    },
    Http2 {
        connection: Http2,
        headers: http::HeaderMap,
    },
}

/// An answer as either version brings it.
struct Received<'a> {
    status: u16,
    session_id: Option<String>,
    body: &'a [u8],
}

/// The text that an answer of `add` must have.
#[derive(Deserialize)]
struct Answer {
    id: u64,
    result: AddResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddResult {
    structured_content: Option<Sum>,
    /// Read where there is nothing structured.
    #[serde(default)]
    content: Vec<Text>,
    #[serde(default)]
    is_error: bool,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Sum {
    result: f64,
}

/// The text that an echo must have.
#[derive(Deserialize)]
struct Echo {
    id: u64,
    params: EchoParams,
}

#[derive(Deserialize)]
struct EchoParams {
    arguments: Addends,
}

#[derive(Deserialize)]
struct Addends {
    a: f64,
    b: f64,
}

impl Link {
    async fn open(address: SocketAddr, version: Version, head: String) -> anyhow::Result<Self> {
        Ok(match version {
            Version::Http1 => Self::Http1 { connection: Connection::open(address).await?, head, request: Vec::new() },
            Version::Http2 => Self::Http2 { connection: Http2::open(address).await?, headers: http2::headers(&head)? },
        })
    }

    /// Sends other headers from now on.
    fn set_head(&mut self, new: String) -> anyhow::Result<()> {
        match self {
            Self::Http1 { head, .. } => *head = new,
            Self::Http2 { headers, .. } => *headers = http2::headers(&new)?,
        }
        Ok(())
    }

    async fn exchange(&mut self, body: &[u8]) -> anyhow::Result<Received<'_>> {
        match self {
            Self::Http1 { connection, head, request } => {
                request.clear();
                write!(request, "{head}content-length: {}\r\n\r\n", body.len())?;
                request.extend_from_slice(body);
                let (head, body) = connection.exchange(request).await?;
                Ok(Received { status: head.status, session_id: head.session_id, body })
            }
            Self::Http2 { connection, headers } => {
                let (status, session_id, body) = connection.exchange(headers, body).await?;
                Ok(Received { status, session_id, body })
            }
        }
    }
}

impl Caller {
    /// Connects, and begins a session where the dialect has one.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the handshake.
    pub(crate) async fn connect(target: &Target, protocol: Protocol) -> anyhow::Result<Self> {
        let Protocol { dialect, http } = protocol;
        let head = match dialect {
            Dialect::Modern | Dialect::Echo => modern_head(target, "tools/call", Some("add")),
            Dialect::Legacy => legacy_head(target, None),
        };
        let mut caller = Self { link: Link::open(target.address, http, head).await?, dialect, body: Vec::new() };
        if dialect == Dialect::Legacy {
            caller.begin_session(target).await.context("no session")?;
        }
        Ok(caller)
    }

    async fn begin_session(&mut self, target: &Target) -> anyhow::Result<()> {
        let client = json!({ "name": "bench", "version": env!("CARGO_PKG_VERSION") });
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": { "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client },
        });
        let answer = self.link.exchange(initialize.to_string().as_bytes()).await?;
        ensure!(answer.status == 200, "`initialize` answered with status {}", answer.status);
        let session_id = answer.session_id.context("`initialize` gave no session id")?;
        // A server that does not know ours answers with one that it knows.
        let initialized: Value = serde_json::from_slice(last_event(answer.body)).context("`initialize`")?;
        let version = initialized["result"]["protocolVersion"].as_str().unwrap_or(LEGACY).to_owned();
        self.link.set_head(legacy_head(target, Some((&version, &session_id))))?;
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let answer = self.link.exchange(initialized.to_string().as_bytes()).await?;
        ensure!(answer.status == 202, "`notifications/initialized` answered with status {}", answer.status);
        Ok(())
    }

    /// Calls `add` with numbers that no other call has, and checks its answer.
    ///
    /// # Errors
    /// Any answer but the right one, or none in time.
    pub(crate) async fn add(&mut self, id: u64) -> anyhow::Result<()> {
        self.write_body(id)?;
        let exchange = timeout(PATIENCE, self.link.exchange(&self.body));
        let Received { status, body, .. } = exchange.await.context("no answer in time")??;
        let is_right = match self.dialect {
            Dialect::Modern => is_right_answer(id, body),
            Dialect::Legacy => is_right_answer(id, last_event(body)),
            Dialect::Echo => is_right_echo(id, body),
        };
        ensure!(status == 200 && is_right, "status {status}: {}", String::from_utf8_lossy(body));
        Ok(())
    }

    fn write_body(&mut self, id: u64) -> std::io::Result<()> {
        self.body.clear();
        write!(
            self.body,
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"add","arguments":{{"a":{id},"b":0.5}}"#
        )?;
        if self.dialect != Dialect::Legacy {
            write!(
                self.body,
                r#","_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#
            )?;
        }
        self.body.extend_from_slice(b"}}");
        Ok(())
    }
}

/// A request of the modern era, of any method.
pub(crate) fn modern_request(address: SocketAddr, method: &str, name: Option<&str>, mut params: Value) -> Vec<u8> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    post(&modern_head(&Target::open(address), method, name), &message)
}

fn post(head: &str, message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn head(target: &Target) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\nuser-agent: bench\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n{}",
        target.address,
        target.authorization(),
    )
}

fn modern_head(target: &Target, method: &str, name: Option<&str>) -> String {
    let name = name.map(|name| format!("mcp-name: {name}\r\n")).unwrap_or_default();
    format!("{}mcp-protocol-version: {MODERN}\r\nmcp-method: {method}\r\n{name}", head(target))
}

/// `session` is the version that was agreed on and the session's id.
fn legacy_head(target: &Target, session: Option<(&str, &str)>) -> String {
    let session = session.map(|(version, id)| format!("mcp-protocol-version: {version}\r\nmcp-session-id: {id}\r\n"));
    format!("{}{}", head(target), session.unwrap_or_default())
}

/// The data of the last event of a stream; plain JSON is its own.
fn last_event(body: &[u8]) -> &[u8] {
    if body.starts_with(b"{") {
        return body;
    }
    body.split(|byte| *byte == b'\n').rev().find_map(|line| line.strip_prefix(b"data: ")).unwrap_or_default()
}

fn is_right_answer(id: u64, body: &[u8]) -> bool {
    let answer = serde_json::from_slice::<Answer>(body);
    answer.is_ok_and(|Answer { id: answered, result }| {
        let sum = match (&result.structured_content, result.content.first()) {
            (Some(sum), _) => Some(sum.result),
            (None, Some(Text { text })) => sum_of(text),
            (None, None) => None,
        };
        answered == id && !result.is_error && sum == Some(id as f64 + 0.5)
    })
}

/// The number that a text is, or that it has as its `result`.
fn sum_of(text: &str) -> Option<f64> {
    let sum = serde_json::from_str::<Sum>(text).map(|sum| sum.result);
    sum.or_else(|_| serde_json::from_str(text)).ok()
}

fn is_right_echo(id: u64, body: &[u8]) -> bool {
    let echo = serde_json::from_slice::<Echo>(body);
    echo.is_ok_and(|Echo { id: echoed, params: EchoParams { arguments } }| {
        echoed == id && arguments.a == id as f64 && arguments.b == 0.5
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_sum_is_right() {
        let right = br#"{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"result":7.5},"isError":false}}"#;
        assert!(is_right_answer(7, right));
        assert!(!is_right_answer(8, right));
        for text in [r#"7.5"#, r#"{\"result\":7.5}"#] {
            let answer = format!(r#"{{"id":7,"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#);
            assert!(is_right_answer(7, answer.as_bytes()), "{answer}");
        }
        for wrong in [
            r#"{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"result":7.4}}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"result":7.5},"isError":true}}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"no"}}"#,
            "",
        ] {
            assert!(!is_right_answer(7, wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn the_answer_is_the_last_event() {
        assert_eq!(last_event(b"id: 0\nretry: 3000\ndata: \n\ndata: {\"id\":1}\nid: 1\n\n"), br#"{"id":1}"#);
        assert_eq!(last_event(b"{}"), b"{}");
        assert_eq!(last_event(b": comment\n\n"), b"");
    }
}
