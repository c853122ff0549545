//! `find_tools` and `call_tool`: two tools of the server's own, for clients that never ask for the list again.
//!
//! Their own definitions never change, so that a conversation that began before can use a tool that was added a moment
//! ago. They are off unless `server.discovery_tools` turns them on.

use std::sync::Arc;

use rmcp::model::{CallToolResult, ContentBlock, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::{echo, listing};
use crate::json_weight;
use crate::plugins::catalog::Catalog;
use crate::plugins::names::{CALL_TOOL, FIND_TOOLS};
use crate::principal::{Access, Principal};

/// The most tools of one search. A model reads all of them.
const MAX_FOUND: usize = 20;

/// The switch for both.
#[derive(Clone, Copy)]
pub(super) enum Discovery {
    On,
    Off,
}

/// The most of a search: every word is looked for in every tool.
const MAX_WORDS: usize = 32;
const MAX_QUERY_BYTES: usize = 1024;

/// The most memory of arguments that come as text in a string; more has to come as JSON itself.
const MAX_QUOTED_BYTES: usize = 8 << 20;

impl Discovery {
    pub(super) fn from(is_on: bool) -> Self {
        if is_on { Self::On } else { Self::Off }
    }

    /// The two tools as clients see them.
    pub(super) fn tools(self) -> impl Iterator<Item = Tool> {
        let both = match self {
            Self::On => vec![find_tools(), call_tool()],
            Self::Off => Vec::new(),
        };
        both.into_iter()
    }

    /// True for the name of `call_tool`, if it is on.
    pub(super) fn calls(self, name: &str) -> bool {
        matches!(self, Self::On) && name == CALL_TOOL
    }

    /// True for the name of either, if they are on.
    pub(super) fn has(self, name: &str) -> bool {
        self.calls(name) || matches!(self, Self::On) && name == FIND_TOOLS
    }

    /// The answer to a call of `find_tools`, or to a call of `call_tool` that names no tool.
    pub(super) fn answer(
        self,
        name: &str,
        arguments: &Map<String, Value>,
        catalog: &Catalog,
        principal: &Principal,
    ) -> Option<CallToolResult> {
        match (self, name) {
            (Self::On, FIND_TOOLS) => Some(found(arguments, catalog, principal)),
            (Self::On, CALL_TOOL) => unnamed(arguments, catalog, principal),
            _ => None,
        }
    }

    /// The tool that a call of `call_tool` is for, and its arguments.
    pub(super) fn unwrap(self, name: &str, arguments: &mut Map<String, Value>) -> Option<(String, Map<String, Value>)> {
        match (self, name) {
            (Self::On, CALL_TOOL) => {
                let name = arguments.get("name")?.as_str()?.to_owned();
                let arguments = inner(arguments.remove("arguments"))?;
                Some((name, arguments))
            }
            _ => None,
        }
    }
}

fn find_tools() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "description": "Words that the tool's name or description has; left out, all tools are listed",
            },
        },
        "additionalProperties": false,
    });
    let description = "Find tools that this server has now, also those that were added after this conversation began. \
        Returns their names, descriptions and JSON Schemas; call them by `call_tool`.";
    own(FIND_TOOLS, description, schema, ToolAnnotations::new().read_only(true).open_world(false))
}

fn call_tool() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": "The tool's name, as `find_tools` gives it" },
            // Some models' APIs refuse an object without `properties`.
            "arguments": {
                "type": "object",
                "description": "The tool's arguments, as its schema wants them",
                "properties": {},
                "additionalProperties": true,
            },
        },
        "required": ["name"],
        "additionalProperties": false,
    });
    let description = "Call a tool that is not in your list of tools, by its name. `find_tools` tells which there are \
        and what they take.";
    own(CALL_TOOL, description, schema, ToolAnnotations::new())
}

fn own(name: &'static str, description: &'static str, schema: Value, annotations: ToolAnnotations) -> Tool {
    let schema = match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    let mut tool = Tool::new(name, description, Arc::new(schema));
    tool.annotations = Some(annotations);
    tool
}

