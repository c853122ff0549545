//! The outcome of a call as the result of `tools/call`: a tool's failure is a result that the model can read, not an
//! error of the protocol.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, MetaObject};
use serde_json::{Map, Value};

use super::content::{self, DONE, EMPTY};
use super::round_trips::Round;
use crate::json_weight;
use crate::plugins::Plugins;
use crate::plugins::catalog::Tool;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::types::codec::{Reply, Rich, Structured, of_block};
use crate::request_memory::RequestMemory;

/// A result of one text: the only kind that a typed tool gives.
pub(super) enum TextResult {
    /// The text alone.
    Text { text: Cow<'static, str>, is_error: bool },
    /// A value, which is structured content and a text.
    Value(Structured),
}

impl TextResult {
    /// The result of a call of a typed tool.
    pub(super) fn of(outcome: Result<Reply, CallError>) -> Self {
        match outcome {
            Ok(Reply::Structured(value)) => Self::Value(value),
            Ok(Reply::Text(text)) => Self::success(text),
            Ok(Reply::Nothing) => Self::success(DONE),
            Ok(Reply::Failed { text } | Reply::Invalid { text }) => Self::failure(text),
            Ok(Reply::Asks(_)) => Self::failure("the tool asks for input, which is not possible here"),
            Ok(Reply::Rich(_)) => Self::failure("the tool gives more than a text, which is not possible here"),
            Err(error) => Self::failure(error.to_string()),
        }
    }

    pub(super) fn failure(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text { text: content::shown(text), is_error: true }
    }

    fn success(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text { text: content::shown(text), is_error: false }
    }

    pub(super) fn is_error(&self) -> bool {
        matches!(self, Self::Text { is_error: true, .. })
    }

    /// The bytes of its text or its value.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text { text, .. } => text.len(),
            Self::Value(value) => value.size(),
        }
    }

    /// The text for readers.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text { text, .. } => Cow::Borrowed(text),
            Self::Value(value) => content::shown(value.text()),
        }
    }

    /// The structured content as JSON, in parts.
    pub(super) fn structured(&self) -> Option<[&str; 3]> {
        match self {
            Self::Text { .. } => None,
            Self::Value(value) => Some(value.content()),
        }
    }
}

impl From<TextResult> for CallToolResult {
    fn from(result: TextResult) -> Self {
        let content = vec![ContentBlock::text(result.text())];
        let structured = result.structured().map(|parts| parts.concat());
        let mut called = if result.is_error() { Self::error(content) } else { Self::success(content) };
        called.structured_content = structured.and_then(|json| serde_json::from_str(&json).ok());
        called
    }
}

/// A finished call of any tool as its result, for which there has to be room: here it is a tree of values.
///
/// # Errors
/// -32602 for mistakes of the client that the plugin has found.
pub(super) fn call_result(
    outcome: Result<Reply, CallError>,
    memory: Option<&RequestMemory>,
) -> Result<CallToolResult, ErrorData> {
    let room = |bytes| memory.map_or(Ok(()), |memory| memory.charge(bytes));
    match outcome {
        Ok(Reply::Rich(rich)) => match room(content::COPIES * rich.blocks.iter().map(of_block).sum::<usize>()) {
            Ok(()) => rich_result(*rich),
            Err(refusal) => Ok(TextResult::failure(refusal.to_string()).into()),
        },
        Ok(Reply::Invalid { text }) => Err(ErrorData::invalid_params(text, None)),
        outcome => {
            let result = TextResult::of(outcome);
            let parts = result.structured().unwrap_or_default();
            let tree: usize = parts.iter().map(|json| json_weight::of_text(json.as_bytes())).sum();
            match room(tree + 2 * result.text().len()) {
                Ok(()) => Ok(result.into()),
                Err(refusal) => Ok(TextResult::failure(refusal.to_string()).into()),
            }
        }
    }
}

/// The result of a call as a client gets it.
///
/// # Errors
/// In words: mistakes of the client that the plugin has found.
pub fn result_json(outcome: Result<Reply, CallError>) -> Result<Value, String> {
    let result = call_result(outcome, None).map_err(|error| error.message.into_owned())?;
    serde_json::to_value(result).map_err(|error| error.to_string())
}

/// One round of a call.
pub(super) async fn round(
    plugins: &Plugins,
    tool: &Arc<Tool>,
    arguments: &Map<String, Value>,
    conversation: Conversation,
) -> Result<Round<CallToolResult>, ErrorData> {
    let memory = conversation.memory.clone();
    match plugins.call(tool, arguments, conversation).await {
        Ok(Reply::Asks(request)) => Ok(Round::Asks(*request)),
        outcome => call_result(outcome, memory.as_ref()).map(Round::Done),
    }
}

fn rich_result(rich: Rich) -> Result<CallToolResult, ErrorData> {
    let Rich { blocks, structured, is_error, meta } = rich;
    let mut content: Vec<ContentBlock> = content::read("content", blocks.iter().map(content::block).collect())?;
    // Clients that read text only find the structured content there (MCP, server/tools), and none at all is an empty
    // message to models' APIs.
    if content.is_empty() {
        content.push(ContentBlock::text(structured.as_ref().map_or_else(|| EMPTY.to_owned(), Value::to_string)));
    }
    let mut result = if is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = structured;
    result.meta = meta.map(MetaObject::from);
    Ok(result)
}
