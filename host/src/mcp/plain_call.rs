//! The short way for the one request that matters: `tools/call` of a typed tool, answered with one JSON message.
//!
//! rmcp gives every request a service, two tasks and channels, since any request may stream or ask back. A typed tool
//! can do neither, so its call needs none of them; this halves the cost of a call (`docs/performance.md`). A call of
//! any other form, in its message or headers, is left to rmcp. Both ways give the same answer to the same request: a
//! test compares them.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::HeaderMap;
use rmcp::model::{ClientCapabilities, Implementation, RequestId};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer;
use super::call_result::TextResult;
use super::headers::{self, MODERN, PROTOCOL_VERSION};
use super::in_flight::InFlight;
use super::message::{Era, Member, Message};
use crate::plugins::Plugins;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::principal::Principal;

/// The versions of the `initialize` era that have this form of a call.
const LEGACY_VERSIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// The longest timeout of a tool here. Proxies give up on an answer that does not begin within a minute or so, and rmcp
/// begins one, as a stream, before that.
const SILENCE: Duration = Duration::from_secs(45);

/// Serves calls of typed tools.
pub(super) struct PlainCalls {
    plugins: Plugins,
    in_flight: InFlight,
    /// `_meta` of modern results, as JSON.
    meta: Box<RawValue>,
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RequestId,
    result: CallResult<'a>,
}

/// `CallToolResult`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    content: [TextBlock<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a Value>,
    is_error: bool,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct TextBlock<'a> {
    r#type: &'static str,
    text: &'a str,
}

impl PlainCalls {
    /// `in_flight` gets the calls of sessions.
    pub(super) fn new(plugins: Plugins, server: &Implementation, in_flight: InFlight) -> Self {
        let meta = serde_json::json!({ "io.modelcontextprotocol/serverInfo": server });
        let meta = RawValue::from_string(meta.to_string()).expect("printed JSON is JSON");
        Self { plugins, in_flight, meta }
    }

    /// Answers a message that is a call of a typed tool in its plainest form.
    ///
    /// The guest stops when the returned future is dropped because the client went away.
    pub(super) async fn serve(
        &self,
        message: &Message<'_>,
        principal: &Arc<Principal>,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let params = &message.params;
        let none = Map::new();
        let arguments = match &params.arguments {
            Member::Is(arguments) => arguments,
            Member::Absent | Member::Null => &none,
            Member::Other => return None,
        };
        let name = params.name.get().filter(|_| message.is_exact && message.method == "tools/call")?;
        if !fits(message, Some(name), headers) {
            return None;
        }
        let id = message.id.as_ref()?;
        let catalog = self.plugins.catalog();
        let tool = catalog.tool(name).filter(|tool| principal.holds(tool.served.scopes()))?;
        if !tool.is_plain() || tool.served.timeout() > SILENCE {
            return None;
        }
        let call = self.plugins.call(tool, arguments, Conversation::with(principal));
        let outcome = match message.era {
            Era::Session(session) => {
                let in_flight = self.in_flight.begin(session, id);
                tokio::select! {
                    outcome = call => outcome,
                    () = in_flight.signal().cancelled() => Err(CallError::Cancelled),
                }
            }
            Era::Modern | Era::Handshake(_) | Era::Sessionless | Era::Undeclared => call.await,
        };
        Some(self.answer(message.era.is_modern(), id, &TextResult::of(outcome)))
    }

    /// Answers a call with its result.
    pub(super) fn answer(&self, is_modern: bool, id: &RequestId, result: &TextResult) -> Response {
        let answer = Answer {
            jsonrpc: "2.0",
            id,
            result: CallResult {
                result_type: is_modern.then_some("complete"),
                content: [TextBlock { r#type: "text", text: &result.text }],
                structured_content: result.structured.as_ref(),
                is_error: result.is_error,
                meta: is_modern.then_some(&self.meta),
            },
        };
        answer::json_response(serde_json::to_vec(&answer).expect("answers are JSON"))
    }
}

/// True if headers and `_meta` are complete and agree with the body, whose parameters have this `name` or none. If not,
/// rmcp answers with the error.
pub(super) fn fits(message: &Message<'_>, name: Option<&str>, headers: &HeaderMap) -> bool {
    // Tools whose arguments travel in headers too are not typed ones.
    if headers.keys().any(|name| name.as_str().starts_with("mcp-param-")) {
        return false;
    }
    let meta = &message.params.meta;
    if message.era.is_modern() {
        let Some(meta) = meta.get() else { return false };
        let capabilities = meta.client_capabilities.map(RawValue::get);
        return headers::only(headers, PROTOCOL_VERSION) == Some(MODERN)
            && headers::only(headers, "mcp-method") == Some(&*message.method)
            && headers::only(headers, "mcp-name") == name
            && headers.contains_key("mcp-name") == name.is_some()
            && meta.protocol_version.get().is_some_and(|version| version == MODERN)
            && capabilities.is_some_and(|json| serde_json::from_str::<ClientCapabilities>(json).is_ok());
    }
    let names_no_version = match meta {
        Member::Absent => true,
        Member::Is(meta) => meta.protocol_version.is_none(),
        Member::Null | Member::Other => false,
    };
    let version = headers.get(PROTOCOL_VERSION);
    names_no_version && version.is_none_or(|version| LEGACY_VERSIONS.iter().any(|known| version == known))
}
