//! The lists of a plugin, beside its functions: its tools, prompts, resources and templates, as it names them.
//!
//! They are asked for once, when the plugin is loaded, and again when it says that they changed; nobody calls then, so
//! that they are the same for everybody. An entry that cannot be served costs itself and a warning, not the others.

use std::collections::HashSet;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use wasmtime::component::Instance;
use wasmtime::{AsContextMut, Store};

use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::imports::guest::Guest;
use crate::plugins::names::{FunctionName, is_plain};
use crate::plugins::plugin::{
    Function, FunctionKind, Interfaces, ListedTool, MAX_URI_BYTES, Plugin, Prompt, Resource, Template,
};
use crate::plugins::sandbox::call;
use crate::plugins::sandbox::engine::Share;
use crate::plugins::sandbox::instance::Work;
use crate::plugins::sandbox::runtime::Runtime;
use crate::plugins::served::Served;
use crate::plugins::types::codec::parse_object;
use crate::plugins::types::docs::{FunctionDocs, Hints, MAX_TITLE_BYTES, description};
use crate::plugins::types::schema::lint::lint;
use crate::plugins::types::validator::Validator;
use crate::plugins::wit::{prompts, resources, tools};
use crate::sanitize::{clean, cut};

/// Entries of one list. A client gets all of them at once.
const MAX_ENTRIES: usize = 1000;

/// Expressions of one template, and the bytes of the automaton that finds its URIs.
const MAX_EXPRESSIONS: usize = 8;
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// The lists of a plugin, as it gives them.
struct Lists {
    tools: Vec<tools::Tool>,
    prompts: Vec<prompts::Prompt>,
    resources: Vec<resources::Resource>,
    templates: Vec<resources::Template>,
}

/// Asks for all lists.
struct ListRequest(Interfaces);

impl Work for ListRequest {
    type Output = Lists;

    async fn run(self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Lists> {
        let mut lists = Lists { tools: Vec::new(), prompts: Vec::new(), resources: Vec::new(), templates: Vec::new() };
        if let Some(tools) = self.0.tools {
            lists.tools = tools.load(store.as_context_mut(), instance)?.call_list_tools(&mut *store).await?;
        }
        if let Some(prompts) = self.0.prompts {
            lists.prompts = prompts.load(store.as_context_mut(), instance)?.call_list_prompts(&mut *store).await?;
        }
        if let Some(resources) = self.0.resources {
            let resources = resources.load(store.as_context_mut(), instance)?;
            lists.resources = resources.call_list_resources(&mut *store).await?;
            lists.templates = resources.call_list_templates(&mut *store).await?;
        }
        Ok(lists)
    }
}

/// The plugin of `served` with the lists that it gives now.
///
/// # Errors
/// The call that asks for them failed; the plugin is as it was.
pub(in crate::plugins) async fn read(runtime: &Runtime, served: &Served) -> Result<Plugin, CallError> {
    let plugin = &served.plugin;
    if !plugin.interfaces.give_lists() {
        return Ok(Plugin::clone(plugin));
    }
    let lists =
        call::visit(runtime, served, "its lists", Conversation::default(), ListRequest(plugin.interfaces.clone()))
            .await?;
    // Each of the schemas may take long to read.
    let share = Share { plugin: Arc::clone(&plugin.name), person: None };
    let plugin = Arc::clone(plugin);
    runtime.engine.lane().compute(&share, move || with(&plugin, lists)).await.map_err(CallError::Host)
}

/// The plugin with other lists; its functions stay.
fn with(plugin: &Plugin, lists: Lists) -> Plugin {
    let mut plugin = plugin.clone();
    let mut warnings = Warnings(Vec::new());
    plugin.functions.retain(|function| matches!(function.kind, FunctionKind::Typed { .. }));
    let tools = warnings.all("tool", lists.tools, |tool| tool.name.clone(), self::tool);
    warnings.of_schemas(&tools);
    plugin.functions.extend(tools);
    plugin.functions.sort_by(|a, b| a.name.cmp(&b.name));
    plugin.prompts = warnings.all("prompt", lists.prompts, |prompt| prompt.name.clone(), prompt).into();
    plugin.resources = warnings.all("resource", lists.resources, |resource| resource.uri.clone(), resource).into();
    let name = |template: &resources::Template| template.uri_template.clone();
    plugin.templates = warnings.all("resource template", lists.templates, name, template).into();
    plugin.list_warnings = warnings.0;
    plugin
}

/// Faults of the lists, for their author.
struct Warnings(Vec<String>);

impl Warnings {
    /// The entries of a list that can be served, each name once.
    fn all<S, T>(
        &mut self,
        kind: &str,
        entries: Vec<S>,
        name: impl Fn(&S) -> String,
        read: impl Fn(S) -> Result<T, String>,
    ) -> Vec<T> {
        if entries.len() > MAX_ENTRIES {
            self.0.push(format!("of {} {kind}s only the first {MAX_ENTRIES} are served", entries.len()));
        }
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for entry in entries.into_iter().take(MAX_ENTRIES) {
            let name = name(&entry);
            let shown = cut(&clean(&name), MAX_TITLE_BYTES);
            if !seen.insert(name) {
                self.0.push(format!("{kind} `{shown}` is there twice; the second is not served"));
                continue;
            }
            match read(entry) {
                Ok(entry) => all.push(entry),
                Err(problem) => self.0.push(format!("{kind} `{shown}` is not served: {problem}")),
            }
        }
        all
    }

