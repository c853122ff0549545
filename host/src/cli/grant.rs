//! `tinymcp grant`: the lines of `tinymcp.toml` that grant a plugin what it declares to need and does not have.
//!
//! They are made by a library from needs that were parsed, so that an author's text says nothing but what it declares. They
//! are written for a person at a terminal only: whatever runs commands on somebody's behalf must not grant to itself.

pub(super) mod merge;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use serde_json::json;

use super::{ConfigArguments, Failure, inspect, logging, output};
use crate::atomic_file;
use crate::config::names::snake;
use crate::config::{Config, Environment, Invocation, Purpose};
use crate::plugins::sources::SourceState;
use crate::supply;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugin's name, or its file
    #[arg(value_name = "NAME|FILE.wasm")]
    plugin: String,
    /// Write the lines into the configuration, after asking on the terminal
    #[arg(long)]
    write: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "write")]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    if arguments.write && !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::start(
            "`--write` asks a person, and there is no terminal: run it in one, or copy the lines that are printed without it",
        ));
    }
    let invocation = arguments.config.clone().invocation(Purpose::Look, Vec::new());
    let loader = arguments.config.plugin_loader()?;
    let file = file_of(&arguments.plugin, &loader.config)?;
    let plugins = loader.load_file(&file)?;
    let catalog = plugins.catalog();
    let Some(served) = catalog.served().next() else {
        return Err(inspect::nothing_of(&file, &catalog));
    };
    let (plugin, grants) = (&served.plugin, served.grants());
    if arguments.json {
        let snippet = inspect::missing(plugin, &grants);
        let left_out: Vec<String> = snippet.left_out.iter().map(ToString::to_string).collect();
        let (name, declares) = (&*plugin.name, plugin.needs.are_declared());
        output::json(&json!({ "plugin": name, "declares": declares, "toml": snippet.toml, "leftOut": left_out }));
        return Ok(());
    }
    if !plugin.needs.are_declared() {
        output::note(&format!(
            "`{}` does not declare what it needs: read its documentation, and write what you want to grant",
            plugin.name
        ));
        return Ok(());
    }
    let snippet = inspect::missing(plugin, &grants);
    for need in &snippet.left_out {
        output::note(&format!("for you to put into words, if you want to grant it: {need}"));
    }
    if snippet.toml.is_empty() {
        output::note(&format!("there is nothing more to propose for `{}`", plugin.name));
        return Ok(());
    }
    output::line(snippet.toml.trim_end());
    if !arguments.write {
        return Ok(());
    }
    let path = invocation.path();
    if !is_wanted(&format!("Write this into {}?", path.display()))? {
        return Err(Failure::failed("nothing was written"));
    }
    write(&invocation, &plugin.name, &snippet.toml)
}

/// Writes lines of a plugin's table into the configuration, if it is valid with them.
pub(super) fn write(invocation: &Invocation, plugin: &str, lines: &str) -> Result<(), Failure> {
    let path = invocation.path();
    let text = invocation.read().map_err(Failure::start)?.unwrap_or_default();
    let merged = merge::merge(&text, plugin, lines).map_err(Failure::failed)?;
    let environment = Environment::read(invocation.directory());
    let checked = Config::parse(&merged, invocation, &environment);
    checked.map_err(|error| Failure::failed(format!("nothing was written: with these lines, {error}")))?;
    atomic_file::replace_alike(path, merged.as_bytes())
        .map_err(|error| Failure::failed(format!("{} not written: {error}", path.display())))?;
    output::note(&format!(
        "written into {}; a running server takes it over once its variables are set, in `.env` or in files that `NAME_FILE` names",
        path.display()
    ));
    Ok(())
}

/// The file of a plugin: as it was named, or in the plugins directory.
fn file_of(plugin: &str, config: &Config) -> Result<PathBuf, Failure> {
    if plugin.ends_with(".wasm") {
        return Ok(plugin.into());
    }
    if config.plugin(&snake(plugin)).from.is_some()
        && let Some(source) = supply::at_hand(config).remove(&snake(plugin))
    {
        return match source.state {
            SourceState::File { path, .. } => Ok(path),
            SourceState::Coming(problem) | SourceState::Missing(problem) | SourceState::NotLocked(problem) => {
                Err(Failure::start(format!("plugin `{plugin}`: {problem}")))
            }
        };
    }
    let dir = &config.plugins.dir;
    let spellings = [plugin.to_owned(), snake(plugin), plugin.replace('_', "-")];
    // A name is none of the files of other directories.
    let mut files =
        spellings.iter().filter(|name| !name.contains(['/', '\\'])).map(|name| dir.join(format!("{name}.wasm")));
    files.find(|file| file.is_file()).ok_or_else(|| {
        Failure::start(format!("there is no plugin `{plugin}` in `{}`: `tinymcp list` shows them", dir.display()))
    })
}

/// Asks the person at the terminal; anything but a yes is a no.
pub(super) fn is_wanted(question: &str) -> Result<bool, Failure> {
    output::note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::failed(format!("no answer: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
