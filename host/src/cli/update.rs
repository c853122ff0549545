//! `tinymcp update`: shows what would run of plugins that come from registries, and writes it into the lock.

use tokio::runtime::Runtime;

use super::locking::{self, Locking};
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::config::names::snake;
use crate::oci::lock::Lock;
use crate::oci::reference::Source;
use crate::supply;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugins to update [default: all with `from`]
    #[arg(value_name = "NAME")]
    plugins: Vec<String>,
    /// Show only, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let locking = Locking::new(arguments.config.plugin_loader()?)?;
    let wanted = supply::wanted(&locking.loader.config);
    let named: Vec<String> = arguments.plugins.iter().map(|name| snake(name)).collect();
    if let Some(unknown) = named.iter().find(|name| !wanted.iter().any(|(plugin, _)| plugin == *name)) {
        return Err(Failure::start(format!(
            "plugin `{unknown}` comes from no registry: give it a `from` in `[plugin.{unknown}]`, or use `tinymcp add`"
        )));
    }
    let mut lock = locking.lock()?;
    let before = lock.clone();
    // Of plugins that come from elsewhere now, nothing is locked.
    if named.is_empty() {
        lock.plugins.retain(|plugin, _| wanted.iter().any(|(name, _)| name == plugin));
        for gone in before.plugins.keys().filter(|plugin| !lock.plugins.contains_key(*plugin)) {
            output::line(&format!("{}  is locked no more: it has no `from`", output::bold(gone)));
        }
    }
    let (mut failed, runtime) = (false, runtime()?);
    for (plugin, from) in wanted.iter().filter(|(plugin, _)| named.is_empty() || named.contains(plugin)) {
        match update(&runtime, &locking, plugin, from, &mut lock) {
            Ok(()) => {}
            Err(failure) => {
                failed = true;
                output::error(&format!("plugin `{plugin}`: {}", failure.into_message()));
            }
        }
    }
    if lock == before {
        output::note(if failed { "nothing is locked otherwise" } else { "the lock is as it has to be" });
    } else if arguments.dry_run {
        output::note("nothing was written: without `--dry-run` this goes into the lock, and runs");
    } else {
        locking.write(&lock)?;
        output::note(&format!(
            "written into {}; a running server takes it over",
            locking.loader.config.plugins.lock.display()
        ));
    }
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

fn update(runtime: &Runtime, locking: &Locking, plugin: &str, from: &str, lock: &mut Lock) -> Result<(), Failure> {
    let source: Source = from.parse().map_err(Failure::start)?;
    let found = runtime.block_on(locking.find(plugin, &source)).map_err(Failure::failed)?;
    if lock.plugins.get(plugin) == Some(&found.locked) {
        return Ok(());
    }
    let before = locking.before(plugin, lock);
    locking::print(plugin, &found);
    if let Some(old) = lock.plugins.get(plugin) {
        output::line(&format!("  locked so far: {} ({})", old.manifest, old.from));
    }
    for line in locking.differences(before.as_ref(), &found)? {
        output::line(&format!("  {line}"));
    }
    lock.plugins.insert(plugin.to_owned(), found.locked);
    Ok(())
}
