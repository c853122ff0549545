//! `tinymcp inspect`: what a component would be here.

use std::path::PathBuf;

use serde_json::json;

use super::{ConfigArguments, Failure, logging, output, wait};
use crate::plugins::catalog::{Catalog, Tool};
use crate::plugins::load::{Import, Plugin};

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
    let config = arguments.config.look()?;
    let plugins = wait::plugins_of_file(&config, &arguments.file)?;
    let catalog = plugins.catalog();
    let Some(plugin) = catalog.tools().first().map(|tool| &tool.plugin) else {
        return Err(Failure::failed(format!("{}: no tools", arguments.file.display())));
    };
    if arguments.json {
        output::json(&as_json(plugin, &catalog));
    } else {
        print(plugin, &catalog);
    }
    Ok(())
}

fn print(plugin: &Plugin, catalog: &Catalog) {
    output::line(&format!("{}  {}", output::bold(&plugin.name), output::dim(&plugin.digest.to_string())));
    if let Some(description) = &plugin.description {
        output::line(&indented(description, 2));
    }
    output::line("\ntools");
    for tool in catalog.tools() {
        print_tool(tool);
    }
    output::line("\nimports");
    if plugin.imports.is_empty() {
        output::line("  none");
    }
    for import in &plugin.imports {
        output::line(&format!("  {}  {}", import, output::dim(Import::of(import).what_is_behind())));
    }
    if !plugin.warnings.is_empty() {
        output::line("\nwarnings");
        for warning in &plugin.warnings {
            output::line(&format!("  {warning}"));
        }
    }
}

fn print_tool(tool: &Tool) {
    let function = tool.function();
    output::line(&format!("  {}  {}", output::bold(&tool.name), output::dim(&function.signature.to_string())));
    if let Some(description) = &function.docs.description {
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

fn as_json(plugin: &Plugin, catalog: &Catalog) -> serde_json::Value {
    let tools: Vec<serde_json::Value> = catalog
        .tools()
        .iter()
        .map(|tool| {
            let function = tool.function();
            json!({
                "name": tool.name,
                "function": function.name.to_string(),
                "title": function.docs.title,
                "description": function.docs.description,
                "inputSchema": *function.input_schema,
                "outputSchema": function.output_schema.as_deref(),
            })
        })
        .collect();
    let imports: Vec<serde_json::Value> = plugin
        .imports
        .iter()
        .map(|import| json!({ "name": import, "behind": Import::of(import).what_is_behind() }))
        .collect();
    json!({
        "plugin": *plugin.name,
        "digest": plugin.digest.to_string(),
        "description": plugin.description,
        "tools": tools,
        "imports": imports,
        "warnings": plugin.warnings,
    })
}
