//! The outcome of a call as the result of `tools/call`: a tool's failure is a result that the model can read, not an
//! error of the protocol.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, MetaObject};
use serde_json::{Map, Value};

use super::content::{self, DONE, EMPTY};
use super::round_trips::Round;
use crate::plugins::Plugins;
use crate::plugins::catalog::Tool;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::types::codec::{Reply, Rich};

/// A result of one text: the only kind that a typed tool gives.
pub(super) struct TextResult {
    pub(super) text: Cow<'static, str>,
    /// The structured content.
    pub(super) structured: Option<Value>,
    pub(super) is_error: bool,
}

impl TextResult {
    /// The result of a call of a typed tool.
    pub(super) fn of(outcome: Result<Reply, CallError>) -> Self {
        match outcome {
            Ok(Reply::Structured { value, text }) => Self { structured: Some(value), ..Self::success(text) },
            Ok(Reply::Text(text)) => Self::success(text),
            Ok(Reply::Nothing) => Self::success(DONE),
            Ok(Reply::Failed { text } | Reply::Invalid { text }) => Self::failure(text),
            Ok(Reply::Asks(_)) => Self::failure("the tool asks for input, which is not possible here"),
            Ok(Reply::Rich(_)) => Self::failure("the tool gives more than a text, which is not possible here"),
            Err(error) => Self::failure(error.to_string()),
        }
    }

    pub(super) fn failure(text: impl Into<Cow<'static, str>>) -> Self {
        Self { is_error: true, ..Self::success(text) }
    }

    fn success(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: content::shown(text), structured: None, is_error: false }
    }
}

impl From<TextResult> for CallToolResult {
    fn from(TextResult { text, structured, is_error }: TextResult) -> Self {
        let content = vec![ContentBlock::text(text)];
        let mut result = if is_error { Self::error(content) } else { Self::success(content) };
        result.structured_content = structured;
        result
    }
}

/// A finished call of any tool as its result.
///
/// # Errors
/// -32602 for mistakes of the client that the plugin has found.
pub(super) fn call_result(outcome: Result<Reply, CallError>) -> Result<CallToolResult, ErrorData> {
    match outcome {
        Ok(Reply::Rich(rich)) => rich_result(*rich),
        Ok(Reply::Invalid { text }) => Err(ErrorData::invalid_params(text, None)),
        outcome => Ok(TextResult::of(outcome).into()),
    }
}

/// One round of a call.
pub(super) async fn round(
    plugins: &Plugins,
    tool: &Arc<Tool>,
    arguments: &Map<String, Value>,
    conversation: Conversation,
) -> Result<Round<CallToolResult>, ErrorData> {
    match plugins.call(tool, arguments, conversation).await {
        Ok(Reply::Asks(request)) => Ok(Round::Asks(*request)),
        outcome => call_result(outcome).map(Round::Done),
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
