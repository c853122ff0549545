//! The files whose plugin a tool's name speaks of, found without loading any: a tool is called like its plugin.

use std::collections::BTreeSet;

use super::{directory, supplied};
use crate::config::Config;
use crate::plugins::names;

/// The files of the plugins directory whose plugin may well have a tool of this name: the beginning of the name is the
/// plugin's or its prefix, or the configuration calls one of its tools so. There may be none, and another one may have it.
pub fn files_of_tool(config: &Config, tool: &str) -> BTreeSet<String> {
    let found = directory::look(&config.plugins.dir).unwrap_or_default().into_iter().map(|found| found.file);
    found.chain(supplied::files(config)).filter(|file| may_have(config, file, tool)).collect()
}

fn may_have(config: &Config, file: &str, tool: &str) -> bool {
    let Ok(name) = names::plugin_name(file.strip_suffix(".wasm").unwrap_or(file)) else { return false };
    let settings = config.plugin(&name);
    let is_called_so = settings.tool.values().any(|of| of.name.as_ref().is_some_and(|name| name.as_str() == tool));
    let prefix = settings.prefix.as_ref().map_or(name.as_str(), |prefix| prefix.as_str());
    is_called_so || (speaks_of(tool, prefix) && !prefix.is_empty())
}

/// True for a tool's name that is this prefix, or begins with it.
pub fn speaks_of(tool: &str, prefix: &str) -> bool {
    tool.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Environment, Invocation, Purpose};

    #[test]
    fn a_name_speaks_of_the_files_that_it_begins_with() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["weather.wasm", "weather-now.wasm", "add.wasm", "notes.wasm", "notes.txt", "a b.wasm"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let text = "[plugin.notes]\nprefix = \"pad\"\n[plugin.add.tool.sum]\nname = \"total\"\n";
        let parsed = Config::parse(text, &Invocation::new(Purpose::Look), &Environment::default());
        let mut config = parsed.unwrap().config;
        config.plugins.dir = dir.path().to_owned();
        let files = |tool: &str| files_of_tool(&config, tool).into_iter().collect::<Vec<_>>();
        assert_eq!(files("weather_now"), ["weather-now.wasm", "weather.wasm"]);
        assert_eq!(files("weather_later"), ["weather.wasm"]);
        assert_eq!(files("add"), ["add.wasm"]);
        assert_eq!(files("total"), ["add.wasm"]);
        assert_eq!(files("pad_write"), ["notes.wasm"]);
        assert_eq!(files("notes_write"), Vec::<String>::new());
        assert_eq!(files("addition"), Vec::<String>::new());
        assert_eq!(files(""), Vec::<String>::new());
    }
}
