//! `tinymcp plugin`: which plugins there are, and the switch of each: off and on in a running server, whatever its
//! configuration says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::json;

use super::operator::reached;
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::config::Config;
use crate::config::names::snake;
use crate::operator::{Answer, Request};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the plugins by their files, and whether each is switched off
    #[command(after_help = "Example:\n  tinymcp plugin list --json")]
    List,
    /// Take a plugin's tools away at once, and end its calls; it stays so over restarts
    #[command(after_help = "Example:\n  tinymcp plugin disable weather")]
    Disable {
        /// The plugin, by the name of its file
        name: String,
    },
    /// Serve it again
    #[command(after_help = "Example:\n  tinymcp plugin enable weather")]
    Enable {
        /// The plugin, by the name of its file
        name: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, json, what } = arguments;
    match what {
        What::List => list(config, json),
        What::Disable { name } => switch(config, &name, false, json),
        What::Enable { name } => switch(config, &name, true, json),
    }
}

fn switch(config: ConfigArguments, name: &str, is_on: bool, json: bool) -> Result<(), Failure> {
    runtime()?.block_on(reached(config, async |reached| {
        let take = |answer| match answer {
            Answer::Changed { is_other } => Some(is_other),
            _ => None,
        };
        let is_other = reached.expect(Request::SwitchPlugin { name: name.to_owned(), is_on }, take).await?;
        if json {
            output::json(&json!({ "plugin": name, "enabled": is_on, "changed": is_other }));
            return Ok(());
        }
        let said = match (is_on, is_other) {
            (false, true) => "is switched off, until `tinymcp plugin enable`",
            (false, false) => "was switched off already",
            (true, true) => "is switched on again, as far as the configuration has it",
            (true, false) => "was not switched off by a command",
        };
        output::note(&format!("plugin `{name}` {said}"));
        Ok(())
    }))
}

/// Lists the files, without loading any. `tinymcp list` does, and has their tools.
fn list(arguments: ConfigArguments, json: bool) -> Result<(), Failure> {
    let config = arguments.clone().look()?;
    let switched_off = switched_off(arguments, &config)?;
    let mut plugins: BTreeMap<String, Option<String>> = files(&config).into_iter().collect();
    // One whose file is gone is switched off still.
    for name in &switched_off {
        plugins.entry(name.clone()).or_default();
    }
    let state = |name: &str| match (switched_off.contains(name), config.plugin(name).enabled) {
        (true, _) => "switched off",
        (false, false) => "disabled in the configuration",
        (false, true) => "on",
    };
    if json {
        let listed = plugins.iter().map(|(name, file)| json!({ "name": name, "file": file, "state": state(name) }));
        output::json(&listed.collect());
        return Ok(());
    }
    if plugins.is_empty() {
        output::note(&format!("no plugins in `{}`", config.plugins.dir.display()));
    }
    for (name, file) in &plugins {
        let file = file.as_deref().unwrap_or("no file");
        let state = match state(name) {
            "on" => output::good("on"),
            state => output::notable(state),
        };
        output::line(&format!("{}  {}  {state}", output::bold(name), output::dim(file)));
    }
    Ok(())
}

/// The plugins that commands have switched off; none where no server ever ran.
fn switched_off(arguments: ConfigArguments, config: &Config) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    if !config.state.dir.exists() && config.state.socket.is_none() {
        return Ok(names);
    }
    runtime()?.block_on(reached(arguments, async |reached| {
        let take = |answer| match answer {
            Answer::SwitchedOff(off) => Some(off),
            _ => None,
        };
        names = reached.expect(Request::SwitchedOff, take).await?.plugins.into_iter().collect();
        Ok(())
    }))?;
    Ok(names)
}

/// The plugins of the directory, by the names of their files.
fn files(config: &Config) -> Vec<(String, Option<String>)> {
    let entries = fs::read_dir(&config.plugins.dir).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    files.filter_map(|file| Some((snake(file.strip_suffix(".wasm")?), Some(file)))).collect()
}
