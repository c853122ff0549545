//! The short way for the one request that matters: `tools/call` of a typed tool, answered with one JSON message.
//!
//! rmcp gives every request a service, two tasks and channels, since any request may stream or ask back. A typed tool
//! can do neither, so its call needs none of them; this halves the cost of a call (`docs/performance.md`). A call of
//! any other form, in its message or headers, is left to rmcp. Both ways give the same answer to the same request: a
//! test compares them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::HeaderMap;
use rmcp::model::{ClientCapabilities, RequestId};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer;
use super::call_result::TextResult;
use super::headers::{self, MODERN, PROTOCOL_VERSION};
use super::in_flight::InFlight;
use super::introduction::{Introduction, Introductions};
use super::message::{Era, Member, Message};
use super::plain_answer::PlainAnswer;
use crate::budget::Overdrawn;
use crate::json_weight;
use crate::plugins::Plugins;
use crate::plugins::catalog::Tool;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::types::codec::Reply;
use crate::principal::Principal;
use crate::request_memory::RequestMemory;
use crate::traces::TraceParent;

/// The longest timeout of a tool here. Proxies give up on an answer that does not begin within a minute or so, and rmcp
/// begins one, as a stream, before that.
const SILENCE: Duration = Duration::from_secs(45);

/// The most bytes of capabilities that are read here. Real clients declare some hundred.
const MAX_CAPABILITIES_BYTES: usize = 8 * 1024;

/// Serves calls of typed tools.
pub(super) struct PlainCalls {
    plugins: Plugins,
    introductions: Arc<Introductions>,
    in_flight: InFlight,
}

impl PlainCalls {
    /// `in_flight` gets the calls of sessions.
    pub(super) fn new(plugins: Plugins, introductions: Arc<Introductions>, in_flight: InFlight) -> Self {
        Self { plugins, introductions, in_flight }
    }

    /// Answers a message that is a call of a typed tool in its plainest form.
    ///
    /// The guest stops when the returned future is dropped because the client went away.
    pub(super) async fn serve(
        &self,
        message: &Message<'_>,
        principal: &Arc<Principal>,
        headers: &HeaderMap,
        memory: &RequestMemory,
    ) -> Option<Response> {
        let params = &message.params;
        let arguments = match &params.arguments {
            Member::Is(arguments) => Some(arguments.get()),
            Member::Absent | Member::Null => None,
            Member::Other => return None,
        };
        let name = params.name.get().filter(|_| message.is_exact && message.method == "tools/call")?;
        if !fits(message, Some(name), headers) {
            return None;
        }
        let id = message.id.as_ref()?;
        let catalog = self.plugins.catalog_of(principal.view());
        let tool = catalog.tool(name).filter(|tool| principal.holds(tool.served.scopes()))?;
        if !tool.is_plain() || tool.served.timeout() > SILENCE {
            return None;
        }
        let trace_parent = if self.plugins.observers().traces.is_on() { trace_parent(message) } else { None };
        let mut call = pin!(self.call(tool, arguments, (principal, trace_parent), memory));
        let outcome = match message.era {
            Era::Session(session) => {
                let in_flight = self.in_flight.begin(session, id);
                tokio::select! {
                    outcome = &mut call => outcome,
                    () = in_flight.signal().cancelled() => Ok(Err(CallError::Cancelled)),
                }
            }
            Era::Modern | Era::Handshake(_) | Era::Sessionless | Era::Undeclared | Era::Endless => call.await,
        };
        match outcome {
            Ok(outcome) => {
                let introduction = self.introduction(principal, message.era.is_modern());
                Some(shaped(introduction.as_deref(), id).with(TextResult::of(outcome), memory))
            }
            Err(NoCall::Unreadable) => None,
            Err(NoCall::Overdrawn(refusal)) => Some(answer::overdrawn(refusal, Some(&id.clone().into_json_value()))),
        }
    }

    /// Makes values of the arguments, and calls the tool with them.
    async fn call(
        &self,
        tool: &Arc<Tool>,
        arguments: Option<&str>,
        (principal, trace_parent): (&Arc<Principal>, Option<TraceParent>),
        memory: &RequestMemory,
    ) -> Result<Result<Reply, CallError>, NoCall> {
        let text = arguments.unwrap_or("{}");
        let tree_bytes = json_weight::of_text(text.as_bytes());
        let mut wanted_bytes = tree_bytes;
        let mut is_counted = false;
        loop {
            memory.wait_for(wanted_bytes).await?;
            memory.spare(wanted_bytes - tree_bytes);
            let arguments: Map<String, Value> = serde_json::from_str(text).map_err(|_| {
                memory.release();
                NoCall::Unreadable
            })?;
            let conversation = Conversation {
                memory: Some(memory.clone()),
                is_repeatable: true,
                is_counted,
                trace_parent,
                ..Conversation::with(principal)
            };
            is_counted = true;
            match self.plugins.call(tool, &arguments, conversation).await {
                // It is only known now how much the tool's own values take. To wait for them while this holds others
                // could be to wait for itself, so it lets go of all of them first.
                Err(CallError::Overdrawn { bytes, .. }) if wanted_bytes == tree_bytes => {
                    wanted_bytes += bytes;
                    drop(arguments);
                    memory.release();
                }
                outcome => return Ok(outcome),
            }
        }
    }

    /// Answers a call that has no tool with a result.
    pub(super) fn answer(
        &self,
        principal: &Principal,
        is_modern: bool,
        id: &RequestId,
        result: &TextResult,
    ) -> Response {
        let introduction = self.introduction(principal, is_modern);
        answer::json_response(shaped(introduction.as_deref(), id).whole(result))
    }

    /// What modern results say of the server.
    fn introduction(&self, principal: &Principal, is_modern: bool) -> Option<Arc<Introduction>> {
        is_modern.then(|| self.introductions.of(principal.view()))
    }
}

fn shaped<'a>(introduction: Option<&'a Introduction>, id: &'a RequestId) -> PlainAnswer<'a> {
    PlainAnswer { id, meta: introduction.map(|introduction| &*introduction.meta) }
}

/// The client's span, if it names one.
fn trace_parent(message: &Message<'_>) -> Option<TraceParent> {
    let raw = message.params.meta.get()?.traceparent?;
    TraceParent::parse(serde_json::from_str(raw.get()).ok()?)
}

/// A reason why no tool was called.
enum NoCall {
    /// The arguments cannot be read, about which rmcp tells.
    Unreadable,
    Overdrawn(Overdrawn),
}

impl From<Overdrawn> for NoCall {
    fn from(refusal: Overdrawn) -> Self {
        Self::Overdrawn(refusal)
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
        let capabilities =
            meta.client_capabilities.map(RawValue::get).filter(|json| json.len() <= MAX_CAPABILITIES_BYTES);
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
    names_no_version && version.is_none_or(|version| headers::LEGACY.iter().any(|known| version == known))
}
