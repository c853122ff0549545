//! `tinymcp call`: calls one tool in the way that the server does.

mod answers;
mod input;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

pub(super) use self::answers::{Answers, NoEnd};
use super::build::sources;
use super::{ConfigArguments, Failure, kv, logging, output, runtime};
use crate::auth::upstream::local;
use crate::config::address::BaseUrl;
use crate::config::names::snake;
use crate::config::problem::nearest;
use crate::mcp::{self, DONE, EMPTY};
use crate::plugins::Plugins;
use crate::plugins::catalog::{Catalog, Tool};
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::registry::likely::speaks_of;
use crate::plugins::sandbox::traps;
use crate::plugins::types::codec::{Reply, Rich};
use crate::plugins::wit::content::{Block, Body};
use crate::plugins::wit::input::Capabilities;
use crate::principal::{LoginFacts, Principal, Standing};
use crate::sanitize::literal;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A component file [default: the plugins of the configured directory], the tool, and its arguments: `name=value`
    /// for each, one JSON object, or `@FILE.json`
    #[arg(value_name = "FILE.wasm|TOOL|ARGUMENT", num_args = 1.., required = true)]
    what: Vec<String>,
    /// Print the whole result as JSON, as a client gets it
    #[arg(long)]
    json: bool,
    /// Call as this person, by the name or address that the built-in login would have of them
    #[arg(long = "as", value_name = "NAME")]
    person: Option<String>,
    /// The scopes that this person's token holds, instead of those that the tool needs
    #[arg(long, value_name = "SCOPES", requires = "person", value_delimiter = ' ')]
    scopes: Option<Vec<String>>,
    /// Answers to what the tool asks: a file with a JSON object, one for each question's key; for a form its fields, or
    /// "decline" or "cancel"
    #[arg(long, value_name = "FILE.json")]
    answers: Option<String>,
}

/// How a call has ended.
pub(super) enum Ended {
    /// With a value, and the text that shows it.
    Value { value: Value, text: String },
    /// With an error, in words.
    Failed(String),
}

/// The most rounds of questions and answers.
const MAX_ROUNDS: usize = 10;

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, what, json, person, scopes, answers } = arguments;
    let mut what = what.into_iter().peekable();
    let file = what.next_if(|first| first.ends_with(".wasm")).map(PathBuf::from);
    let name = what.next().ok_or_else(|| {
        let shows = file.as_ref().map_or("list".to_owned(), |file| format!("inspect {}", file.display()));
        Failure::start(format!("name the tool to call: `tinymcp {shows}` shows them"))
    })?;
    let words = input::words(what.collect())?;
    // What is wrong with them without any tool is said before plugins are loaded.
    input::arguments(&words, &Map::new())?;
    let answers = answers.map(|file| Answers::read(&file)).transpose()?;
    let mut loader = config.plugin_loader()?;
    let base_url = loader.config.server.base_url.clone();
    // A file by itself has no sources that it should have been built from.
    let sources = file.is_none().then_some(&*loader.config.plugins.dir).map(Path::to_owned);
    let sources = sources.as_deref();
    runtime()?.block_on(async {
        let state = kv::Opened::for_call(&loader).await;
        loader.services.kv = Some(state.kv.clone());
        let plugins = match file {
            Some(file) => loader.load_file(&file)?,
            None => loader.load_tool(&name).await?,
        };
        let called = async {
            let catalog = plugins.catalog();
            let tool = catalog.tool(&name).ok_or_else(|| unknown(&name, &catalog, sources))?;
            let schema = &tool.function().input_schema;
            if !json {
                input::require_types(&words, schema)?;
            }
            let arguments = input::arguments(&words, schema)?;
            let caller = match person {
                Some(person) => somebody(&person, scopes, &base_url, tool)?,
                None => Principal::anonymous(),
            };
            let outcome = call(&plugins, tool, &arguments, &Arc::new(caller), answers.as_ref()).await?;
            if json { show_json(outcome) } else { show_text(outcome) }
        };
        let called = called.await;
        state.close().await;
        called
    })
}

/// Somebody who has logged in with the built-in login of this server.
///
/// # Errors
/// The token lacks scopes that the tool needs.
pub(super) fn somebody(
    name: &str,
    scopes: Option<Vec<String>>,
    base_url: &BaseUrl,
    tool: &Tool,
) -> Result<Principal, Failure> {
    let needed: BTreeSet<String> = tool.served.scopes().iter().map(|scope| scope.as_str().to_owned()).collect();
    let held: BTreeSet<String> = match scopes {
        Some(scopes) => scopes.into_iter().filter(|scope| !scope.is_empty()).collect(),
        None => needed.clone(),
    };
    let lacking: Vec<String> = needed.difference(&held).cloned().collect();
    if !lacking.is_empty() {
        return Err(Failure::failed(format!("`{}` needs a token with the scopes: {}", tool.name, lacking.join(" "))));
    }
    Ok(Principal::known(LoginFacts {
        issuer: local::issuer(base_url),
        subject: name.to_lowercase(),
        email: name.contains('@').then(|| name.to_lowercase()),
        name: Some(name.to_owned()),
        provider: "local".to_owned(),
        client: "tinymcp call".to_owned(),
        client_name: None,
        granted: held.clone(),
        possible: held,
        standing: Standing::default(),
    }))
}

