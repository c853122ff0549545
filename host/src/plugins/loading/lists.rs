//! The lists of a plugin, beside its functions: its tools, prompts, resources and templates, as it names them.
//!
//! They are asked for once, when the plugin is loaded, and again when it says that they changed; nobody calls then, so
//! that they are the same for everybody. An entry that cannot be served costs itself and a warning, not the others.

pub(in crate::plugins) mod kept;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::component::Instance;
use wasmtime::{AsContextMut, Store};

use self::kept::{KeptLists, Lists};
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::imports::guest::Guest;
use crate::plugins::names::{FunctionName, is_plain};
use crate::plugins::plugin::{
    Function, FunctionKind, Interfaces, ListedTool, MAX_URI_BYTES, Plugin, Prompt, Resource, Template, shorten,
};
use crate::plugins::sandbox::call;
use crate::plugins::sandbox::engine::Share;
use crate::plugins::sandbox::instance::Work;
use crate::plugins::sandbox::runtime::Runtime;
use crate::plugins::served::Served;
use crate::plugins::types::codec::parse_object;
use crate::plugins::types::docs::{FunctionDocs, Hints, MAX_DESCRIPTION_BYTES, MAX_TITLE_BYTES, description};
use crate::plugins::types::schema::lint::lint;
use crate::plugins::types::uris::UriPattern;
use crate::plugins::types::validator::{SchemaRoom, Validator};
use crate::plugins::wit::content::Icon;
use crate::plugins::wit::{prompts, resources, tools};
use crate::sanitize::{clean, clean_json, cut, cut_texts};

/// Entries of one list. A client gets all of them at once.
const MAX_ENTRIES: usize = 1000;

/// Bytes of all texts in the lists of one plugin. Each schema may be below its own limit, and a thousand of them are not
/// what a client can take, or this host.
const MAX_LIST_BYTES: usize = 2 * 1024 * 1024;

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
    let lists = call::visit(
        runtime,
        served,
        ("its lists", "tools/list"),
        Conversation::default(),
        ListRequest(plugin.interfaces.clone()),
    )
    .await?;
    // Each of the schemas may take long to read.
    let share = Share { plugin: Arc::clone(&plugin.name), person: None };
    let plugin = Arc::clone(plugin);
    runtime.engine.lane().compute(&share, move || with(&plugin, lists)).await.map_err(CallError::Host)
}

/// The plugin with lists that were kept, whatever it would give now.
///
/// # Errors
/// The host failed.
pub(in crate::plugins) async fn restore(
    runtime: &Runtime,
    plugin: Arc<Plugin>,
    kept: KeptLists,
) -> Result<Plugin, CallError> {
    let share = Share { plugin: Arc::clone(&plugin.name), person: None };
    let made = runtime.engine.lane().compute(&share, move || with(&plugin, kept.into_lists())).await;
    made.map_err(CallError::Host)
}

/// The plugin with other lists; its functions stay.
fn with(plugin: &Plugin, lists: Lists) -> Plugin {
    let mut plugin = plugin.clone();
    let mut warnings = Warnings(Vec::new());
    plugin.functions.retain(|function| matches!(function.kind, FunctionKind::Typed { .. }));
    // Tools first: they are what most plugins are for.
    let (mut room, mut schemas) = (ListRoom(MAX_LIST_BYTES), SchemaRoom::of_plugin());
    let read = |raw| self::tool(raw, &mut schemas);
    let tools = warnings.all("tool", lists.tools, &mut room, |tool| tool.name.clone(), of_tool, read);
    warnings.of_schemas(&tools);
    plugin.functions.extend(tools);
    plugin.functions.sort_by(|a, b| a.name.cmp(&b.name));
    let name = |prompt: &prompts::Prompt| prompt.name.clone();
    plugin.prompts = warnings.all("prompt", lists.prompts, &mut room, name, of_prompt, prompt).into();
    let name = |resource: &resources::Resource| resource.uri.clone();
    plugin.resources = warnings.all("resource", lists.resources, &mut room, name, of_resource, resource).into();
    let name = |template: &resources::Template| template.uri_template.clone();
    plugin.templates =
        warnings.all("resource template", lists.templates, &mut room, name, of_template, template).into();
    shorten(&mut warnings.0);
    plugin.list_warnings = warnings.0;
    plugin
}

/// Bytes that the lists of a plugin may still have.
struct ListRoom(usize);

