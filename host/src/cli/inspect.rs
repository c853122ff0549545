//! `tinymcp inspect`: shows the tools and imports of a component.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{ConfigArguments, Failure, logging, output};
use crate::grants::Grants;
use crate::grants::needs::Need;
use crate::grants::snippet::{self, Snippet};
use crate::grants::words::Have;
use crate::plugins::catalog::{Catalog, Tool};
use crate::plugins::loading::stack_size;
use crate::plugins::plugin::{FunctionKind, Plugin};
use crate::plugins::types::schema::advice::advice;
use crate::plugins::types::schema::clients::{Unsayable, unsayable};

/// Places of one type that are shown.
const MAX_PLACES: usize = 3;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let plugins = arguments.config.plugin_loader()?.load_file(&arguments.file)?;
    let catalog = plugins.catalog();
    let Some(plugin) = catalog.served().next().map(|served| &served.plugin) else {
        return Err(nothing_of(&arguments.file, &catalog));
    };
    // No warning of the plugin: only its author can change what a component reserves. A server's log says it once.
    let advice = std::fs::read(&arguments.file).ok().and_then(|component| stack_size::advice(&component));
    let warnings: Vec<String> = warnings(&catalog).into_iter().chain(advice).collect();
    if arguments.json {
        output::json(&as_json(plugin, &catalog, &warnings));
    } else {
        print(plugin, &catalog, &warnings);
    }
    Ok(())
}

/// The failure of a command about a file of which nothing is served.
pub(super) fn nothing_of(file: &Path, catalog: &Catalog) -> Failure {
    let hidden = catalog.plugins().iter().filter_map(|plugin| plugin.serving.as_ref());
    let why = match hidden.map(|serving| serving.hidden.len()).sum::<usize>() {
        0 => "nothing in it can be served",
        _ => "the configuration hides every tool of it, and it gives nothing else",
    };
    Failure::failed(format!("{}: {why}", file.display()))
}

fn print(plugin: &Plugin, catalog: &Catalog, warnings: &[String]) {
    output::line(&format!("{}  {}", output::bold(&plugin.name), output::dim(&plugin.digest.to_string())));
    if let Some(description) = &plugin.description {
        output::line(&indented(description, 2));
    }
    if plugin.keep_warm {
        output::line("  kept warm: an instance serves one person's calls one after the other");
    }
    if !catalog.tools().is_empty() {
        output::line("\ntools");
    }
    for tool in catalog.tools() {
        print_tool(tool);
    }
    print_names("prompts", catalog.prompts().iter().map(|prompt| prompt.name.as_str()));
    print_names("resources", resources(catalog));
    output::line("\nimports");
    if plugin.imports.is_empty() {
        output::line("  none");
    }
    for import in &plugin.imports {
        output::line(&format!("  {}  {}", import.name, output::dim(import.behind.what_is_behind())));
    }
    print_grants(plugin, catalog);
    let beyond = beyond_clients(catalog);
    let lines: Vec<String> = beyond.iter().map(|(tool, found)| told(tool, found)).collect();
    print_names(
        "not for every model (their clients leave such a tool out, or send less of its schema)",
        lines.iter().map(String::as_str),
    );
    print_names("warnings", warnings.iter().map(String::as_str));
}

/// What the plugin is granted, what it declares to need, and the lines that would grant the rest.
fn print_grants(plugin: &Plugin, catalog: &Catalog) {
    print_names("granted", granted(catalog).iter().map(String::as_str));
    if !plugin.needs.are_declared() {
        return;
    }
    let grants = grants_of(catalog);
    let lines: Vec<String> =
        plugin.needs.iter().map(|need| format!("{need}  {}", output::dim(&grants.have(need).to_string()))).collect();
    match lines.is_empty() {
        true => print_names("needs", ["nothing, so that nothing is granted"].into_iter()),
        false => print_names("needs", lines.iter().map(String::as_str)),
    }
    let snippet = missing(plugin, &grants);
    if !snippet.toml.is_empty() {
        output::line(&format!("\nin tinymcp.toml, what is not granted\n{}", indented(&snippet.toml, 2)));
    }
    let left_out: Vec<String> = snippet.left_out.iter().map(Need::to_string).collect();
    print_names("for you to put into words, if you want to grant it", left_out.iter().map(String::as_str));
}

fn granted(catalog: &Catalog) -> &[String] {
    let serving = catalog.plugins().iter().find_map(|plugin| plugin.serving.as_ref());
    serving.map(|serving| serving.granted.as_slice()).unwrap_or_default()
}

fn grants_of(catalog: &Catalog) -> Arc<Grants> {
    catalog.served().next().map(|served| served.grants()).unwrap_or_default()
}

