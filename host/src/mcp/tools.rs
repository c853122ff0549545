//! What the catalog holds as lists of the protocol show it, and finished calls as `tools/call` answers them.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{self, CallToolResult, ContentBlock, MetaObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::content::{self, set};
use crate::plugins::catalog;
use crate::plugins::error::CallError;
use crate::plugins::types::codec::{Reply, Rich};
use crate::plugins::types::docs::Hints;

/// A tool of the catalog as `tools/list` shows it.
pub(super) fn tool(tool: &catalog::Tool) -> Tool {
    let function = tool.function();
    let docs = &function.docs;
    // Some clients drop tools without a description.
    let description = docs.description.clone().unwrap_or_else(|| function.form());
    let mut listed = Tool::new(tool.name.clone(), description, Arc::clone(&function.input_schema));
    listed.title.clone_from(&docs.title);
    listed.output_schema.clone_from(&function.output_schema);
    listed.annotations = annotations(docs.title.as_ref(), &docs.hints);
    if let Some(said) = tool.listed() {
        listed.icons = content::icons(&said.icons).and_then(|icons| serde_json::from_value(icons).ok());
        listed.meta = said.meta.clone().map(MetaObject::from);
    }
    listed
}

fn annotations(title: Option<&String>, hints: &Hints) -> Option<ToolAnnotations> {
    if *hints == Hints::default() {
        return None;
    }
    let mut annotations = ToolAnnotations::new();
    annotations.title = title.cloned();
    annotations.read_only_hint = hints.read_only;
    // A tool that says that it only reads, and nothing else, destroys nothing.
    annotations.destructive_hint = hints.destructive.or((hints.read_only == Some(true)).then_some(false));
    annotations.idempotent_hint = hints.idempotent;
    annotations.open_world_hint = hints.open_world;
    Some(annotations)
}

/// A prompt of the catalog as `prompts/list` shows it.
pub(super) fn prompt(prompt: &catalog::Prompt) -> Result<model::Prompt, ErrorData> {
    let said = prompt.prompt();
    let argument = |argument: &crate::plugins::wit::prompts::Argument| {
        let mut json = json!({ "name": argument.name, "required": argument.required });
        set(&mut json, "title", argument.title.as_deref().map(Value::from));
        set(&mut json, "description", argument.description.as_deref().map(Value::from));
        json
    };
    let mut json = json!({ "name": prompt.name });
    described(&mut json, said.prompt.title.as_ref(), said.prompt.description.as_ref(), said.meta.as_ref());
    let arguments: Vec<Value> = said.prompt.arguments.iter().map(argument).collect();
    set(&mut json, "arguments", (!arguments.is_empty()).then(|| arguments.into()));
    set(&mut json, "icons", content::icons(&said.prompt.icons));
    content::read("prompt", json)
}

/// A resource of the catalog as `resources/list` shows it.
pub(super) fn resource(resource: &catalog::Resource) -> Result<model::Resource, ErrorData> {
    let said = &resource.resource().resource;
    let mut json = json!({ "uri": said.uri, "name": said.name });
    described(&mut json, said.title.as_ref(), said.description.as_ref(), resource.resource().meta.as_ref());
    set(&mut json, "mimeType", said.mime_type.as_deref().map(Value::from));
    set(&mut json, "size", said.size.map(Value::from));
    set(&mut json, "icons", content::icons(&said.icons));
    set(&mut json, "annotations", said.annotations.as_ref().map(content::annotations));
    content::read("resource", json)
}

/// A resource template of the catalog as `resources/templates/list` shows it.
pub(super) fn template(template: &catalog::Template) -> Result<model::ResourceTemplate, ErrorData> {
    let said = &template.template().template;
    let mut json = json!({ "uriTemplate": said.uri_template, "name": said.name });
    described(&mut json, said.title.as_ref(), said.description.as_ref(), template.template().meta.as_ref());
    set(&mut json, "mimeType", said.mime_type.as_deref().map(Value::from));
    set(&mut json, "icons", content::icons(&said.icons));
    set(&mut json, "annotations", said.annotations.as_ref().map(content::annotations));
    content::read("resource template", json)
}

fn described(
    json: &mut Value,
    title: Option<&String>,
    description: Option<&String>,
    meta: Option<&Map<String, Value>>,
) {
    set(json, "title", title.map(|title| title.as_str().into()));
    set(json, "description", description.map(|description| description.as_str().into()));
    set(json, "_meta", meta.cloned().map(Value::Object));
}

/// A finished call as `tools/call` answers it: a tool's failure is a result that the model can read,
/// not an error of the protocol.
///
/// # Errors
/// -32602 for what the plugin says the client did wrong.
pub(super) fn call_result(outcome: Result<Reply, CallError>) -> Result<CallToolResult, ErrorData> {
    let failed = |text: String| CallToolResult::error(vec![ContentBlock::text(text)]);
    Ok(match outcome {
        Ok(Reply::Structured { value, text }) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(content::shown(&text))]);
            result.structured_content = Some(value);
            result
        }
        Ok(Reply::Text(text)) => CallToolResult::success(vec![ContentBlock::text(content::shown(&text))]),
        Ok(Reply::Nothing) => CallToolResult::success(vec![ContentBlock::text(content::DONE)]),
        Ok(Reply::Failed { text }) => failed(text),
        Ok(Reply::Rich(rich)) => rich_result(*rich)?,
        Ok(Reply::Invalid { text }) => return Err(ErrorData::invalid_params(text, None)),
        Ok(Reply::Asks(_)) => failed("the tool asks for input, which is not possible here".to_owned()),
        Err(error) => failed(error.to_string()),
    })
}

fn rich_result(rich: Rich) -> Result<CallToolResult, ErrorData> {
    let Rich { blocks, structured, is_error, meta } = rich;
    let mut content: Vec<ContentBlock> = content::read("content", blocks.iter().map(content::block).collect())?;
    // Clients that read text only find the structured content there (MCP, server/tools), and none at all is an empty
    // message to models' APIs.
    if content.is_empty() {
        content
            .push(ContentBlock::text(structured.as_ref().map_or_else(|| content::EMPTY.to_owned(), Value::to_string)));
    }
    let mut result = if is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = structured;
    result.meta = meta.map(MetaObject::from);
    Ok(result)
}
