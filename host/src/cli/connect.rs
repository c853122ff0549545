//! `tinymcp connect`: prints the entry for a client's configuration, or writes it there.

mod file;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use self::file::{Change, TargetFile};
use super::{ConfigArguments, Failure, grant, output};
use crate::clients::place::System;
use crate::clients::setup::{Scope, Setup, Target, Way};
use crate::clients::{Client, SERVER_NAME};
use crate::config::provider::NONE;
use crate::config::{Config, Environment, Invocation, Purpose};
use crate::view::View;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The client; without one, all of them are listed
    client: Option<Client>,
    /// An entry that starts `tinymcp stdio`, instead of one with the URL
    #[arg(long)]
    stdio: bool,
    /// The view to connect to, instead of the whole server
    #[arg(long, value_name = "NAME", conflicts_with = "stdio")]
    view: Option<String>,
    /// The name of the entry
    #[arg(long, default_value = SERVER_NAME, value_parser = name)]
    name: String,
    /// Write the entry into the client's file, after showing the difference and asking
    #[arg(long, conflicts_with = "remove")]
    write: bool,
    /// Remove the entry from the client's file, in the same way
    #[arg(long)]
    remove: bool,
    /// The client's file for the project here, or the one for all of them [default: the client's usual one]
    #[arg(long)]
    scope: Option<Scope>,
    /// The client's file, if it is elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "scope")]
    file: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A name that every client takes.
fn name(text: &str) -> Result<String, String> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
    let is_name = !text.is_empty() && text.len() <= 36 && text.chars().all(is_plain);
    if is_name { Ok(text.to_owned()) } else { Err("use at most 36 letters, digits, `-` and `_`".to_owned()) }
}

/// The URL of the whole server, or of the view that is wanted.
fn url(arguments: &Arguments, config: &Config) -> Result<String, Failure> {
    let view = match arguments.view.as_deref() {
        Some(name) if !config.view.contains_key(name) => {
            return Err(Failure::start(format!("there is no view `{name}`: declare it as `[view.{name}]`")));
        }
        name => name.map_or_else(View::default, View::named),
    };
    Ok(format!("{}{view}", config.server.base_url.as_str()))
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Some(client) = arguments.client else { return list(arguments) };
    let setup = client.setup();
    if arguments.remove {
        let target = Target { name: arguments.name.clone(), way: Way::Http(String::new()) };
        return remove(arguments, setup, &target);
    }
    let invocation = arguments.config.clone().invocation(Purpose::Look, Vec::new());
    let config = arguments.config.clone().look()?;
    let has_login = config.auth.provider.as_str() != NONE;
    let way = if arguments.stdio { starting(&invocation)? } else { Way::Http(url(arguments, &config)?) };
    let target = Target { name: arguments.name.clone(), way };
    if arguments.write {
        return write(arguments, setup, &target, has_login);
    }
    let snippet = setup.snippet(&target, has_login).ok_or_else(|| {
        let instead = if arguments.stdio { "leave out `--stdio`" } else { "use `--stdio`" };
        Failure::start(format!("{} has no such entry: {instead}", setup.title))
    })?;
    if arguments.json {
        let notes: Vec<&str> = setup.notes(&target).collect();
        output::json(&json!({
            "client": setup.title, "place": setup.place, "entry": snippet, "command": setup.command(&target), "notes": notes,
        }));
        return Ok(());
    }
    output::note(&output::dim(&format!("for {}:", setup.place)));
    output::line(&snippet);
    let command = setup.command(&target).filter(|_| !setup.shows_command());
    for line in
        command.map(|command| format!("or: {command}")).into_iter().chain(setup.notes(&target).map(str::to_owned))
    {
        output::note(&output::dim(&line));
    }
    Ok(())
}

/// The way that starts this program, from any directory.
fn starting(invocation: &Invocation) -> Result<Way, Failure> {
    let absolute = |path: PathBuf| {
        let text = std::path::absolute(&path).ok().and_then(|path| path.to_str().map(str::to_owned));
        text.ok_or_else(|| Failure::failed(format!("`{}` cannot be written into a configuration", path.display())))
    };
    let config = invocation.path().to_owned();
    if !config.is_file() {
        return Err(Failure::start(format!(
            "there is no `{}`: a client starts the command in a directory of its own, so name the configuration with `--config`",
            config.display()
        )));
    }
    let program =
        std::env::current_exe().map_err(|error| Failure::failed(format!("no path of this program: {error}")))?;
    let arguments = vec!["stdio".to_owned(), "--config".to_owned(), absolute(config)?];
    Ok(Way::Stdio { command: absolute(program)?, arguments })
}

