//! `tinymcp check` and `tinymcp schema`.

use serde_json::json;

use super::{ConfigArguments, Failure, logging, operator, output, runtime};
use crate::auth::upstream::configured_scopes;
use crate::config::trust::Approve;
use crate::config::{Config, Environment, Provider, Purpose, Setup};
use crate::grants::Grants;
use crate::operator::{Answer, Request};
use crate::plugins::Plugins;
use crate::plugins::registry::unknown;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Say what the file would change in the running server: at once, and after a restart
    #[arg(long, value_name = "WHAT")]
    against: Option<Against>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a configuration is compared with.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Against {
    /// The server that runs with the same state directory
    Running,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    if let Some(Against::Running) = arguments.against {
        return compare(arguments);
    }
    let invocation = arguments.config.invocation(Purpose::Serve, Vec::new());
    let environment = Environment::read(invocation.directory());
    let setup = match Config::load(&invocation, &environment) {
        Ok(setup) => setup,
        Err(problems) if arguments.json => {
            let problems = problems.to_string();
            output::json(&json!({ "problems": problems.lines().collect::<Vec<_>>() }));
            return Err(Failure::start(problems));
        }
        Err(problems) => return Err(Failure::start(problems)),
    };
    let unknown = unknown::in_directory(&setup.config);
    let space = Plugins::address_space(&setup.config);
    if space.is_too_small() {
        return Err(Failure::start(space));
    }
    let of_system = space.is_short().then(|| space.to_string());
    let of_plugins = unknown.iter().map(ToString::to_string);
    let warnings: Vec<String> =
        setup.warnings.iter().map(ToString::to_string).chain(of_plugins).chain(of_system).collect();
    let unpinned = unpinned(&setup);
    match arguments.json {
        true => print_json(&setup, &warnings, &unpinned),
        false => print(&setup, &warnings, &unpinned),
    }
    match warnings.len() {
        count if arguments.strict && count > 0 => {
            Err(Failure::start(format!("{count} warnings, each of which is an error with `--strict`")))
        }
        _ => Ok(()),
    }
}

/// Warnings of plugins whose file anybody may replace who can write there. They are of no count for `--strict`: it may be
/// meant, where nobody else can write into the directory.
fn unpinned(setup: &Setup) -> Vec<String> {
    let config = &setup.config;
    let warning = |(plugin, grants): (&str, &Grants)| {
        let entrusted = grants.entrusted();
        let is_said = config.approve(plugin) != Approve::Off || config.plugin(plugin).trust.is_some();
        (!entrusted.is_empty() && !is_said).then(|| {
            format!(
                "plugin `{plugin}`: whoever can replace its file inherits {}; nothing says which file may have that (`trust`, `approve`), so keep the plugins directory from everybody else",
                entrusted.join("; ")
            )
        })
    };
    setup.grants.iter().filter_map(warning).collect()
}

fn print(setup: &Setup, warnings: &[String], unpinned: &[String]) {
    warnings.iter().chain(unpinned).for_each(|warning| output::warning(warning));
    output::line(setup.effective.to_string().trim_end());
    for (plugin, grants) in setup.grants.iter().filter(|(_, grants)| !grants.are_none()) {
        output::line(&format!("# plugin `{plugin}` is granted {}", grants.in_words().join("; ")));
        for place in grants.places_of_callers() {
            let token = setup.provider.as_ref().map_or_else(|| "token, of which there is none".to_owned(), token);
            output::line(&format!("# plugin `{plugin}` sends {place} the caller's own {token}"));
        }
    }
}

fn print_json(setup: &Setup, warnings: &[String], unpinned: &[String]) {
    let mut json = setup.effective.as_json();
    let granted = setup.grants.iter().filter(|(_, grants)| !grants.are_none());
    let granted: serde_json::Map<String, serde_json::Value> =
        granted.map(|(plugin, grants)| (plugin.to_owned(), json!(grants.in_words()))).collect();
    json["granted"] = granted.into();
    json["warnings"] = warnings.iter().chain(unpinned).cloned().collect();
    json["problems"] = json!([]);
    output::json(&json);
}

/// Asks the running server, which has its own variables and command line, what the file would change.
fn compare(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let invocation = arguments.config.clone().invocation(Purpose::Look, Vec::new());
    let text = invocation.read().map_err(Failure::start)?.unwrap_or_default();
    let name = invocation.path().display().to_string();
    let config = arguments.config.look()?;
    let answer = runtime()?.block_on(operator::of_server(&config, Request::Compare { text, name }))?;
    let Answer::Compared(comparison) = answer else {
        return Err(Failure::failed("the server gave an answer to something else"));
    };
    if arguments.json {
        output::json(&serde_json::json!(comparison));
    }
    if !comparison.problems.is_empty() {
        let problems = comparison.problems.join("\n");
        return Err(Failure::start(format!("{problems}\nthe running server would not take it, and go on as it is")));
    }
    if arguments.json {
        return Ok(());
    }
    let keys = |what: &str, keys: &[String]| {
        if !keys.is_empty() {
            output::line(&output::bold(what));
            keys.iter().for_each(|key| output::line(&format!("  {key}")));
        }
    };
    keys("at once", &comparison.live);
    keys("after a restart", &comparison.restart);
    if comparison.live.is_empty() && comparison.restart.is_empty() {
        output::note("the running server has all of it");
    }
    Ok(())
}

/// What a person's token of a provider is for, as far as the configuration says it.
fn token(provider: &Provider) -> String {
    let audience = provider.audience.as_ref().map_or_else(
        || format!("for the audience that {} chooses", provider.display_name()),
        |audience| format!("for the audience `{audience}`"),
    );
    let scopes = match configured_scopes(provider) {
        scopes if scopes.is_empty() => "without scopes".to_owned(),
        scopes => format!("with the scopes `{}`", scopes.join("` `")),
    };
    format!("token of {}, {audience}, {scopes}", provider.display_name())
}

pub(super) fn schema() -> Result<(), Failure> {
    output::json(&Config::schema().to_value());
    Ok(())
}
