//! `tinymcp call`: calls one tool in the way that the server does.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{ConfigArguments, Failure, kv, logging, output, runtime};
use crate::config::names::snake;
use crate::mcp::{DONE, EMPTY};
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::sandbox::traps;
use crate::plugins::types::codec::{Reply, Rich};
use crate::plugins::wit::content::{Block, Body};
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
    let tool = what.next().ok_or_else(|| {
        let shows = file.as_ref().map_or("list".to_owned(), |file| format!("inspect {}", file.display()));
        Failure::start(format!("name the tool to call: `tinymcp {shows}` shows them"))
    })?;
    let json = what.next().unwrap_or_else(|| "{}".to_owned());
    if let Some(more) = what.next() {
        return Err(Failure::start(format!("unexpected argument `{more}`: quote the JSON as one argument")));
    }
    let tool_arguments: Map<String, Value> = serde_json::from_str(&json)
        .map_err(|error| Failure::start(format!("the arguments are not a JSON object: {error}")))?;
    let mut loader = arguments.config.plugin_loader()?;
    runtime()?.block_on(async {
        let state = kv::Opened::for_call(&loader).await;
        loader.services.kv = Some(state.kv.clone());
        let plugins = match file {
            Some(file) => loader.load_file(&file)?,
            None => loader.load_directory().await?,
        };
        let called = call(&plugins, &tool, &tool_arguments).await;
        state.close().await;
        called
    })
}

async fn call(plugins: &Plugins, name: &str, arguments: &Map<String, Value>) -> Result<(), Failure> {
    let catalog = plugins.catalog();
    let tool = catalog.tool(name).ok_or_else(|| unknown(name, &catalog))?;
    let nobody = Conversation::with(&Arc::new(Principal::anonymous()));
    match plugins.call(&Arc::clone(tool), arguments, nobody).await {
        Ok(Reply::Structured(value)) => given(&value.text()),
        Ok(Reply::Text(text)) => given(&text),
        Ok(Reply::Nothing) => output::note(DONE),
        Ok(Reply::Failed { text } | Reply::Invalid { text }) => return Err(Failure::failed(text)),
        Ok(Reply::Rich(rich)) => return show(&rich),
        Ok(Reply::Asks(request)) => {
            let keys: Vec<String> = request.questions.iter().map(|(key, _)| format!("`{key}`")).collect();
            let asked = keys.join(", ");
            return Err(Failure::failed(format!("the tool asks its client ({asked}), and a command cannot answer")));
        }
        Err(error) => return Err(Failure::failed(explained(&error))),
    }
    Ok(())
}

/// The message for a client, with the details that a server would log: a command has no log.
fn explained(error: &CallError) -> String {
    let cause = error.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let frames = error.frames();
    let frames = frames.iter().enumerate().map(|(number, frame)| traps::numbered(number, frame));
    std::iter::once(format!("{error}{cause}")).chain(frames).collect::<Vec<_>>().join("\n")
}

/// Prints the text of a result, and a note for each other part.
fn show(rich: &Rich) -> Result<(), Failure> {
    let lines = rich.blocks.iter().map(|block| match block {
        Block::Text(text) => text.clone(),
        Block::AnnotatedText(text) => text.text.clone(),
        Block::Image(media) => format!("(image, {}, {} bytes)", media.mime_type, media.data.len()),
        Block::Audio(media) => format!("(sound, {}, {} bytes)", media.mime_type, media.data.len()),
        Block::ResourceLink(link) => format!("(resource {})", link.uri),
        Block::Resource(resource) => match &resource.contents.body {
            Body::Text(text) => text.clone(),
            Body::Blob(bytes) => format!("(resource {}, {} bytes)", resource.contents.uri, bytes.len()),
        },
    });
    let structured = rich.structured.iter().map(Value::to_string);
    let text = lines.chain(structured).collect::<Vec<_>>().join("\n");
    if rich.is_error {
        return Err(Failure::failed(text));
    }
    given(&text);
    Ok(())
}

/// Prints a result. Standard output has the tool's text and nothing else, for programs that read it.
fn given(text: &str) {
    output::result(text);
    if text.is_empty() {
        output::note(EMPTY);
    }
}

/// True for a warning about the function that a tool of this name would call.
fn is_about(warning: &str, tool: &str) -> bool {
    let Some((function, rest)) = warning.strip_prefix("function `").and_then(|rest| rest.split_once('`')) else {
        return false;
    };
    let function = snake(function.rsplit('#').next().unwrap_or(function));
    rest.starts_with(" is no tool") && (tool == function || tool.ends_with(&format!("_{function}")))
}

fn unknown(name: &str, catalog: &Catalog) -> Failure {
    let problems: Vec<String> = catalog
        .plugins()
        .iter()
        .filter_map(|plugin| Some(format!("\n{} not loaded: {}", plugin.file.escape_debug(), plugin.problem.as_ref()?)))
        .collect();
    // A function that is no tool: why, in place of another tool's name.
    let reasons: Vec<String> = catalog
        .plugins()
        .iter()
        .filter_map(|plugin| plugin.serving.as_ref())
        .flat_map(|serving| &serving.warnings)
        .filter(|warning| is_about(warning, name))
        .map(|warning| format!("\n{warning}"))
        .collect();
    if !reasons.is_empty() {
        return Failure::failed(format!("unknown tool `{name}`{}{}", reasons.concat(), problems.concat()));
    }
    let names = catalog.tools().iter().map(|tool| tool.name.as_str());
    let nearest = names.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    Failure::failed(format!("unknown tool `{name}`{hint}{}", problems.concat()))
}
