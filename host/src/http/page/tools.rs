//! The tools as the page shows them: what clients get, in words, by plugin.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::visitor::Visitor;
use crate::http::arguments::{Argument, arguments};
use crate::mcp;
use crate::plugins::catalog::{Catalog, Tool};
use crate::principal::Access;
use crate::sanitize;

/// A plugin with its tools.
pub(super) struct PluginView {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) tools: Vec<ToolView>,
}

/// One tool.
pub(super) struct ToolView {
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) summary: String,
    /// The rest of its description.
    pub(super) details: Option<String>,
    pub(super) arguments: Vec<Argument>,
    pub(super) result: Vec<Argument>,
    /// The schema of its arguments, as clients get it.
    pub(super) schema: String,
    /// The same for people to read.
    pub(super) shown_schema: String,
    pub(super) hints: Vec<Hint>,
    pub(super) is_destructive: bool,
    /// Scopes that the visitor's login lacks, and could have.
    pub(super) lacks: Vec<String>,
    /// A digest of what is shown, by which an open page tells which tools are other ones.
    pub(super) print: String,
}

/// A word about a tool's effect, as its author claims it.
#[derive(Clone, Copy)]
pub(super) struct Hint {
    pub(super) word: &'static str,
    pub(super) meaning: &'static str,
    pub(super) class: &'static str,
}

/// The tools that a visitor sees, by plugin.
pub(super) fn by_plugin(catalog: &Catalog, visitor: &Visitor) -> Vec<PluginView> {
    let mut plugins: Vec<PluginView> = Vec::new();
    let principal = visitor.person().map(|person| person.principal());
    for tool in catalog.tools() {
        let access = principal.map_or(Access::Granted, |principal| principal.access(tool.served.scopes()));
        if access == Access::Never {
            continue;
        }
        let lacks = if access == Access::Possible { lacking(tool, visitor) } else { Vec::new() };
        let view = view(tool, lacks);
        let plugin = &tool.served.plugin;
        match plugins.iter_mut().find(|view| *view.name == *plugin.name) {
            Some(plugin) => plugin.tools.push(view),
            None => plugins.push(PluginView {
                name: plugin.name.to_string(),
                description: plugin.description.clone(),
                tools: vec![view],
            }),
        }
    }
    plugins.sort_by(|one, other| one.name.cmp(&other.name));
    plugins
}

/// The names of the tools that a visitor sees.
pub(super) fn names(catalog: &Catalog, visitor: &Visitor) -> Vec<String> {
    let principal = visitor.person().map(|person| person.principal());
    let is_seen =
        |tool: &&Arc<Tool>| principal.is_none_or(|principal| principal.access(tool.served.scopes()) != Access::Never);
    catalog.tools().iter().filter(is_seen).map(|tool| tool.name.clone()).collect()
}

/// True if the tool's author says that it may destroy something, as clients hear it.
pub(super) fn is_destructive(tool: &Tool) -> bool {
    hint(&mcp::listed_tool(tool), "destructiveHint") == Some(true)
}

fn lacking(tool: &Tool, visitor: &Visitor) -> Vec<String> {
    let held = visitor.person().map(|person| person.principal().scopes()).unwrap_or_default();
    let needed = tool.served.scopes().iter().map(|scope| scope.as_str());
    needed.filter(|scope| !held.contains(scope)).map(str::to_owned).collect()
}

fn view(tool: &Tool, lacks: Vec<String>) -> ToolView {
    let listed = mcp::listed_tool(tool);
    let text = |name: &str| listed.get(name).and_then(Value::as_str).map(sanitize::clean);
    let none = Map::new();
    let schema = listed.get("inputSchema").and_then(Value::as_object).unwrap_or(&none);
    let result = listed.get("outputSchema").and_then(Value::as_object).map(arguments).unwrap_or_default();
    let description = text("description").unwrap_or_default();
    let (summary, details) = description.split_once('\n').unwrap_or((&description, ""));
    let details = details.trim();
    ToolView {
        title: text("title"),
        summary: summary.trim().to_owned(),
        details: (!details.is_empty()).then(|| details.to_owned()),
        arguments: arguments(schema),
        result,
        schema: serde_json::to_string(schema).unwrap_or_default(),
        shown_schema: sanitize::escape_json(&serde_json::to_string_pretty(schema).unwrap_or_default()),
        hints: hints(&listed),
        is_destructive: hint(&listed, "destructiveHint") == Some(true),
        print: print(&listed, &lacks),
        lacks,
        name: tool.name.clone(),
    }
}

fn print(listed: &Map<String, Value>, lacks: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [serde_json::to_string(listed).unwrap_or_default(), lacks.join(" ")] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn hint(listed: &Map<String, Value>, name: &str) -> Option<bool> {
    listed.get("annotations")?.get(name)?.as_bool()
}

fn hints(listed: &Map<String, Value>) -> Vec<Hint> {
    let all = [
        (
            "readOnlyHint",
            Hint { word: "reads only", meaning: "its author says that it changes nothing", class: "calm" },
        ),
        (
            "destructiveHint",
            Hint { word: "may destroy", meaning: "its author says that it may delete or overwrite", class: "grave" },
        ),
        (
            "idempotentHint",
            Hint {
                word: "can be repeated",
                meaning: "its author says that a second call with the same arguments changes nothing more",
                class: "plain",
            },
        ),
        (
            "openWorldHint",
            Hint {
                word: "reaches outside",
                meaning: "its author says that it deals with other systems",
                class: "plain",
            },
        ),
    ];
    all.into_iter().filter(|(name, _)| hint(listed, name) == Some(true)).map(|(_, hint)| hint).collect()
}
