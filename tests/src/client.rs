//! MCP clients of both eras, as small as the tests allow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::http::{Answer, Events, Request};
use crate::server::Server;
use crate::{until, within};

/// The version without handshake and sessions.
pub const MODERN: &str = "2026-07-28";

/// The versions with a handshake, newest first.
pub const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

/// The path of the endpoint.
const MCP: &str = "/mcp";

/// A client of one server. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    path: &'static str,
    era: Era,
    token: Option<String>,
    next_id: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Era {
    Modern,
    Legacy { version: &'static str, session: String },
}

/// The outcome of a tool call.
#[derive(Debug, PartialEq)]
pub struct CallOutcome {
    /// True if the tool failed.
    pub is_error: bool,
    /// The text of its content; empty without any.
    pub text: String,
    /// Its structured content; null without any.
    pub structured: Value,
}

impl Client {
    /// A client of 2026-07-28. It sends nothing yet.
    pub fn modern(server: &Server) -> Self {
        Self { address: server.address, path: MCP, era: Era::Modern, token: None, next_id: Arc::default() }
    }

    /// A client of 2025-11-25, after its handshake.
    pub async fn legacy(server: &Server) -> Self {
        Self::of_version(server, LEGACY[0]).await
    }

    /// A client of a legacy version, after its handshake.
    pub async fn of_version(server: &Server, version: &'static str) -> Self {
        Self::of_version_with(server, version, MCP, None).await
    }

    /// A client of 2025-11-25 that has a token, after its handshake.
    pub async fn legacy_with_token(server: &Server, token: &str) -> Self {
        Self::of_version_with(server, LEGACY[0], MCP, Some(token.to_owned())).await
    }

    /// A client of 2025-11-25 at another path than `/mcp`, after its handshake.
    pub async fn legacy_at(server: &Server, path: &'static str, token: Option<&str>) -> Self {
        Self::of_version_with(server, LEGACY[0], path, token.map(str::to_owned)).await
    }

    /// The same client at another path, where a session of the legacy era is named as if it had begun there.
    #[must_use]
    pub fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    async fn of_version_with(
        server: &Server,
        version: &'static str,
        path: &'static str,
        token: Option<String>,
    ) -> Self {
        let request = Request::new(server.address, "POST", path).json(&initialize(version));
        let answer = with_token(request, token.as_deref()).send().await;
        assert_eq!(answer.json()["result"]["protocolVersion"], version, "{answer:?}");
        let session = answer.header("mcp-session-id").to_owned();
        assert!(!session.is_empty(), "{answer:?}");
        let era = Era::Legacy { version, session };
        let client = Self { address: server.address, path, era, token, next_id: Arc::default() };
        let initialized = client.notify("notifications/initialized", json!({})).await;
        assert_eq!(initialized.status, 202, "{initialized:?}");
        client
    }

    /// One client of each era.
    pub async fn both(server: &Server) -> [Self; 2] {
        [Self::modern(server), Self::legacy(server).await]
    }

    /// The same client after its server has moved.
    #[must_use]
    pub fn moved_to(self, server: &Server) -> Self {
        self.via(server.address)
    }

    /// The same client, whose requests take the way through this address.
    #[must_use]
    pub fn via(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// The same client with a token, or with another one.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The session's id.
    ///
    /// # Panics
    /// In the modern era, which has no sessions.
    pub fn session(&self) -> &str {
        match &self.era {
            Era::Legacy { session, .. } => session,
            Era::Modern => panic!("there are no sessions in {MODERN}"),
        }
    }

    /// The request for a method, ready to send, with the id that it carries.
    pub fn request(&self, method: &str, params: Value) -> (u64, Request) {
        let message = self.message(method, params);
        (message["id"].as_u64().expect("it is counted"), self.post(&message))
    }

    /// The message for a method, with everything that this era wants.
    pub fn message(&self, method: &str, params: Value) -> Value {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": self.params(params) })
    }

    /// A message with the headers of this client and its kind.
    pub fn post(&self, message: &Value) -> Request {
        let request = with_token(Request::new(self.address, "POST", self.path).json(message), self.token.as_deref());
        match &self.era {
            Era::Modern => modern_headers(request, message),
            Era::Legacy { .. } => self.with_session(request),
        }
    }

    /// A request of this legacy session other than POST.
    pub fn other(&self, method: &str) -> Request {
        let request = with_token(Request::new(self.address, method, self.path), self.token.as_deref());
        self.with_session(request)
    }

    fn with_session(&self, request: Request) -> Request {
        match &self.era {
            Era::Modern => request,
            Era::Legacy { version, session } => {
                request.header("mcp-session-id", session).header("mcp-protocol-version", version)
            }
        }
    }

    /// Parameters with the metadata that every request of this era carries.
    fn params(&self, mut params: Value) -> Value {
        if matches!(self.era, Era::Modern) {
            for (key, value) in modern_meta().as_object().into_iter().flatten() {
                params["_meta"][key] = value.clone();
            }
        }
        params
    }

    /// The JSON-RPC message that answers a request, from JSON or from a stream.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no answer.
    pub async fn try_answer(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        let (id, request) = self.request(method, params);
        let incomplete = request.try_open().await?;
        if !incomplete.is_stream() {
            return Ok(serde_json::from_slice(&incomplete.complete().await?.body)?);
        }
        let mut events = incomplete.events();
        while let Some(message) = events.next().await {
            if message["id"] == id {
                return Ok(message);
            }
        }
        anyhow::bail!("the stream ended without an answer")
    }

    /// The JSON-RPC message that answers a request.
    ///
    /// # Panics
    /// When there is none.
    pub async fn answer(&self, method: &str, params: Value) -> Value {
        let answer = within(method, self.try_answer(method, params)).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error:#}"))
    }

    /// The result of a request.
    ///
    /// # Panics
    /// When it is an error.
    pub async fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str, params: Value) -> Answer {
        self.post(&json!({ "jsonrpc": "2.0", "method": method, "params": self.params(params) })).send().await
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When there is no result: the connection breaks, or the answer is an error of the protocol.
    pub async fn try_call(&self, tool: &str, arguments: Value) -> anyhow::Result<CallOutcome> {
        let answer = self.try_answer("tools/call", json!({ "name": tool, "arguments": arguments })).await?;
        let result = answer.get("result").ok_or_else(|| anyhow::anyhow!("{answer}"))?;
        Ok(CallOutcome {
            is_error: result["isError"] == true,
            text: result["content"][0]["text"].as_str().unwrap_or_default().to_owned(),
            structured: result["structuredContent"].clone(),
        })
    }

    /// Calls a tool.
    ///
    /// # Panics
    /// When there is no result.
    pub async fn call(&self, tool: &str, arguments: Value) -> CallOutcome {
        let called = within(tool, self.try_call(tool, arguments)).await;
        called.unwrap_or_else(|error| panic!("{tool}: {error:#}"))
    }

    /// Calls a tool that succeeds, and returns its `result`; of a tool that gives a text, the text.
    ///
    /// # Panics
    /// When it fails.
    pub async fn value(&self, tool: &str, arguments: Value) -> Value {
        let called = self.call(tool, arguments).await;
        assert!(!called.is_error, "{tool}: {called:?}");
        if called.structured.is_null() { called.text.into() } else { called.structured["result"].clone() }
    }

    /// Calls a tool that fails, and returns its words.
    ///
    /// # Panics
    /// When it succeeds.
    pub async fn failure(&self, tool: &str, arguments: Value) -> String {
        let called = self.call(tool, arguments).await;
        assert!(called.is_error, "{tool}: {called:?}");
        called.text
    }

    /// The tools as they are listed.
    pub async fn tools(&self) -> Vec<Value> {
        let result = self.result("tools/list", json!({})).await;
        result["tools"].as_array().expect("tools are a list").clone()
    }

    /// The names of the tools, in the order of the list.
    pub async fn tool_names(&self) -> Vec<String> {
        self.tools().await.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until the list has exactly these names.
    ///
    /// # Panics
    /// If it still has others at the deadline.
    pub async fn wait_for_tools(&self, names: &[&str]) {
        until(&format!("a list of {names:?}"), async || self.tool_names().await == names).await;
    }

    /// Waits until the list has this name among others.
    ///
    /// # Panics
    /// If it is still missing at the deadline.
    pub async fn wait_for_tool(&self, name: &str) {
        until(&format!("a list with {name}"), async || self.tool_names().await.iter().any(|it| it == name)).await;
    }

    /// Opens the stream of list changes, and waits until it is open.
    pub async fn listen(&self) -> Events {
        match &self.era {
            Era::Modern => {
                let params = json!({ "notifications": { "toolsListChanged": true } });
                let mut events = self.request("subscriptions/listen", params).1.open().await.events();
                let first = events.expect("an acknowledgement").await;
                assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
                events
            }
            Era::Legacy { .. } => {
                let stream = self.other("GET").header("accept", "text/event-stream").open().await;
                assert!(stream.status == 200 && stream.is_stream(), "{} {:?}", stream.status, stream.headers);
                stream.events()
            }
        }
    }
}

fn with_token(request: Request, token: Option<&str>) -> Request {
    match token {
        Some(token) => request.bearer(token),
        None => request,
    }
}

/// The handshake's first message.
pub fn initialize(version: &str) -> Value {
    json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": version, "capabilities": {},
            "clientInfo": { "name": "tinymcp-tests", "version": "1.0.0" },
        },
    })
}

/// The metadata of every modern request: its sender.
pub fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "tinymcp-tests", "version": "1.0.0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// Headers that say the same as the message (2026-07-28, basic/transports/streamable-http).
fn modern_headers(request: Request, message: &Value) -> Request {
    let method = message["method"].as_str().unwrap_or_default();
    let request = request.header("mcp-protocol-version", MODERN).header("mcp-method", method);
    let name = match method {
        "tools/call" | "prompts/get" => message["params"]["name"].as_str(),
        "resources/read" => message["params"]["uri"].as_str(),
        _ => None,
    };
    match name {
        Some(name) => request.header("mcp-name", name),
        None => request,
    }
}
