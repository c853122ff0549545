//! `tinymcp call`: one tool, through the very path that the server uses.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::wait::{self, loaded_plugins};
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::plugins::codec::Reply;
use crate::principal::Principal;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A component file [default: the plugins of the configured directory], the tool, and its arguments as JSON
    #[arg(value_name = "FILE.wasm|TOOL|JSON", num_args = 1..=3, required = true)]
    what: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let mut what = arguments.what.into_iter().peekable();
    let file = what.next_if(|first| first.ends_with(".wasm")).map(PathBuf::from);
    let tool = what.next().ok_or_else(|| Failure::start("name the tool to call: `tinymcp list` shows them"))?;
    let json = what.next().unwrap_or_else(|| "{}".to_owned());
    if let Some(more) = what.next() {
        return Err(Failure::start(format!("unexpected argument `{more}`: quote the JSON as one argument")));
    }
    let tool_arguments: Map<String, Value> = serde_json::from_str(&json)
        .map_err(|error| Failure::start(format!("the arguments are not a JSON object: {error}")))?;
    let config = arguments.config.look()?;
    runtime()?.block_on(async {
        let plugins = match file {
            Some(file) => wait::plugins_of_file(&config, &file)?,
            None => loaded_plugins(config).await?,
        };
        call(&plugins, &tool, &tool_arguments).await
    })
}

async fn call(plugins: &Plugins, name: &str, arguments: &Map<String, Value>) -> Result<(), Failure> {
    let catalog = plugins.catalog();
    let tool = catalog.tool(name).ok_or_else(|| unknown(name, &catalog))?;
    match plugins.call(&Arc::clone(tool), arguments, &Arc::new(Principal::anonymous())).await {
        Ok(Reply::Structured { text, .. }) => output::line(&text),
        Ok(Reply::Nothing) => {}
        Ok(Reply::Failed { text }) => return Err(Failure::failed(text)),
        Err(error) => return Err(Failure::failed(error)),
    }
    Ok(())
}

fn unknown(name: &str, catalog: &Catalog) -> Failure {
    let problems: Vec<String> = catalog
        .plugins()
        .iter()
        .filter_map(|plugin| Some(format!("\n{} not loaded: {}", plugin.file, plugin.problem.as_ref()?)))
        .collect();
    let names = catalog.tools().iter().map(|tool| tool.name.as_str());
    let nearest = names.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    Failure::failed(format!("unknown tool `{name}`{hint}{}", problems.concat()))
}
