//! `tinymcp list`: the tools of the plugins directory, and the reasons of files without any.

use serde_json::json;

use super::operator::of_server;
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::config::Config;
use crate::config::names::snake;
use crate::grants::needs::{Need, Needs};
use crate::operator::{Answer, OlderVersion, Request};
use crate::plugins::catalog::{Catalog, PluginStatus, Tool};
use crate::plugins::registry::unknown;
use crate::sanitize::literal;
use crate::view::View;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let loader = arguments.config.plugin_loader()?;
    for unknown in unknown::in_directory(&loader.config) {
        output::warning(&unknown.to_string());
    }
    let config = loader.config.clone();
    let (plugins, older) = runtime()?.block_on(async {
        let plugins = loader.load_directory().await?;
        Ok::<_, Failure>((plugins, older_versions(&loader.config).await))
    })?;
    let older_of = |plugin: &PluginStatus| {
        older.iter().find(|older| older.file == plugin.file && plugin.serving.is_none() && plugin.problem.is_some())
    };
    let catalog = plugins.catalog();
    for unknown in unknown::tools_in_catalog(&config, &catalog) {
        output::warning(&unknown.to_string());
    }
    if arguments.json {
        output::json(&json!({
            "tools": tools(&catalog),
            "plugins": catalog.plugins().iter().map(|plugin| status(plugin, older_of(plugin))).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    let width = catalog.tools().iter().map(|tool| tool.name.len()).max().unwrap_or_default();
    for tool in catalog.tools() {
        let summary = tool.summary();
        let renamed = renamed(tool, &config)
            .map(|function| format!("  {}", output::dim(&format!("(its function is {function})"))));
        let renamed = renamed.unwrap_or_default();
        output::line(&format!("{}  {summary}{renamed}", output::bold(&format!("{:width$}", tool.name))));
    }
    for older in catalog.plugins().iter().filter_map(older_of) {
        for (name, summary) in &older.tools {
            let name = output::bold(&format!("{name:width$}"));
            output::line(&format!("{name}  {summary}  {}", output::dim("(of the version before)")));
        }
    }
    for plugin in catalog.plugins() {
        if let Some(problem) = plugin.problem.as_ref().filter(|_| plugin.waiting.is_some()) {
            let meanwhile = if plugin.serving.is_some() { "; the approved version is listed" } else { "" };
            let (file, problem) = (literal(&plugin.file), output::notable(problem));
            output::line(&format!("{file}  {problem}{meanwhile}"));
        } else if let Some(problem) = &plugin.problem {
            let meanwhile = match older_of(plugin) {
                Some(_) => "; the server still serves the version before",
                None if plugin.serving.is_some() => "; the version before is listed",
                None => "",
            };
            output::line(&format!("{}  {} {problem}{meanwhile}", literal(&plugin.file), output::bad("not loaded:")));
        } else if plugin.disabled {
            output::line(&format!("{}  {}", literal(&plugin.file), output::dim("disabled in the configuration")));
        }
    }
    for plugin in catalog.plugins() {
        let Some(serving) = plugin.serving.as_ref().filter(|serving| !serving.hidden.is_empty()) else { continue };
        output::line(&format!("{}  {} {}", plugin.name, output::dim("hides"), serving.hidden.join(", ")));
    }
    for (name, of_view) in catalog.views() {
        let tools: Vec<&str> = of_view.tools().iter().map(|tool| tool.name.as_str()).collect();
        let tools = if tools.is_empty() { "no tool".to_owned() } else { tools.join(", ") };
        output::line(&format!("{}  {} {tools}", View::named(name), output::dim("shows")));
    }
    for plugin in catalog.plugins() {
        let Some(serving) = plugin.serving.as_ref().filter(|serving| !serving.granted.is_empty()) else { continue };
        output::line(&format!("{}  {} {}", plugin.name, output::dim("is granted"), serving.granted.join("; ")));
        if let Some(widened) = &serving.widened {
            output::warning(&format!(
                "`{}` declares to need more than the version before it, and may have, as far as it is granted: {widened}",
                plugin.name
            ));
        }
    }
    if catalog.plugins().is_empty() {
        output::note("no plugins: put .wasm components into the plugins directory, or make one with `tinymcp new`");
    }
    Ok(())
}

/// What a server that runs beside this command still serves of files that are refused now. This command knows the files
/// alone.
async fn older_versions(config: &Config) -> Vec<OlderVersion> {
    match of_server(config, Request::OlderVersions).await {
        Ok(Answer::OlderVersions(older)) => older,
        _ => Vec::new(),
    }
}

/// The declarations of a plugin; none if it declares nothing at all.
pub(super) fn needs(needs: &Needs) -> Option<Vec<String>> {
    needs.are_declared().then(|| needs.iter().map(Need::to_string).collect())
}

/// The function of a tool that the operator has given another name.
fn renamed(tool: &Tool, config: &Config) -> Option<String> {
    let function = &tool.function().name;
    let settings = config.plugin(&tool.served.plugin.name).tool.get(snake(&function.function).as_str())?;
    settings.name.as_ref().map(|_| function.to_string())
}

/// The views that show a tool.
fn views<'c>(catalog: &'c Catalog, tool: &Tool) -> Vec<&'c str> {
    let showing = catalog.views().filter(|(_, of_view)| of_view.tool(&tool.name).is_some());
    showing.map(|(name, _)| name).collect()
}

fn tools(catalog: &Catalog) -> Vec<serde_json::Value> {
    let tools = catalog.tools().iter().map(|tool| {
        let function = tool.function();
        let mut value = json!({
            "name": tool.name,
            "plugin": tool.served.plugin.name,
            "function": function.name.to_string(),
            "description": tool.description(),
            "views": views(catalog, tool),
            "inputSchema": *function.input_schema,
        });
        if let Some(title) = tool.title() {
            value["title"] = title.into();
        }
        if let Some(schema) = &function.output_schema {
            value["outputSchema"] = json!(**schema);
        }
        value
    });
    tools.collect()
}

fn status(plugin: &PluginStatus, older: Option<&OlderVersion>) -> serde_json::Value {
    json!({
        "name": plugin.name,
        "file": plugin.file,
        "disabled": plugin.disabled,
        "problem": plugin.problem,
        "waiting": plugin.waiting,
        "digest": plugin.serving.as_ref().map(|serving| serving.digest.to_string()),
        "tools": plugin.serving.as_ref().map(|serving| &serving.tools),
        "hidden": plugin.serving.as_ref().map(|serving| &serving.hidden),
        "needs": plugin.serving.as_ref().and_then(|serving| needs(&serving.needs)),
        "granted": plugin.serving.as_ref().map(|serving| &serving.granted),
        "widened": plugin.serving.as_ref().and_then(|serving| serving.widened.as_ref()),
        "servedMeanwhile": older.map(|older| {
            json!({ "digest": older.digest, "tools": older.tools.iter().map(|(name, _)| name).collect::<Vec<_>>() })
        }),
        "warnings": plugin.serving.as_ref().map(|serving| &serving.warnings),
    })
}
