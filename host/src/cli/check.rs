//! `tinymcp check` and `tinymcp schema`.

use super::{ConfigArguments, Failure, load, output};
use crate::auth::upstream::configured_scopes;
use crate::config::trust::Approve;
use crate::config::{Config, Provider, Purpose};
use crate::plugins::Plugins;
use crate::plugins::registry::unknown;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
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
    // Of no count for `--strict`: it may be meant, where nobody else can write into the directory.
    for (plugin, grants) in setup.grants.iter() {
        let entrusted = grants.entrusted();
        let config = &setup.config;
        let is_said = config.approve(plugin) != Approve::Off || config.plugin(plugin).trust.is_some();
        if !entrusted.is_empty() && !is_said {
            output::warning(&format!(
                "plugin `{plugin}`: whoever can replace its file inherits {}; nothing says which file may have that (`trust`, `approve`), so keep the plugins directory from everybody else",
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