    /// Faults of the schemas that clients do not bear; the schemas are served as they are.
    fn of_schemas(&mut self, tools: &[Function]) {
        for tool in tools {
            let schemas = [("input", Some(&tool.input_schema)), ("output", tool.output_schema.as_ref())];
            for (kind, schema) in schemas {
                let problems = schema.map(|schema| lint(schema)).unwrap_or_default();
                let name = &tool.name.function;
                self.0
                    .extend(problems.into_iter().map(|problem| format!("tool `{name}`: its {kind} schema, {problem}")));
            }
        }
    }
}

fn tool(raw: tools::Tool) -> Result<Function, String> {
    require_name(&raw.name)?;
    if raw.description.trim().is_empty() {
        return Err("it has no description, and models decide by that".to_owned());
    }
    let input = parse_object("the input schema", &raw.input_schema).map_err(|error| error.to_string())?;
    // Clients refuse whole lists for one root that is no object.
    if input.get("type").and_then(Value::as_str) != Some("object") {
        return Err("the root of its input schema is not of type `object`".to_owned());
    }
    let arguments = Validator::new(&input).map_err(|problem| format!("its input schema: {problem}"))?;
    let output = raw.output_schema.as_deref().map(|text| parse_object("the output schema", text)).transpose();
    let output = output.map_err(|error| error.to_string())?;
    let structured = output.as_ref().map(Validator::new).transpose();
    let structured = structured.map_err(|problem| format!("its output schema: {problem}"))?;
    let hints = Hints {
        read_only: raw.hints.read_only,
        destructive: raw.hints.destructive,
        idempotent: raw.hints.idempotent,
        open_world: raw.hints.open_world,
    };
    Ok(Function {
        name: FunctionName { interface: None, function: raw.name.clone() },
        docs: FunctionDocs::listed(description(&raw.description), raw.title.as_deref().map(titled), hints),
        input_schema: Arc::new(input),
        output_schema: output.map(Arc::new),
        kind: FunctionKind::Listed(Arc::new(ListedTool {
            name: raw.name,
            icons: raw.icons,
            needs: raw.needs,
            tasks: raw.tasks,
            meta: meta(raw.meta.as_deref())?,
            arguments,
            structured,
        })),
    })
}

fn prompt(mut raw: prompts::Prompt) -> Result<Prompt, String> {
    require_name(&raw.name)?;
    let meta = meta(raw.meta.take().as_deref())?;
    raw.title = raw.title.as_deref().map(titled);
    raw.description = raw.description.as_deref().map(described);
    for argument in &mut raw.arguments {
        argument.title = argument.title.as_deref().map(titled);
        argument.description = argument.description.as_deref().map(described);
    }
    Ok(Prompt { prompt: raw, meta })
}

fn resource(mut raw: resources::Resource) -> Result<Resource, String> {
    let meta = meta(raw.meta.take().as_deref())?;
    require_uri(&raw.uri)?;
    url::Url::parse(&raw.uri).map_err(|error| format!("its URI cannot be read: {error}"))?;
    raw.name = titled(&raw.name);
    raw.title = raw.title.as_deref().map(titled);
    raw.description = raw.description.as_deref().map(described);
    Ok(Resource { resource: raw, meta })
}

fn template(mut raw: resources::Template) -> Result<Template, String> {
    let meta = meta(raw.meta.take().as_deref())?;
    require_uri(&raw.uri_template)?;
    let pattern = pattern(&raw.uri_template)?;
    raw.name = titled(&raw.name);
    raw.title = raw.title.as_deref().map(titled);
    raw.description = raw.description.as_deref().map(described);
    Ok(Template { literal_bytes: literal_bytes(&raw.uri_template), template: raw, meta, pattern })
}

/// The pattern of a template's URIs (RFC 6570): `{name}` is anything without a slash, and any other expression
/// anything at all. The plugin decides, this only finds it.
fn pattern(template: &str) -> Result<Regex, String> {
    let mut pattern = String::from("^");
    let mut rest = template;
    while let Some((literal, expression)) = rest.split_once('{') {
        let Some((expression, after)) = expression.split_once('}') else {
            return Err("a `{` without its `}`".to_owned());
        };
        pattern.push_str(&regex::escape(literal));
        let is_simple = !expression.is_empty()
            && expression.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
        pattern.push_str(if is_simple { "[^/]+" } else { ".*" });
        rest = after;
    }
    pattern.push_str(&regex::escape(rest));
    pattern.push('$');
    if template.matches('{').count() > MAX_EXPRESSIONS {
        return Err(format!("more than {MAX_EXPRESSIONS} expressions"));
    }
    let built = RegexBuilder::new(&pattern).size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES).build();
    built.map_err(|error| error.to_string())
}

