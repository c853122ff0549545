//! Tables `[plugin.NAME]` for which there is no plugin: a slip in the name leaves the plugin that was meant open.

use std::fmt;

use super::directory;
use crate::config::Config;
use crate::plugins::catalog::Catalog;
use crate::plugins::names;

/// One such table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownPlugin {
    /// The name of the table.
    pub name: String,
    /// The plugin that most likely was meant.
    nearest: Option<String>,
}

impl fmt::Display for UnknownPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`[plugin.{}]`: there is no such plugin, so this does nothing", self.name)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// Looks at the plugins directory. One that cannot be listed says nothing of any plugin.
pub fn in_directory(config: &Config) -> Vec<UnknownPlugin> {
    if config.plugin.is_empty() {
        return Vec::new();
    }
    let Ok(found) = directory::look(&config.plugins.dir) else { return Vec::new() };
    let present: Vec<String> = found.iter().map(|found| plugin_of(&found.file)).collect();
    among(config, &present)
}

/// Compares the tables with the catalog.
pub fn in_catalog(config: &Config, catalog: &Catalog) -> Vec<UnknownPlugin> {
    let present: Vec<String> = catalog.plugins().iter().map(|plugin| plugin.name.clone()).collect();
    among(config, &present)
}

/// The plugin's name; for a file that cannot name a plugin, the file's.
fn plugin_of(file: &str) -> String {
    let stem = file.strip_suffix(".wasm").unwrap_or(file);
    names::plugin_name(stem).unwrap_or_else(|_| stem.to_owned())
}

fn among(config: &Config, present: &[String]) -> Vec<UnknownPlugin> {
    // The sources of a plugin that is not built yet are its name, too.
    let has_sources = |name: &str| {
        let directory = &config.plugins.dir;
        [name.to_owned(), name.replace('_', "-")].iter().any(|name| directory.join(name).is_dir())
    };
    let tables = config.plugin.keys().map(|name| name.as_str());
    let unknown = tables.filter(|name| !present.iter().any(|known| known == name) && !has_sources(name));
    unknown
        .map(|name| {
            let nearest = crate::config::problem::nearest(name, present.iter().map(String::as_str));
            UnknownPlugin { name: name.to_owned(), nearest: nearest.map(str::to_owned) }
        })
        .collect()
}
