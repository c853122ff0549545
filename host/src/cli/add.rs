//! `tinymcp add`: a plugin of a registry into the configuration and the lock.
//!
//! It grants nothing. What its author would like to be granted is shown, for a person to decide.

use super::locking::{self, Locking};
use super::{ConfigArguments, Failure, grant, logging, output, runtime};
use crate::atomic_file;
use crate::config::names::{PluginName, snake};
use crate::config::{Config, Environment, Invocation, Purpose};
use crate::oci::reference::Source;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A reference, `oci://HOST/NAME:TAG`, or a package, `NAMESPACE:NAME@VERSION`
    #[arg(value_name = "FROM")]
    from: String,
    /// The plugin's name here [default: the last part of its name there]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let source: Source = arguments.from.parse().map_err(Failure::start)?;
    let name = name_of(arguments.name.as_deref(), &source)?;
    let invocation = arguments.config.clone().invocation(Purpose::Look, Vec::new());
    let locking = Locking::new(arguments.config.plugin_loader()?)?;
    let plugin = snake(&name);
    let known = locking.loader.config.plugin(&plugin).from.as_ref().map(ToString::to_string);
    if let Some(known) = known.filter(|known| *known != source.to_string()) {
        return Err(Failure::start(format!(
            "plugin `{plugin}` comes from `{known}`: change its `from` and use `tinymcp update {plugin}`, or give this one another name with `--name`"
        )));
    }
    let runtime = runtime()?;
    let found = runtime.block_on(locking.find(&plugin, &source)).map_err(Failure::failed)?;
    locking::print(&plugin, &found);
    for line in locking.differences(None, &found)? {
        output::line(&format!("  {line}"));
    }
    if let Some(policy) = runtime.block_on(locking.policy(&found)) {
        output::line("\nIts author suggests this policy, of which nothing is applied:");
        policy.iter().for_each(|line| output::line(&format!("  {line}")));
    }
    let mut lock = locking.lock()?;
    lock.plugins.insert(plugin.clone(), found.locked);
    locking.write(&lock)?;
    write_from(&invocation, &name, &source)?;
    let (config, lock) = (invocation.path().display(), locking.loader.config.plugins.lock.display());
    output::note(&format!(
        "written into {config} and {lock}; nothing is granted: `tinymcp grant {plugin}` proposes what it declares to need"
    ));
    Ok(())
}

fn name_of(given: Option<&str>, source: &Source) -> Result<String, Failure> {
    let last = match source {
        Source::Reference(reference) => reference.repository.name.rsplit('/').next().unwrap_or_default(),
        Source::Package(package) => &package.name,
    };
    let name = given.unwrap_or(last);
    match name.parse::<PluginName>() {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => Err(Failure::start(format!("`{name}` is no name of a plugin ({error}): give one with `--name`"))),
    }
}

/// Writes `from` of a plugin into the configuration, if it is valid with it.
fn write_from(invocation: &Invocation, plugin: &str, source: &Source) -> Result<(), Failure> {
    let path = invocation.path();
    let text = invocation.read().map_err(Failure::start)?.unwrap_or_default();
    let merged = grant::merge::with_text(&text, plugin, "from", &source.to_string()).map_err(Failure::failed)?;
    let environment = Environment::read(invocation.directory());
    let checked = Config::parse(&merged, invocation, &environment);
    checked.map_err(|error| Failure::failed(format!("{} not written: with `from`, {error}", path.display())))?;
    atomic_file::replace_alike(path, merged.as_bytes())
        .map_err(|error| Failure::failed(format!("{} not written: {error}", path.display())))
}
