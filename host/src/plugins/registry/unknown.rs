//! Tables `[plugin.NAME]` and `[plugin.NAME.tool.FUNCTION]` for which there is no plugin or no tool: a slip in the name
//! leaves the one that was meant open.

use std::collections::BTreeMap;
use std::fmt;

use super::directory;
use crate::config::Config;
use crate::config::names::snake;
use crate::plugins::catalog::Catalog;
use crate::plugins::names;

/// One such table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownTable {
    /// The name of the table, without brackets.
    table: String,
    /// What is not there.
    what: &'static str,
    /// The one that most likely was meant.
    nearest: Option<String>,
}

impl fmt::Display for UnknownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`[{}]`: there is no such {}, so this does nothing", self.table, self.what)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// Looks for plugins in their directory. One that cannot be listed says nothing of any plugin.
pub fn in_directory(config: &Config) -> Vec<UnknownTable> {
    if config.plugin.is_empty() {
        return Vec::new();
    }
    let Ok(found) = directory::look(&config.plugins.dir) else { return Vec::new() };
    let present: Vec<String> = found.iter().map(|found| plugin_of(&found.file)).collect();
    among(config, &present)
}

/// Looks for plugins and tools in the catalog.
pub fn in_catalog(config: &Config, catalog: &Catalog) -> Vec<UnknownTable> {
    let present: Vec<String> = catalog.plugins().iter().map(|plugin| plugin.name.clone()).collect();
    let mut unknown = among(config, &present);
    unknown.extend(tools_in_catalog(config, catalog));
    unknown
}

/// Looks for tools in the catalog. Nobody knows those of a plugin that is not served.
pub fn tools_in_catalog(config: &Config, catalog: &Catalog) -> Vec<UnknownTable> {
    let tables = config.plugin.iter().flat_map(|(plugin, table)| table.tool.keys().map(move |tool| (plugin, tool)));
    let mut tables = tables.peekable();
    if tables.peek().is_none() {
        return Vec::new();
    }
    let mut functions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for served in catalog.served() {
        functions
            .entry(&served.plugin.name)
            .or_insert_with(|| served.plugin.functions.iter().map(|function| snake(&function.name.function)).collect());
    }
    let unknown = tables.filter_map(|(plugin, tool)| {
        let present = functions.get(plugin.as_str())?;
        let is_unknown = !present.iter().any(|function| *function == **tool);
        is_unknown.then(|| unknown(format!("plugin.{plugin}.tool.{tool}"), "tool", tool, present))
    });
    unknown.collect()
}

/// The plugin's name; for a file that cannot name a plugin, the file's.
fn plugin_of(file: &str) -> String {
    let stem = file.strip_suffix(".wasm").unwrap_or(file);
    names::plugin_name(stem).unwrap_or_else(|_| stem.to_owned())
}

fn among(config: &Config, present: &[String]) -> Vec<UnknownTable> {
    // The sources of a plugin that is not built yet are its name, too.
    let has_sources = |name: &str| {
        let directory = &config.plugins.dir;
        [name.to_owned(), name.replace('_', "-")].iter().any(|name| directory.join(name).is_dir())
    };
    let tables = config.plugin.keys().map(|name| name.as_str());
    let absent = tables.filter(|name| !present.iter().any(|known| known == name) && !has_sources(name));
    absent.map(|name| unknown(format!("plugin.{name}"), "plugin", name, present)).collect()
}

fn unknown(table: String, what: &'static str, name: &str, present: &[String]) -> UnknownTable {
    let nearest = crate::config::problem::nearest(name, present.iter().map(String::as_str)).map(str::to_owned);
    UnknownTable { table, what, nearest }
}
