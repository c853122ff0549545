//! One file by itself, for commands.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::entry::Entry;
use super::offer::{Names, Offer};
use super::{directory, job};
use crate::config::Config;
use crate::grants::PluginGrants;
use crate::plugins::announcements::Announced;
use crate::plugins::catalog::Catalog;
use crate::plugins::loading::cache::Cache;
use crate::plugins::loading::compile::Allowance;
use crate::plugins::loading::loader::Loader;
use crate::plugins::sandbox::runtime::Runtime;

/// The catalog of one file alone, under the names and limits that it would have in the plugins directory.
///
/// # Errors
/// Why the file gives no plugin.
pub(in crate::plugins) fn catalog_of_file(
    runtime: &Arc<Runtime>,
    cache: Option<Cache>,
    (config, grants): (&Config, &PluginGrants),
    path: &Path,
) -> anyhow::Result<Catalog> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (called, misnamed) = directory::required_name(&file);
    let mut entry = Entry::new(&called, config, grants);
    let name = entry.name.clone()?;
    let limits = config.limits(&name);
    let (bytes, stamp) = directory::read(path, *limits.file)?;
    let loader = Loader::new(Arc::clone(runtime), cache)?;
    let in_words = |error| anyhow::Error::msg(job::in_words(&error, directory::is_own(path, &stamp)));
    let plugin = Arc::new(loader.load_and_wait(&name, bytes, Allowance::of(&limits)).map_err(in_words)?);
    let with_lists = job::with_lists(runtime, plugin, Arc::clone(entry.terms()));
    let plugin = Arc::new(runtime.engine.lane().block_on(with_lists).flatten().map_err(anyhow::Error::msg)?);
    let names = Names::of(&plugin, &name, config)?;
    entry.serve(Offer { plugin, names, since: SystemTime::now(), foreign: Default::default(), widened: None });
    let mut status = entry.status(&file);
    if let Some(serving) = &mut status.serving {
        serving.warnings.extend(misnamed);
    }
    Ok(Catalog::default().replaced_by(entry.offerings(), vec![status], &Announced::new(), &config.view))
}
