//! How plugins and tools are called.
//!
//! A plugin is called like its file; a tool is called like its plugin and its function, so that two plugins cannot
//! take each other's names. Everything is pure: the same exports give the same names, whatever else is loaded.

use std::collections::BTreeMap;

/// Longest tool name that every client takes (Claude's API and VS Code: 64).
const MAX_TOOL_NAME: usize = 64;

/// Names of the server's own tools, with `server.discovery_tools`.
pub const FIND_TOOLS: &str = "find_tools";
/// See [`FIND_TOOLS`].
pub const CALL_TOOL: &str = "call_tool";

/// An exported function, by the interface that exports it, if it is not the world itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName {
    /// The interface as the component names it, e.g. `acme:maths/trigonometry@1.0.0`.
    pub interface: Option<String>,
    /// The function's WIT name, e.g. `square-root`.
    pub function: String,
}

impl FunctionName {
    /// The interface without package and version: `trigonometry` of `acme:maths/trigonometry@1.0.0`.
    fn short_interface(&self) -> Option<&str> {
        let interface = self.interface.as_deref()?;
        let name = interface.rsplit_once('/').map_or(interface, |(_, name)| name);
        Some(name.split_once('@').map_or(name, |(name, _)| name))
    }
}

impl std::fmt::Display for FunctionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The file is called something that cannot become part of a tool's name.
    #[error(
        "`{stem}` cannot name a plugin: rename the file so that it has only letters, digits, `-` and `_` before `.wasm`"
    )]
    PluginName {
        /// The file name without `.wasm`, and without line breaks and other controls: it goes into the log.
        stem: String,
    },
    /// Clients refuse longer names.
    #[error("tool name `{tool}` has {} characters, clients take {MAX_TOOL_NAME}: give the plugin a shorter name or a shorter `prefix`", tool.len())]
    ToolTooLong {
        /// The name that would have been.
        tool: String,
    },
    /// Two functions of one plugin come to one name, even with their interfaces in between.
    #[error("functions `{first}` and `{second}` would both be the tool `{tool}`: rename one of them")]
    Ambiguous {
        /// The name that both would have.
        tool: String,
        /// The function that comes first.
        first: FunctionName,
        /// The function that comes second.
        second: FunctionName,
    },
}

/// The plugin's name for a file name without its `.wasm`: kebab case becomes snake case.
///
/// # Errors
/// [`NameError::PluginName`] for anything but `[A-Za-z0-9_-]+`.
pub fn plugin_name(stem: &str) -> Result<String, NameError> {
    if !is_plain(stem) {
        return Err(NameError::PluginName { stem: stem.escape_debug().to_string() });
    }
    Ok(snake(stem))
}

/// Whether a name is `[A-Za-z0-9_-]+`, which every client takes.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The tools' names for a plugin's functions, in the order of `functions`.
///
/// `prefix` replaces the plugin's name; an empty one gives bare function names.
///
/// # Errors
/// [`NameError::ToolTooLong`], [`NameError::Ambiguous`]: none of the plugin's tools is published then.
pub fn tool_names(plugin: &str, prefix: Option<&str>, functions: &[FunctionName]) -> Result<Vec<String>, NameError> {
    let mut exporters: BTreeMap<&str, usize> = BTreeMap::new();
    for function in functions {
        *exporters.entry(&function.function).or_default() += 1;
    }
    let mut taken: BTreeMap<String, &FunctionName> = BTreeMap::new();
    let mut names = Vec::with_capacity(functions.len());
    for function in functions {
        let is_shared = exporters[function.function.as_str()] > 1;
        let between = if is_shared { function.short_interface() } else { None };
        let tool = tool_name(plugin, prefix, between, &function.function);
        if tool.len() > MAX_TOOL_NAME {
            return Err(NameError::ToolTooLong { tool });
        }
        if let Some(first) = taken.insert(tool.clone(), function) {
            return Err(NameError::Ambiguous { tool, first: first.clone(), second: function.clone() });
        }
        names.push(tool);
    }
    Ok(names)
}

fn tool_name(plugin: &str, prefix: Option<&str>, interface: Option<&str>, function: &str) -> String {
    let function = snake(function);
    let prefix = match prefix {
        Some(prefix) => snake(prefix),
        None if interface.is_none() && plugin == function => String::new(),
        None => plugin.to_owned(),
    };
    let interface = interface.map(snake).unwrap_or_default();
    let parts = [prefix, interface, function];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

fn snake(kebab: &str) -> String {
    kebab.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(interface: Option<&str>, function: &str) -> FunctionName {
        FunctionName { interface: interface.map(str::to_owned), function: function.to_owned() }
    }

    #[test]
    fn tools_are_called_like_plugin_and_function() {
        type Case<'a> = (&'a str, Option<&'a str>, &'a [FunctionName], &'a [&'a str]);
        let cases: [Case<'_>; 7] = [
            ("add", None, &[of(None, "add")], &["add"]),
            ("maths", None, &[of(None, "square-root")], &["maths_square_root"]),
            ("maths", Some(""), &[of(None, "square-root")], &["square_root"]),
            ("maths", Some("my-m"), &[of(None, "add")], &["my_m_add"]),
            ("maths", None, &[of(Some("acme:maths/trig@1.0.0"), "sin")], &["maths_sin"]),
            (
                "maths",
                None,
                &[of(Some("a:b/trig@1.0.0"), "sin"), of(Some("a:b/hyper-bolic"), "sin")],
                &["maths_trig_sin", "maths_hyper_bolic_sin"],
            ),
            ("get_x", None, &[of(None, "get-x"), of(Some("a:b/c"), "get-x")], &["get_x", "get_x_c_get_x"]),
        ];
        for (plugin, prefix, functions, expected) in cases {
            assert_eq!(tool_names(plugin, prefix, functions).unwrap(), expected, "{plugin} {prefix:?}");
        }
    }

    #[test]
    fn names_that_no_client_takes_are_refused() {
        assert!(matches!(plugin_name("weather.v2"), Err(NameError::PluginName { .. })));
        assert!(matches!(plugin_name(""), Err(NameError::PluginName { .. })));
        assert_eq!(plugin_name("my-tool").unwrap(), "my_tool");
        let forged = plugin_name("a\n2026-01-01T00:00:00Z ERROR b\u{1b}[31m").unwrap_err().to_string();
        assert!(!forged.contains(char::is_control), "{forged:?}");
        let long = of(None, &"x".repeat(60));
        assert!(matches!(tool_names("plugin", None, &[long]), Err(NameError::ToolTooLong { .. })));
    }

    #[test]
    fn two_packages_with_one_interface_name_are_ambiguous() {
        let functions = [of(Some("a:x/c"), "f"), of(Some("b:y/c"), "f")];
        assert!(matches!(tool_names("p", None, &functions), Err(NameError::Ambiguous { .. })));
    }
}