impl ListRoom {
    fn take(&mut self, bytes: usize) -> bool {
        let rest = self.0.checked_sub(bytes);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

/// Faults of the lists, for their author.
struct Warnings(Vec<String>);

impl Warnings {
    /// The entries of a list that can be served, each name once.
    fn all<S, T>(
        &mut self,
        kind: &str,
        entries: Vec<S>,
        room: &mut ListRoom,
        name: impl Fn(&S) -> String,
        bytes: impl Fn(&S) -> usize,
        mut read: impl FnMut(S) -> Result<T, String>,
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
            if !room.take(bytes(&entry)) {
                let most = MAX_LIST_BYTES >> 10;
                self.0.push(format!(
                    "{kind} `{shown}` and what is listed after it are not served: with it, the lists of this plugin have \
                     more than {most} KiB"
                ));
                break;
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

fn of_text(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

fn of_icons(icons: &[Icon]) -> usize {
    icons.iter().map(|icon| icon.src.len() + icon.sizes.iter().map(String::len).sum::<usize>()).sum()
}

/// The bytes of a tool's texts. Its schemas are kept as values and as validators too.
fn of_tool(tool: &tools::Tool) -> usize {
    let texts = [tool.title.as_ref(), tool.output_schema.as_ref(), tool.meta.as_ref()];
    let texts = texts.into_iter().map(of_text).sum::<usize>();
    tool.name.len() + tool.description.len() + tool.input_schema.len() + texts + of_icons(&tool.icons)
}

fn of_prompt(prompt: &prompts::Prompt) -> usize {
    let of_argument = |argument: &prompts::Argument| {
        argument.name.len() + of_text(argument.title.as_ref()) + of_text(argument.description.as_ref())
    };
    let texts = [prompt.title.as_ref(), prompt.description.as_ref(), prompt.meta.as_ref()];
    let texts = texts.into_iter().map(of_text).sum::<usize>();
    prompt.name.len() + texts + prompt.arguments.iter().map(of_argument).sum::<usize>() + of_icons(&prompt.icons)
}

fn of_resource(resource: &resources::Resource) -> usize {
    let texts = [&resource.title, &resource.description, &resource.mime_type, &resource.meta];
    let texts = texts.into_iter().map(|text| of_text(text.as_ref())).sum::<usize>();
    resource.uri.len() + resource.name.len() + texts + of_icons(&resource.icons)
}

fn of_template(template: &resources::Template) -> usize {
    let texts = [&template.title, &template.description, &template.mime_type, &template.meta];
    let texts = texts.into_iter().map(|text| of_text(text.as_ref())).sum::<usize>();
    template.uri_template.len() + template.name.len() + texts + of_icons(&template.icons)
}

fn tool(raw: tools::Tool, schemas: &mut SchemaRoom) -> Result<Function, String> {
    require_name(&raw.name)?;
    if raw.description.trim().is_empty() {
        return Err("it has no description, and models decide by that".to_owned());
    }
    let input = schema("the input schema", &raw.input_schema)?;
    // Clients refuse whole lists for one root that is no object.
    if input.get("type").and_then(Value::as_str) != Some("object") {
        return Err("the root of its input schema is not of type `object`".to_owned());
    }
    let arguments = Validator::new(&input, schemas).map_err(|problem| format!("its input schema: {problem}"))?;
    let output = raw.output_schema.as_deref().map(|text| schema("the output schema", text)).transpose()?;
    let structured = output.as_ref().map(|schema| Validator::new(schema, schemas)).transpose();
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
        if clean(&argument.name) != argument.name {
            return Err("the name of an argument has characters in it that nobody sees".to_owned());
        }
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
    let uris = UriPattern::of(&raw.uri_template)?;
    raw.name = titled(&raw.name);
    raw.title = raw.title.as_deref().map(titled);
    raw.description = raw.description.as_deref().map(described);
    Ok(Template { template: raw, meta, uris })
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
    if clean(uri) != uri {
        return Err("its URI has characters in it that nobody sees".to_owned());
    }
    require_scheme(uri)
}

/// A URI begins with its scheme, of which upper and lower case are the same (RFC 3986, section 3.1): one spelling for
/// all, and no template that takes the URIs of every scheme.
fn require_scheme(uri: &str) -> Result<(), String> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
        scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
    });
    match scheme {
        Some(_) => Ok(()),
        None => Err("its URI does not begin with a scheme in lower case, as in `notes://{id}`".to_owned()),
    }
}

fn meta(text: Option<&str>) -> Result<Option<Map<String, Value>>, String> {
    text.map(|text| cleaned("`meta`", text)).transpose()
}

/// A schema, whose texts models read like descriptions. Arguments and results are held against it as it is shown.
fn schema(what: &'static str, text: &str) -> Result<Map<String, Value>, String> {
    let mut schema = Value::Object(cleaned(what, text)?);
    cut_texts(&mut schema, MAX_DESCRIPTION_BYTES);
    Ok(object(schema))
}

/// The object in a text, with its own texts made fit for readers.
fn cleaned(what: &'static str, text: &str) -> Result<Map<String, Value>, String> {
    let mut value = Value::Object(parse_object(what, text).map_err(|error| error.to_string())?);
    clean_json(&mut value).map_err(|problem| format!("{what}: {problem}"))?;
    Ok(object(value))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
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
    fn lists_have_a_bound_together() {
        let resource = |index: usize| resources::Resource {
            uri: format!("a://{index}"),
            name: String::new(),
            title: None,
            description: Some("x".repeat(20_000)),
            mime_type: None,
            size: None,
            icons: Vec::new(),
            annotations: None,
            meta: None,
        };
        let mut warnings = Warnings(Vec::new());
        let mut room = ListRoom(MAX_LIST_BYTES);
        let entries = (0..200).map(resource).collect();
        let name = |resource: &resources::Resource| resource.uri.clone();
        let served = warnings.all("resource", entries, &mut room, name, of_resource, self::resource);
        assert_eq!(served.len(), MAX_LIST_BYTES / 20_010);
        assert!(warnings.0[0].starts_with("resource `a://104` and what is listed after it"), "{:?}", warnings.0);
        assert_eq!(warnings.0.len(), 1);
    }
}
