//! The short way for the one request that matters: `tools/call` of a typed tool, answered with one JSON message.
//!
//! rmcp gives every request a service, two tasks and channels, since any request may stream or ask back. A typed tool
//! can do neither, so its call needs none of them; this halves what a call costs (`docs/performance.md`). Whatever is
//! not exactly such a call, in form or in headers, is left to rmcp, whose answer to the same request is the same:
//! a test compares both.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use rmcp::model::{ClientCapabilities, Implementation, RequestId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::content::{DONE, shown};
use super::signals::Signals;
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::types::codec::Reply;
use crate::principal::Principal;

/// The versions of the `initialize` era in which a call looks as it does here.
const LEGACY_VERSIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];
const MODERN_VERSION: &str = "2026-07-28";

/// Tools that may take longer are rmcp's: proxies give up on an answer that does not begin within a minute or so,
/// and rmcp begins one, as a stream, before that.
const SILENCE: Duration = Duration::from_secs(45);

/// Serves calls of typed tools.
pub(super) struct Direct {
    plugins: Plugins,
    cancelled: Signals,
    /// `_meta` of modern results, as JSON.
    meta: Box<RawValue>,
}

/// Who calls, and by which rules.
pub(super) enum Era<'a> {
    /// Every request stands for itself.
    Modern,
    /// The request belongs to a session, or to none.
    Legacy { session: Option<&'a str> },
}

/// A `tools/call` request and nothing beyond. With any other member it is not for us.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    id: RequestId,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    arguments: Option<Map<String, Value>>,
    #[serde(borrow, rename = "_meta", default)]
    meta: Meta<'a>,
}

/// What must be in a modern request's `_meta` (2026-07-28, basic); everything else in it concerns tools that stream.
#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Option<Cow<'a, str>>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    client_capabilities: Option<ClientCapabilities>,
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
    content: [Text<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a Value>,
    is_error: bool,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

impl Direct {
    pub(super) fn new(plugins: Plugins, server: &Implementation) -> Self {
        let meta = serde_json::json!({ "io.modelcontextprotocol/serverInfo": server });
        let meta = RawValue::from_string(meta.to_string()).expect("printed JSON is JSON");
        Self { plugins, cancelled: Signals::default(), meta }
    }

    /// Answers the request if it is a call of a typed tool in its plainest form.
    ///
    /// When the returned future is dropped because the client went away, the guest stops.
    pub(super) async fn serve(
        &self,
        era: Era<'_>,
        principal: &Arc<Principal>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Response> {
        let call: Call<'_> = serde_json::from_slice(body).ok()?;
        if call.jsonrpc != "2.0" || call.method != "tools/call" || !era.fits(&call, headers) {
            return None;
        }
        let catalog = self.plugins.catalog();
        let tool = catalog.tool(&call.params.name).filter(|tool| principal.holds(tool.served.scopes()))?;
        if !tool.is_plain() || tool.served.timeout() > SILENCE {
            return None;
        }
        let arguments = call.params.arguments.unwrap_or_default();
        let outcome = match &era {
            Era::Modern | Era::Legacy { session: None } => {
                self.plugins.call(tool, &arguments, Conversation::with(principal)).await
            }
            Era::Legacy { session: Some(session) } => {
                let under_way = self.cancelled.begin(session, &call.id);
                tokio::select! {
                    outcome = self.plugins.call(tool, &arguments, Conversation::with(principal)) => outcome,
                    () = under_way.given().cancelled() => Err(CallError::Cancelled),
                }
            }
        };
        Some(self.answer(&era, &call.id, &outcome))
    }

    /// All tools now.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.plugins.catalog()
    }

    /// The calls under way in sessions, each with the signal that cancels it.
    pub(super) fn under_way(&self) -> Signals {
        self.cancelled.clone()
    }

    /// The answer to a call whose arguments nobody can read.
    pub(super) fn refuse(&self, is_modern: bool, id: &RequestId, text: String) -> Response {
        let era = if is_modern { Era::Modern } else { Era::Legacy { session: None } };
        self.answer(&era, id, &Ok(Reply::Invalid { text }))
    }

    fn answer(&self, era: &Era<'_>, id: &RequestId, outcome: &Result<Reply, CallError>) -> Response {
        let message;
        let (text, structured_content, is_error) = match outcome {
            Ok(Reply::Structured { value, text }) => (text.as_str(), Some(value), false),
            Ok(Reply::Text(text)) => (text.as_str(), None, false),
            Ok(Reply::Nothing) => (DONE, None, false),
            Ok(Reply::Failed { text } | Reply::Invalid { text }) => (text.as_str(), None, true),
            // A plain tool gives neither.
            Ok(Reply::Rich(_) | Reply::Asks(_)) => ("", None, true),
            Err(error) => {
                message = error.to_string();
                (message.as_str(), None, true)
            }
        };
        let is_modern = matches!(era, Era::Modern);
        let answer = Answer {
            jsonrpc: "2.0",
            id,
            result: CallResult {
                result_type: is_modern.then_some("complete"),
                content: [Text { r#type: "text", text: shown(text) }],
                structured_content,
                is_error,
                meta: is_modern.then_some(&self.meta),
            },
        };
        let mut response = Response::new(Body::from(serde_json::to_vec(&answer).expect("answers are JSON")));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl Era<'_> {
    /// Whether headers and `_meta` are complete and say the same as the body. If not, rmcp knows which error it is.
    fn fits(&self, call: &Call<'_>, headers: &HeaderMap) -> bool {
        // Tools whose arguments travel in headers too are not typed ones.
        if headers.keys().any(|name| name.as_str().starts_with("mcp-param-")) {
            return false;
        }
        let meta = &call.params.meta;
        match self {
            Self::Modern => {
                only(headers, "mcp-protocol-version") == Some(MODERN_VERSION)
                    && only(headers, "mcp-method") == Some("tools/call")
                    && only(headers, "mcp-name") == Some(&call.params.name)
                    && meta.protocol_version.as_deref() == Some(MODERN_VERSION)
                    && meta.client_capabilities.is_some()
            }
            Self::Legacy { .. } => {
                let version = headers.get("mcp-protocol-version");
                version.is_none_or(|version| LEGACY_VERSIONS.iter().any(|known| version == known))
                    && meta.protocol_version.is_none()
            }
        }
    }
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
