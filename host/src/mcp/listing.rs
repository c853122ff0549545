//! Lists of the protocol, made from the catalog.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{self, MetaObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::content::{self, set};
use crate::plugins::catalog;
use crate::plugins::served::Served;
use crate::plugins::types::docs::Hints;
use crate::principal::{Access, Principal};

/// True if lists show a thing of a plugin to this person. They also show a thing that needs further scopes: its use
/// makes the client ask for them.
pub(super) fn shows(served: &Served, principal: &Principal) -> bool {
    principal.access(served.scopes()) != Access::Never
}

/// A tool of the catalog as `tools/list` shows it.
pub(super) fn tool(tool: &catalog::Tool) -> Tool {
    let function = tool.function();
    // Some clients drop tools without a description.
    let description = tool.description().map_or_else(|| function.form(), str::to_owned);
    let mut listed = Tool::new(tool.name.clone(), description, Arc::clone(&function.input_schema));
    listed.title = tool.title().map(str::to_owned);
    listed.output_schema.clone_from(&function.output_schema);
    listed.annotations = annotations(tool.title(), &function.docs.hints);
    if let Some(extras) = tool.listed() {
        listed.icons = content::icons(&extras.icons).and_then(|icons| serde_json::from_value(icons).ok());
        listed.meta = extras.meta.clone().map(MetaObject::from);
    }
    listed
}

/// The same as JSON, for this server's own page.
pub fn listed_tool(tool: &catalog::Tool) -> Map<String, Value> {
    match serde_json::to_value(self::tool(tool)) {
        Ok(Value::Object(tool)) => tool,
        _ => Map::new(),
    }
}

fn annotations(title: Option<&str>, hints: &Hints) -> Option<ToolAnnotations> {
    if *hints == Hints::default() {
        return None;
    }
    let mut annotations = ToolAnnotations::new();
    annotations.title = title.map(str::to_owned);
    annotations.read_only_hint = hints.read_only;
    // A tool that says that it only reads, and nothing else, destroys nothing.
    annotations.destructive_hint = hints.destructive.or((hints.read_only == Some(true)).then_some(false));
    annotations.idempotent_hint = hints.idempotent;
    annotations.open_world_hint = hints.open_world;
    Some(annotations)
}

/// A prompt of the catalog as `prompts/list` shows it.
pub(super) fn prompt(prompt: &catalog::Prompt) -> Result<model::Prompt, ErrorData> {
    let listed = prompt.prompt();
    let argument = |argument: &crate::plugins::wit::prompts::Argument| {
        let mut json = json!({ "name": argument.name, "required": argument.required });
        set(&mut json, "title", argument.title.as_deref().map(Value::from));
        set(&mut json, "description", argument.description.as_deref().map(Value::from));
        json
    };
    let mut json = json!({ "name": prompt.name });
    described(&mut json, listed.prompt.title.as_ref(), listed.prompt.description.as_ref(), listed.meta.as_ref());
    let arguments: Vec<Value> = listed.prompt.arguments.iter().map(argument).collect();
    set(&mut json, "arguments", (!arguments.is_empty()).then(|| arguments.into()));
    set(&mut json, "icons", content::icons(&listed.prompt.icons));
    content::read("prompt", json)
}

/// A resource of the catalog as `resources/list` shows it.
pub(super) fn resource(resource: &catalog::Resource) -> Result<model::Resource, ErrorData> {
    let listed = &resource.resource().resource;
    let mut json = json!({ "uri": listed.uri, "name": listed.name });
    described(&mut json, listed.title.as_ref(), listed.description.as_ref(), resource.resource().meta.as_ref());
    set(&mut json, "mimeType", listed.mime_type.as_deref().map(Value::from));
    set(&mut json, "size", listed.size.map(Value::from));
    set(&mut json, "icons", content::icons(&listed.icons));
    set(&mut json, "annotations", listed.annotations.as_ref().map(content::annotations));
    content::read("resource", json)
}

/// A resource template of the catalog as `resources/templates/list` shows it.
pub(super) fn template(template: &catalog::Template) -> Result<model::ResourceTemplate, ErrorData> {
    let listed = &template.template().template;
    let mut json = json!({ "uriTemplate": listed.uri_template, "name": listed.name });
    described(&mut json, listed.title.as_ref(), listed.description.as_ref(), template.template().meta.as_ref());
    set(&mut json, "mimeType", listed.mime_type.as_deref().map(Value::from));
    set(&mut json, "icons", content::icons(&listed.icons));
    set(&mut json, "annotations", listed.annotations.as_ref().map(content::annotations));
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
