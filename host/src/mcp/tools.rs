//! Tools and replies as MCP has them.

use std::sync::Arc;

use rmcp::model::{CallToolResult, ContentBlock, Tool, ToolAnnotations};

use crate::plugins::call::CallError;
use crate::plugins::catalog;
use crate::plugins::codec::Reply;
use crate::plugins::docs::Hints;

/// A tool of the catalog as `tools/list` shows it.
pub(super) fn tool(tool: &catalog::Tool) -> Tool {
    let function = tool.function();
    let docs = &function.docs;
    // Some clients drop tools without a description.
    let description = docs.description.clone().unwrap_or_else(|| function.signature.to_string());
    let mut listed = Tool::new(tool.name.clone(), description, Arc::clone(&function.input_schema));
    listed.title.clone_from(&docs.title);
    listed.output_schema.clone_from(&function.output_schema);
    let hints = &docs.hints;
    if *hints != Hints::default() {
        let mut annotations = ToolAnnotations::new();
        annotations.title.clone_from(&docs.title);
        annotations.read_only_hint = hints.read_only.then_some(true);
        // A tool that says that it only reads, and nothing else, destroys nothing.
        annotations.destructive_hint = (hints.destructive || hints.read_only).then_some(hints.destructive);
        annotations.idempotent_hint = hints.idempotent.then_some(true);
        annotations.open_world_hint = hints.open_world.then_some(true);
        listed.annotations = Some(annotations);
    }
    listed
}

/// A finished call as `tools/call` answers it: a tool's failure is a result that the model can read,
/// not an error of the protocol.
pub(super) fn call_result(outcome: Result<Reply, CallError>) -> CallToolResult {
    match outcome {
        Ok(Reply::Structured { value, text }) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = Some(value);
            result
        }
        Ok(Reply::Nothing) => CallToolResult::success(Vec::new()),
        Ok(Reply::Failed { text }) => CallToolResult::error(vec![ContentBlock::text(text)]),
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
    }
}