fn list(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.write || arguments.remove || arguments.stdio {
        return Err(Failure::start("name the client: `tinymcp connect` lists them"));
    }
    if arguments.json {
        let listed = Client::value_variants().iter().filter_map(|client| {
            let (value, setup) = (client.to_possible_value()?, client.setup());
            Some(json!({ "name": value.get_name(), "title": setup.title, "place": setup.place }))
        });
        output::json(&listed.collect());
        return Ok(());
    }
    for client in Client::value_variants() {
        let Some(value) = client.to_possible_value() else { continue };
        let setup = client.setup();
        let name = format!("{:<15}", value.get_name());
        output::line(&format!("{}{}  {}", output::bold(&name), setup.title, output::dim(&setup.place)));
    }
    Ok(())
}

fn write(arguments: &Arguments, setup: &Setup, target: &Target, has_login: bool) -> Result<(), Failure> {
    let file = find(arguments, setup, target)?;
    let change = file.with_entry(setup, target)?;
    if !is_to_be_made(arguments, &file, &change)? {
        return Ok(());
    }
    file.write(&change)?;
    let after = setup.login(target).filter(|_| has_login && !arguments.stdio).map(|login| format!("then: {login}"));
    for line in after.into_iter().chain(setup.notes(target).map(str::to_owned)) {
        output::note(&line);
    }
    Ok(())
}

fn remove(arguments: &Arguments, setup: &Setup, target: &Target) -> Result<(), Failure> {
    let file = find(arguments, setup, target)?;
    let change = file.without_entry(setup, target)?;
    if is_to_be_made(arguments, &file, &change)? {
        file.write(&change)?;
    }
    Ok(())
}

/// Shows a change, and asks.
fn is_to_be_made(arguments: &Arguments, file: &TargetFile, change: &Change) -> Result<bool, Failure> {
    let path = file.path().display();
    if arguments.json && !arguments.yes {
        return Err(Failure::start("nothing was written: `--json` has nobody to ask, say `--yes` too"));
    }
    if let Some(caution) = file.caution().filter(|_| arguments.json && change.is_any()) {
        output::warning(&caution);
    }
    if arguments.json {
        output::json(&json!({ "file": path.to_string(), "changed": change.is_any() }));
        return Ok(change.is_any());
    }
    if !change.is_any() {
        output::note(&format!("{path} is as it should be already: nothing to write"));
        return Ok(false);
    }
    output::note(&output::dim(&format!("{path}:")));
    change.show();
    if let Some(caution) = file.caution() {
        output::warning(&caution);
    }
    if arguments.yes {
        return Ok(true);
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::start(
            "nothing was written: there is no terminal to ask at; `--yes` writes without asking",
        ));
    }
    if grant::is_wanted(&format!("Write this into {path}?"))? {
        return Ok(true);
    }
    Err(Failure::failed("nothing was written"))
}

/// The client's file that is meant.
fn find(arguments: &Arguments, setup: &Setup, target: &Target) -> Result<TargetFile, Failure> {
    let elsewhere = || {
        let command = if arguments.remove { setup.removal(target) } else { setup.command(target) };
        command.map(|command| format!(": use `{command}`")).unwrap_or_default()
    };
    let Some(file) = &setup.file else {
        return Err(Failure::start(format!("{} has no file to write into{}", setup.title, elsewhere())));
    };
    if let Some(path) = &arguments.file {
        return TargetFile::read(path.clone(), file.format);
    }
    let scope = arguments.scope.unwrap_or(file.scope);
    let environment = Environment::read(&PathBuf::new());
    let places = file.places(scope, System::of_this_machine(), |name| environment.of_process(name));
    let places = places.map_err(Failure::start)?;
    let place = places.iter().find(|place| place.exists()).or(places.last()).ok_or_else(|| {
        let scope = match scope {
            Scope::Project => "for one project",
            Scope::User => "for all projects",
        };
        if setup.is_any_client() {
            return Failure::start(format!(
                "that entry is for {}, whose file nobody knows here: name it with `--file FILE`",
                setup.title
            ));
        }
        Failure::start(format!("{} has no file {scope} to write into{}", setup.title, elsewhere()))
    })?;
    TargetFile::read(place.clone(), file.format)
}