fn literal_bytes(template: &str) -> usize {
    template.split('{').map(|part| part.split_once('}').map_or(part.len(), |(_, literal)| literal.len())).sum()
}

fn require_name(name: &str) -> Result<(), String> {
    if !is_plain(name) {
        return Err("a name has letters, digits, `-` and `_` only".to_owned());
    }
    Ok(())
}

fn require_uri(uri: &str) -> Result<(), String> {
    if uri.len() > MAX_URI_BYTES {
        return Err(format!("its URI has more than {MAX_URI_BYTES} bytes"));
    }
    if uri.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return Err("its URI has white space in it".to_owned());
    }
    Ok(())
}

fn meta(text: Option<&str>) -> Result<Option<Map<String, Value>>, String> {
    text.map(|text| parse_object("`meta`", text)).transpose().map_err(|error| error.to_string())
}

fn described(text: &str) -> String {
    description(text).unwrap_or_default()
}

fn titled(text: &str) -> String {
    cut(clean(text).replace('\n', " ").trim(), MAX_TITLE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_find_their_uris() {
        let cases = [
            ("test://template/{id}/data", "test://template/123/data", true),
            ("test://template/{id}/data", "test://template/1/2/data", false),
            ("test://template/{id}/data", "test://template//data", false),
            ("files://{+path}", "files://a/b/c", true),
            ("a://b.c/{x}", "a://bxc/1", false),
            ("a://b{?q}", "a://b?q=1", true),
        ];
        for (template, uri, fits) in cases {
            assert_eq!(pattern(template).unwrap().is_match(uri), fits, "{template} {uri}");
        }
        assert!(pattern("a://{b").is_err());
        assert!(literal_bytes("a://b/{c}/d") > literal_bytes("a://{+all}"));
    }
}
