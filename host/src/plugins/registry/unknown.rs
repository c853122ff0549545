//! Tables `[plugin.NAME]` and `[plugin.NAME.tool.FUNCTION]` for which there is no plugin or no tool, and names of these in
//! lists: a slip in the name leaves the one that was meant open.

use std::collections::BTreeMap;
use std::fmt;

use super::{directory, supplied};
use crate::config::Config;
use crate::plugins::catalog::Catalog;
use crate::plugins::names;

/// One such table, or one such name in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownTable {
    /// The name of the table, without brackets; or the key of the list.
    table: String,
    /// The name in the list.
    item: Option<String>,
    /// What is not there.
    what: &'static str,
    /// The one that most likely was meant.
    nearest: Option<String>,
}

impl fmt::Display for UnknownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            None => write!(f, "`[{}]`: there is no such {}, so this does nothing", self.table, self.what)?,
            Some(item) => write!(f, "`{}`: there is no {} `{item}`, so it does nothing there", self.table, self.what)?,
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// Looks for plugins in their directory. One that cannot be listed says nothing of any plugin.
pub fn in_directory(config: &Config) -> Vec<UnknownTable> {
    if config.plugin.is_empty() && config.view.is_empty() {
        return Vec::new();
    }
    let Ok(found) = directory::look(&config.plugins.dir) else { return Vec::new() };
    let elsewhere = supplied::files(config);
    let present: Vec<String> =
        found.into_iter().map(|found| found.file).chain(elsewhere).map(|file| plugin_of(&file)).collect();
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
    let mut names = names_of_functions(config).peekable();
    let is_any_view = config.view.values().any(|view| view.tools.is_some() || !view.hide.is_empty());
    if names.peek().is_none() && !is_any_view {
        return Vec::new();
    }
    let mut functions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for status in catalog.plugins().iter().filter_map(|plugin| plugin.serving.as_ref().map(|serving| (plugin, serving)))
    {
        // A plugin all of whose tools are hidden gives nothing, and has them all the same.
        functions.entry(&status.0.name).or_insert_with(|| status.1.functions.clone());
    }
    let unknown = names.filter_map(|Mention { table, item, plugin, function }| {
        let present = functions.get(plugin)?;
        let is_unknown = !present.iter().any(|known| known == function);
        is_unknown.then(|| unknown(table, item.then(|| function.to_owned()), "tool", function, present))
    });
    unknown.chain(tools_of_views(config, catalog)).collect()
}

/// A function that the configuration names.
struct Mention<'a> {
    table: String,
    /// It is an item of a list, and no table.
    item: bool,
    plugin: &'a str,
    function: &'a str,
}

fn names_of_functions(config: &Config) -> impl Iterator<Item = Mention<'_>> {
    config.plugin.iter().flat_map(|(plugin, settings)| {
        let mention = |table: String, item, function| Mention { table, item, plugin: plugin.as_str(), function };
        let tables = settings.tool.keys();
        let tables = tables.map(move |tool| mention(format!("plugin.{plugin}.tool.{tool}"), false, tool.as_str()));
        let shown = settings.tools.iter().flatten();
        let shown = shown.map(move |tool| mention(format!("plugin.{plugin}.tools"), true, tool.as_str()));
        let hidden = settings.hide.iter();
        let hidden = hidden.map(move |tool| mention(format!("plugin.{plugin}.hide"), true, tool.as_str()));
        tables.chain(shown).chain(hidden)
    })
}

/// Looks for the tools that views name among those of their plugins. Nobody knows the tools of a plugin that is not
/// served.
fn tools_of_views(config: &Config, catalog: &Catalog) -> Vec<UnknownTable> {
    let mut found = Vec::new();
    for (name, view) in &config.view {
        let is_served =
            |plugin: &str| catalog.plugins().iter().any(|status| status.name == *plugin && status.serving.is_some());
        if !view.plugins.iter().all(|plugin| is_served(plugin)) {
            continue;
        }
        let of_view = |plugin: &str| view.plugins.iter().any(|shown| **shown == *plugin);
        let tools = catalog.tools().iter().filter(|tool| of_view(&tool.served.plugin.name));
        let present: Vec<String> = tools.map(|tool| tool.name.clone()).collect();
        let lists = [("tools", view.tools.as_deref().unwrap_or_default()), ("hide", view.hide.as_slice())];
        for (key, tool) in lists.into_iter().flat_map(|(key, tools)| tools.iter().map(move |tool| (key, tool))) {
            if !present.iter().any(|known| *known == **tool) {
                let table = format!("view.{name}.{key}");
                found.push(unknown(table, Some(tool.to_string()), "tool", tool, &present));
            }
        }
    }
    found
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
    let is_absent = |name: &str| !present.iter().any(|known| known == name) && !has_sources(name);
    let tables = config.plugin.keys().map(|name| name.as_str());
    let tables = tables.filter(|name| is_absent(name));
    let tables = tables.map(|name| unknown(format!("plugin.{name}"), None, "plugin", name, present));
    let of_views = config.view.iter().flat_map(|(view, settings)| {
        settings.plugins.iter().map(move |plugin| (format!("view.{view}.plugins"), plugin.as_str()))
    });
    let of_views = of_views.filter(|(_, name)| is_absent(name));
    let of_views = of_views.map(|(list, name)| unknown(list, Some(name.to_owned()), "plugin", name, present));
    tables.chain(of_views).collect()
}

fn unknown(table: String, item: Option<String>, what: &'static str, name: &str, present: &[String]) -> UnknownTable {
    let nearest = crate::config::problem::nearest(name, present.iter().map(String::as_str)).map(str::to_owned);
    UnknownTable { table, item, what, nearest }
}