/// The lines that would grant what is declared and not granted.
pub(super) fn missing(plugin: &Plugin, grants: &Grants) -> Snippet {
    let missing = plugin.needs.iter().filter(|need| grants.have(need) != Have::All);
    snippet::of_needs(&plugin.name, missing)
}

/// Warnings for the author: faults to mend, and surprises for a tool's callers.
fn warnings(catalog: &Catalog) -> Vec<String> {
    let of_tools = catalog
        .tools()
        .iter()
        .flat_map(|tool| advice(tool.function()).into_iter().map(|advice| format!("tool `{}`: {advice}", tool.name)));
    let of_plugin = catalog.plugins().iter().filter_map(|plugin| plugin.serving.as_ref());
    of_plugin.flat_map(|serving| serving.warnings.iter().cloned()).chain(of_tools).collect()
}

/// The types of parameters for which some client's API has no words, by tool.
fn beyond_clients(catalog: &Catalog) -> Vec<(&str, Unsayable)> {
    let of = |tool: &'_ Tool| match &tool.function().kind {
        FunctionKind::Typed { signature, .. } => unsayable(signature),
        FunctionKind::Listed(_) => Vec::new(),
    };
    catalog.tools().iter().flat_map(|tool| of(tool).into_iter().map(|found| (tool.name.as_str(), found))).collect()
}

fn told(tool: &str, found: &Unsayable) -> String {
    let Unsayable { client, ty, places, reason } = found;
    let shown: Vec<String> = places.iter().take(MAX_PLACES).map(|place| format!("`{place}`")).collect();
    let more = places.len().saturating_sub(MAX_PLACES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{client}: `{ty}` in {}{more} of tool `{tool}`: {reason}", shown.join(", "))
}

/// A list under a heading, if there is anything in it.
fn print_names<'a>(heading: &str, names: impl Iterator<Item = &'a str>) {
    let lines: Vec<String> = names.map(|name| format!("  {name}")).collect();
    if !lines.is_empty() {
        output::line(&format!("\n{heading}\n{}", lines.join("\n")));
    }
}

fn resources(catalog: &Catalog) -> impl Iterator<Item = &str> {
    let templates = catalog.templates().iter().map(|template| template.uri_template());
    catalog.resources().iter().map(|resource| resource.uri()).chain(templates)
}

fn print_tool(tool: &Tool) {
    let function = tool.function();
    output::line(&format!("  {}  {}", output::bold(&tool.name), output::dim(&function.form())));
    if let Some(description) = tool.description() {
        output::line(&indented(description, 6));
    }
    output::line(&format!("      input   {}", json!(*function.input_schema)));
    if let Some(schema) = &function.output_schema {
        output::line(&format!("      output  {}", json!(**schema)));
    }
}

fn indented(text: &str, by: usize) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("{:by$}{line}", "")).collect();
    lines.join("\n")
}

fn as_json(plugin: &Plugin, catalog: &Catalog, warnings: &[String]) -> serde_json::Value {
    let tools: Vec<serde_json::Value> = catalog
        .tools()
        .iter()
        .map(|tool| {
            let function = tool.function();
            json!({
                "name": tool.name,
                "function": function.name.to_string(),
                "title": tool.title(),
                "description": tool.description(),
                "inputSchema": *function.input_schema,
                "outputSchema": function.output_schema.as_deref(),
            })
        })
        .collect();
    let imports: Vec<serde_json::Value> = plugin
        .imports
        .iter()
        .map(|import| json!({ "name": import.name, "behind": import.behind.what_is_behind() }))
        .collect();
    let grants = grants_of(catalog);
    let needs =
        plugin.needs.iter().map(|need| json!({ "need": need.to_string(), "is": grants.have(need).to_string() }));
    let needs = plugin.needs.are_declared().then(|| needs.collect::<Vec<serde_json::Value>>());
    let beyond: Vec<serde_json::Value> = beyond_clients(catalog)
        .iter()
        .map(|(tool, found)| {
            let Unsayable { client, ty, places, reason } = found;
            json!({ "client": client, "tool": tool, "type": ty, "parameters": places, "reason": reason })
        })
        .collect();
    json!({
        "plugin": *plugin.name,
        "digest": plugin.digest.to_string(),
        "sha256": plugin.sha256.to_string(),
        "description": plugin.description,
        "tools": tools,
        "prompts": catalog.prompts().iter().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>(),
        "resources": resources(catalog).collect::<Vec<_>>(),
        "keepWarm": plugin.keep_warm,
        "imports": imports,
        "granted": granted(catalog),
        "needs": needs,
        "snippet": missing(plugin, &grants).toml,
        "beyondClients": beyond,
        "warnings": warnings,
    })
}