/// Calls a tool, and again with the answers to what it asks.
///
/// # Errors
/// It asks, and there is no answer.
pub(super) async fn call(
    plugins: &Plugins,
    tool: &Arc<Tool>,
    arguments: &Map<String, Value>,
    caller: &Arc<Principal>,
    answers: Option<&Answers>,
) -> Result<Result<Reply, CallError>, NoEnd> {
    // Without answers nothing can be asked, which a tool may want to know.
    let askable = answers.map(|_| Capabilities::all());
    let (none, mut conversation) = (Answers::default(), Conversation { askable, ..Conversation::with(caller) });
    for _ in 0..MAX_ROUNDS {
        match plugins.call(tool, arguments, conversation).await {
            Ok(Reply::Asks(request)) => {
                conversation = Conversation {
                    askable,
                    answers: answers.unwrap_or(&none).to(&request)?,
                    state: Some(request.state),
                    is_counted: true,
                    ..Conversation::with(caller)
                };
            }
            outcome => return Ok(outcome),
        }
    }
    Err(NoEnd::Asking(MAX_ROUNDS))
}

/// The end of a call as a value or an error, whatever form its result has.
pub(super) fn ended(outcome: Result<Reply, CallError>) -> Ended {
    let of_text = |text: String| Ended::Value { value: Value::from(text.as_str()), text };
    match outcome {
        Ok(Reply::Structured(value)) => {
            let text = value.text().into_owned();
            match value.value() {
                Some(value) => Ended::Value { value, text },
                None => of_text(text),
            }
        }
        Ok(Reply::Text(text)) => of_text(text),
        Ok(Reply::Nothing) => Ended::Value { value: Value::Null, text: DONE.to_owned() },
        Ok(Reply::Failed { text } | Reply::Invalid { text }) => Ended::Failed(text),
        Ok(Reply::Rich(rich)) if rich.is_error => Ended::Failed(text_of(&rich)),
        Ok(Reply::Rich(rich)) => {
            let text = text_of(&rich);
            match rich.structured {
                Some(value) => Ended::Value { value, text },
                None => of_text(text),
            }
        }
        Ok(Reply::Asks(_)) => Ended::Failed("the tool asks its client".to_owned()),
        Err(error) => Ended::Failed(explained(&error)),
    }
}

/// Prints a result as clients get it.
fn show_json(outcome: Result<Reply, CallError>) -> Result<(), Failure> {
    let result = mcp::result_json(outcome).map_err(Failure::failed)?;
    let is_error = result.get("isError") == Some(&Value::Bool(true));
    output::json(&result);
    if is_error { Err(Failure::Silent) } else { Ok(()) }
}

/// Prints the text of a result, or of a failure.
fn show_text(outcome: Result<Reply, CallError>) -> Result<(), Failure> {
    match outcome {
        Ok(Reply::Structured(value)) => given(&value.text()),
        Ok(Reply::Text(text)) => given(&text),
        Ok(Reply::Nothing) => output::note(DONE),
        Ok(Reply::Failed { text } | Reply::Invalid { text }) => return Err(Failure::failed(text)),
        Ok(Reply::Rich(rich)) => return show(&rich),
        Ok(Reply::Asks(_)) => return Err(Failure::failed("the tool asks its client")),
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

/// Prints the text of a result.
fn show(rich: &Rich) -> Result<(), Failure> {
    let text = text_of(rich);
    if rich.is_error {
        return Err(Failure::failed(text));
    }
    given(&text);
    Ok(())
}

/// The text of a result, and a note for each other part.
fn text_of(rich: &Rich) -> String {
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
    lines.chain(structured).collect::<Vec<_>>().join("\n")
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

/// The sources in the plugins directory that nobody has built, of the plugin that a tool's name speaks of or else of any.
fn not_built(name: &str, plugins_dir: Option<&Path>) -> Option<String> {
    let dir = plugins_dir?;
    let is_built = |name: &str| dir.join(format!("{name}.wasm")).exists();
    let sources = sources::all(dir).ok()?.into_iter().map(|source| source.folder.name);
    let missing: Vec<String> = sources.filter(|name| !is_built(name)).collect();
    match (missing.iter().find(|source| speaks_of(name, &snake(source))), missing.as_slice()) {
        (Some(meant), _) => Some(format!("; the plugin `{meant}` is not built: `tinymcp build {meant}`")),
        (None, []) => None,
        (None, [one]) => Some(format!("; `{one}` is not built: `tinymcp build {one}`")),
        (None, many) => Some(format!("; {} are not built: `tinymcp build` builds all", many.join(", "))),
    }
}

fn unknown(name: &str, catalog: &Catalog, plugins_dir: Option<&Path>) -> Failure {
    Failure::failed(unknown_in_words(name, catalog, plugins_dir))
}

/// Why there is no such tool, with the one that was meant.
pub(super) fn unknown_in_words(name: &str, catalog: &Catalog, plugins_dir: Option<&Path>) -> String {
    let problems: Vec<String> = catalog
        .plugins()
        .iter()
        .filter_map(|plugin| Some(format!("\n{} not loaded: {}", literal(&plugin.file), plugin.problem.as_ref()?)))
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
        return format!("unknown tool `{name}`{}{}", reasons.concat(), problems.concat());
    }
    let nearest = nearest(name, catalog.tools().iter().map(|tool| tool.name.as_str()));
    let near = nearest.map(|nearest| format!("; did you mean `{nearest}`?"));
    let hint = near.or_else(|| not_built(name, plugins_dir)).unwrap_or_else(|| match catalog.tools().is_empty() {
        true => String::new(),
        false => "; `tinymcp list` shows them".to_owned(),
    });
    format!("unknown tool `{name}`{hint}{}", problems.concat())
}
