//! `tinymcp check` and `tinymcp schema`.

use super::{ConfigArguments, Failure, load, logging, operator, output, runtime};
use crate::auth::upstream::configured_scopes;
use crate::config::{Config, Provider, Purpose};
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
    /// With `--against`, print JSON
    #[arg(long, requires = "against")]
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
    let setup = load(&arguments.config.invocation(Purpose::Serve, Vec::new()))?;
    let unknown = unknown::in_directory(&setup.config);
    let space = Plugins::address_space(&setup.config);
    if space.is_too_small() {
        return Err(Failure::start(space));
    }
    let of_system = space.is_short().then(|| space.to_string());
    let of_plugins = unknown.iter().map(ToString::to_string);
    let warnings: Vec<String> =
        setup.warnings.iter().map(ToString::to_string).chain(of_plugins).chain(of_system).collect();
    warnings.iter().for_each(|warning| output::warning(warning));
    // Of no count for `--strict`: there is no key yet that would mend it.
    for (plugin, grants) in setup.grants.iter() {
        let entrusted = grants.entrusted();
        if !entrusted.is_empty() {
            output::warning(&format!(
                "plugin `{plugin}`: whoever can replace its file inherits {}; nothing says which file may have that, so keep the plugins directory from everybody else",
                entrusted.join("; ")
            ));
        }
    }
    output::line(setup.effective.to_string().trim_end());
    for (plugin, grants) in setup.grants.iter().filter(|(_, grants)| !grants.are_none()) {
        output::line(&format!("# plugin `{plugin}` is granted {}", grants.in_words().join("; ")));
        for place in grants.places_of_callers() {
            let token = setup.provider.as_ref().map_or_else(|| "token, of which there is none".to_owned(), token);
            output::line(&format!("# plugin `{plugin}` sends {place} the caller's own {token}"));
        }
    }
    match warnings.len() {
        count if arguments.strict && count > 0 => {
            Err(Failure::start(format!("{count} warnings, each of which is an error with `--strict`")))
        }
        _ => Ok(()),
    }
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