/// The tools that the caller may call, the best matches first.
fn found(arguments: &Map<String, Value>, catalog: &Catalog, principal: &Principal) -> CallToolResult {
    if let Some(other) = arguments.keys().find(|name| *name != "query") {
        return failure(format!("argument `$.{}`: unknown; this tool takes `query`", echo::name(other)));
    }
    let query = match arguments.get("query") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(query)) if query.len() > MAX_QUERY_BYTES => return failure(too_long()),
        Some(Value::String(query)) => query.to_lowercase(),
        Some(_) => return failure("argument `$.query`: expected a string".to_owned()),
    };
    let words = query.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.take(MAX_WORDS + 1).collect();
    if words.len() > MAX_WORDS {
        return failure(too_long());
    }
    let visible = catalog.tools().iter().filter(|tool| principal.access(tool.served.scopes()) != Access::Never);
    let mut ranked: Vec<(usize, Tool)> = visible
        .map(|tool| listing::tool(tool))
        .map(|tool| (matches(&tool, &words), tool))
        .filter(|(matches, _)| words.is_empty() || *matches > 0)
        .collect();
    // Stable: equals stay in the order of their names.
    ranked.sort_by_key(|(matches, _)| std::cmp::Reverse(*matches));
    let total = ranked.len();
    let shown: Vec<Value> = ranked
        .into_iter()
        .take(MAX_FOUND)
        .map(|(_, tool)| {
            json!({ "name": tool.name, "description": tool.description, "inputSchema": *tool.input_schema })
        })
        .collect();
    let structured = json!({ "tools": shown, "total": total });
    let mut result = CallToolResult::success(vec![ContentBlock::text(structured.to_string())]);
    result.structured_content = Some(structured);
    result
}

fn too_long() -> String {
    format!("argument `$.query`: more than {MAX_WORDS} words or {MAX_QUERY_BYTES} bytes: search for fewer")
}

/// Counts the words of a search that a tool has; one in its name counts double.
fn matches(tool: &Tool, words: &[&str]) -> usize {
    let name = tool.name.to_lowercase();
    let text = [tool.title.as_deref(), tool.description.as_deref()];
    let text = text.into_iter().flatten().collect::<Vec<_>>().join(" ").to_lowercase();
    words.iter().map(|word| 2 * usize::from(name.contains(word)) + usize::from(text.contains(word))).sum()
}

/// The answer to a call of `call_tool` that does not name a tool of this caller's.
fn unnamed(arguments: &Map<String, Value>, catalog: &Catalog, principal: &Principal) -> Option<CallToolResult> {
    let Some(name) = arguments.get("name").and_then(Value::as_str) else {
        return Some(failure("argument `$.name`: missing; expected a tool's name".to_owned()));
    };
    if let Some(other) = arguments.keys().find(|member| !["name", "arguments"].contains(&member.as_str())) {
        return Some(failure(format!(
            "argument `$.{}`: unknown; this tool takes `name`, `arguments`",
            echo::name(other)
        )));
    }
    if let Some(value) = arguments.get("arguments")
        && !matches!(value, Value::Null | Value::Object(_))
        && inner(Some(value.clone())).is_none()
    {
        let cure = if value.is_string() { ", as JSON itself: send it without quotes" } else { "" };
        return Some(failure(format!("argument `$.arguments`: expected an object{cure}")));
    }
    let is_there = catalog.tool(name).is_some_and(|tool| principal.holds(tool.served.scopes()));
    // Not an error of the protocol: that would be about `call_tool`, which exists.
    let refusal = || format!("there is no tool `{}`; `{FIND_TOOLS}` tells which there are", echo::name(name));
    (!is_there).then(|| failure(refusal()))
}

/// The arguments of the tool that is called. As everywhere, a client may send what is absent as `null`, and an object
/// as JSON text in a string, which is read once.
fn inner(value: Option<Value>) -> Option<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(arguments)) => Some(arguments),
        Some(Value::String(text)) if text.starts_with('{') && text.ends_with('}') => {
            let fits = json_weight::of_text(text.as_bytes()) <= MAX_QUOTED_BYTES;
            fits.then(|| serde_json::from_str(&text).ok()).flatten()
        }
        Some(_) => None,
    }
}

fn failure(text: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::types::schema::clients::tests::refusing_clients;

    #[test]
    fn arguments_are_read_as_clients_send_them() {
        let object = |value: Value| value.as_object().cloned();
        for (sent, read) in [
            (json!({ "a": "{}" }), object(json!({ "a": "{}" }))),
            (json!(null), object(json!({}))),
            (json!(r#"{"a": "{}"}"#), object(json!({ "a": "{}" }))),
            (json!(r#" {"a": 1}"#), None),
            (json!(r#""{}""#), None),
            (json!("null"), None),
            (json!("{a}"), None),
            (json!([]), None),
        ] {
            assert_eq!(inner(Some(sent.clone())), read, "{sent}");
        }
        assert_eq!(inner(None), object(json!({})));
    }

    #[test]
    fn clients_take_their_schemas() {
        for tool in Discovery::On.tools() {
            let schema = Value::Object((*tool.input_schema).clone());
            // Members that may be absent, and an object of any properties, are beyond these two.
            let refusing = refusing_clients(&schema);
            assert!(refusing.iter().all(|client| client == "OpenAI (strict)"), "{}: {refusing:?}", tool.name);
            let inner = tool.input_schema["properties"].get("arguments");
            assert!(inner.is_none_or(|inner| inner["properties"].is_object()), "{schema}");
        }
    }
}
