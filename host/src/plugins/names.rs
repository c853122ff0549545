//! The names of plugins and tools.
//!
//! A plugin is called like its file; a tool is called like its plugin and its function, so that two plugins cannot
//! take each other's names. Everything is pure: the same exports give the same names, whatever else is loaded.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::names::snake;
use crate::sanitize::literal;

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

    /// The package of the interface without its version: `acme:maths`.
    fn package(&self) -> Option<&str> {
        Some(self.interface.as_deref()?.rsplit_once('/')?.0)
    }

    /// The version of the interface: `1.0.0`.
    fn version(&self) -> Option<&str> {
        Some(self.interface.as_deref()?.split_once('@')?.1)
    }
}

/// The interfaces whose functions would have one name.
#[derive(Default)]
struct Sharing<'a> {
    count: usize,
    /// By package; a function of the world itself has none.
    versions: BTreeMap<Option<&'a str>, BTreeSet<Option<&'a str>>>,
    /// Packages by their names within their namespaces.
    packages: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Sharing<'a> {
    fn add(&mut self, function: &'a FunctionName) {
        let package = function.package();
        self.count += 1;
        self.versions.entry(package).or_default().insert(function.version());
        if let Some(package) = package {
            self.packages.entry(without_namespace(package)).or_default().insert(package);
        }
    }

    /// The interface of one of them with what tells it from the others: the package before it, the version after it.
    fn told_apart(&self, function: &FunctionName) -> Option<String> {
        let interface = function.short_interface().filter(|_| self.count > 1)?;
        let package = function.package().filter(|_| self.versions.len() > 1).map(|package| {
            let name = without_namespace(package);
            if self.packages.get(name).is_some_and(|packages| packages.len() > 1) { package } else { name }
        });
        let is_of_several = self.versions.get(&function.package()).is_some_and(|versions| versions.len() > 1);
        let version = function.version().filter(|_| is_of_several);
        let parts: Vec<&str> = [package, Some(interface), version].into_iter().flatten().collect();
        Some(parts.join("_").replace(|char: char| !char.is_ascii_alphanumeric(), "_"))
    }
}

/// The package's own name: `maths` of `acme:maths`.
fn without_namespace(package: &str) -> &str {
    package.rsplit_once(':').map_or(package, |(_, name)| name)
}

impl std::fmt::Display for FunctionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

/// A fault of a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The file is called something that cannot become part of a tool's name.
    #[error(
        "`{stem}` cannot name a plugin: rename the file so that it has only letters, digits, `-` and `_` before `.wasm`, \
         such as `{suggested}.wasm`"
    )]
    PluginName {
        /// The file name without `.wasm`, and without line breaks and other controls: it goes into the log.
        stem: String,
        /// A name that would do.
        suggested: String,
    },
    /// Clients refuse longer names.
    #[error("tool name `{tool}` has {} characters, clients take {MAX_TOOL_NAME}: {}", tool.len(), cure_of_length(.function))]
    ToolTooLong {
        /// The name that would have been.
        tool: String,
        /// The function's own.
        function: String,
    },
    /// Two things of one plugin come to one name, even with their interfaces, packages and versions in between.
    #[error("`{first}` and `{second}` would both be called `{tool}`: rename one of them")]
    Ambiguous {
        /// The name that both would have.
        tool: String,
        /// The function that has the name.
        first: FunctionName,
        /// The function that is left out.
        second: FunctionName,
    },
}

fn cure_of_length(function: &str) -> &'static str {
    if function.len() > MAX_TOOL_NAME {
        "rename the function, whose own name is longer than that"
    } else {
        "give the plugin a shorter name or a shorter `prefix`"
    }
}

/// The names of a plugin's tools or prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// In the order in which they were asked for; `None` for one that cannot have a name.
    pub names: Vec<Option<String>>,
    /// The reasons for those without a name.
    pub problems: Vec<NameError>,
}

/// The plugin's name for a file name without its `.wasm`: kebab case becomes snake case.
///
/// # Errors
/// [`NameError::PluginName`] for anything but `[A-Za-z0-9_-]+`.
pub fn plugin_name(stem: &str) -> Result<String, NameError> {
    if !is_plain(stem) {
        return Err(NameError::PluginName { stem: literal(stem), suggested: suggested(stem) });
    }
    Ok(snake(stem))
}

/// The stem of a file name that would do in place of this one. Some tools write `NAME.component.wasm`.
pub(super) fn suggested(stem: &str) -> String {
    let stem = stem.strip_suffix(".component").unwrap_or(stem);
    let parts = stem.split(|char: char| !char.is_ascii_alphanumeric() && char != '_' && char != '-');
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "plugin".to_owned() } else { parts.join("-") }
}

/// True for `[A-Za-z0-9_-]+`, which every client takes.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The operator's word on the name of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish<'a> {
    /// It is called as its author has it.
    None,
    /// It is called so.
    Called(&'a str),
    /// It is no tool, and takes no name.
    Hidden,
}

/// The tools' names for a plugin's functions, in the order of `functions`; where two want the same, the first has it.
///
/// `prefix` replaces the plugin's name; an empty one gives bare function names. Only what would clash is called by more
/// than its function: by its interface, and where that is not enough by the interface's package or version. Whatever is
/// wished for one function, no other one is called differently for it: a name that somebody has anyway is not given.
pub fn tool_names<'w>(
    plugin: &str,
    prefix: Option<&str>,
    functions: &[FunctionName],
    wish: impl Fn(&FunctionName) -> Wish<'w>,
) -> Named {
    let mut exporters: BTreeMap<&str, usize> = BTreeMap::new();
    for function in functions {
        *exporters.entry(&function.function).or_default() += 1;
    }
    let short = functions.iter().map(|function| {
        let is_shared = exporters[function.function.as_str()] > 1;
        let between = if is_shared { function.short_interface() } else { None };
        tool_name(plugin, prefix, between, &function.function)
    });
    let short: Vec<String> = short.collect();
    let mut sharing: BTreeMap<&str, Sharing<'_>> = BTreeMap::new();
    for (name, function) in short.iter().zip(functions) {
        sharing.entry(name).or_default().add(function);
    }
    let long = short.iter().zip(functions).map(|(short, function)| {
        let between = sharing[short.as_str()].told_apart(function);
        between.map_or_else(|| short.clone(), |between| tool_name(plugin, prefix, Some(&between), &function.function))
    });
    let own: Vec<String> = long.collect();
    let wishes: Vec<Wish<'_>> = functions.iter().map(wish).collect();
    let called = |(own, wish): (&String, &Wish<'_>)| match wish {
        Wish::Called(name) => (*name).to_owned(),
        Wish::None | Wish::Hidden => own.clone(),
    };
    let wanted: Vec<String> = own.iter().zip(&wishes).map(called).collect();

    let mut taken: BTreeMap<&str, &FunctionName> = BTreeMap::new();
    let mut named = Named { names: vec![None; functions.len()], problems: Vec::new() };
    let shown = (0..functions.len()).filter(|index| wishes[*index] != Wish::Hidden);
    let (as_wished, as_own): (Vec<usize>, Vec<usize>) =
        shown.partition(|index| matches!(wishes[*index], Wish::Called(_)));
    // A longer name never takes what somebody is called anyway, and neither does a wish.
    let (unchanged, longer): (Vec<usize>, Vec<usize>) =
        as_own.into_iter().partition(|index| wanted[*index] == short[*index]);
    for index in unchanged.into_iter().chain(longer).chain(as_wished) {
        let (tool, function) = (&wanted[index], &functions[index]);
        if tool.len() > MAX_TOOL_NAME {
            let function = function.function.clone();
            named.problems.push(NameError::ToolTooLong { tool: tool.clone(), function });
            continue;
        }
        if let Some(&first) = taken.get(tool.as_str()) {
            let (first, second) = (first.clone(), function.clone());
            named.problems.push(NameError::Ambiguous { tool: tool.clone(), first, second });
            continue;
        }
        taken.insert(tool, function);
        named.names[index] = Some(tool.clone());
    }
    named
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(interface: Option<&str>, function: &str) -> FunctionName {
        FunctionName { interface: interface.map(str::to_owned), function: function.to_owned() }
    }

    /// The names, all of which there must be.
    fn served(plugin: &str, prefix: Option<&str>, functions: &[FunctionName]) -> Vec<String> {
        let named = tool_names(plugin, prefix, functions, |_| Wish::None);
        assert_eq!(named.problems, []);
        named.names.into_iter().flatten().collect()
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
            assert_eq!(served(plugin, prefix, functions), expected, "{plugin} {prefix:?}");
        }
    }

    #[test]
    fn what_would_clash_is_called_by_package_or_version_too() {
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let cases: [Case<'_>; 6] = [
            (&[("a:b/c@0.1.0", "f"), ("a:b/c@0.2.0", "f")], &["p_c_0_1_0_f", "p_c_0_2_0_f"]),
            // One without a version keeps what it had, and so does all that only one of them has.
            (&[("a:b/c", "f"), ("a:b/c@1.0.0-rc.1+x", "f"), ("a:b/c", "g")], &["p_c_f", "p_c_1_0_0_rc_1_x_f", "p_g"]),
            (&[("a:x/c@1.0.0", "f"), ("b:y/c@1.0.0", "f")], &["p_x_c_f", "p_y_c_f"]),
            (&[("a:x/c", "f"), ("b:x/c", "f")], &["p_a_x_c_f", "p_b_x_c_f"]),
            (
                &[("a:x/c@1.0.0", "f"), ("a:x/c@2.0.0", "f"), ("b:y/c@1.0.0", "f")],
                &["p_x_c_1_0_0_f", "p_x_c_2_0_0_f", "p_y_c_f"],
            ),
            (&[("", "c-f"), ("a:b/c", "f"), ("a:b/d", "f")], &["p_c_f", "p_b_c_f", "p_d_f"]),
        ];
        for (functions, expected) in cases {
            let functions = functions
                .iter()
                .map(|(interface, function)| of(Some(*interface).filter(|interface| !interface.is_empty()), function));
            assert_eq!(served("p", None, &functions.collect::<Vec<_>>()), expected);
        }
    }

    #[test]
    fn the_operator_renames_and_hides_one_without_the_others() {
        let functions = ["a", "b", "c"].map(|function| of(None, function));
        let called = Wish::Called;
        let named = |wishes: [Wish<'static>; 3]| {
            let wish = |function: &FunctionName| wishes[usize::from(function.function.as_bytes()[0] - b'a')];
            let named = tool_names("p", None, &functions, wish);
            (named.names.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>(), named.problems.len())
        };
        for (wishes, names, problems) in [
            ([Wish::None, called("mine"), Wish::Hidden], ["p_a", "mine", ""], 0),
            // Two may change places, and a hidden one leaves its name to others.
            ([called("p_b"), called("p_a"), Wish::None], ["p_b", "p_a", "p_c"], 0),
            ([called("p_c"), Wish::None, Wish::Hidden], ["p_c", "p_b", ""], 0),
            // Nobody loses a name to a wish.
            ([called("p_c"), Wish::None, Wish::None], ["", "p_b", "p_c"], 1),
            ([called("x"), called("x"), Wish::None], ["x", "", "p_c"], 1),
        ] {
            assert_eq!(named(wishes), (names.map(str::to_owned).to_vec(), problems), "{wishes:?}");
        }
    }

    #[test]
    fn names_that_no_client_takes_are_refused() {
        assert!(matches!(plugin_name("weather.v2"), Err(NameError::PluginName { .. })));
        assert!(matches!(plugin_name(""), Err(NameError::PluginName { .. })));
        assert_eq!(plugin_name("my-tool").unwrap(), "my_tool");
        let forged = plugin_name("a\n2026-01-01T00:00:00Z ERROR b\u{1b}[31m").unwrap_err().to_string();
        assert!(!forged.contains(char::is_control), "{forged:?}");
        for (stem, suggestion) in [
            ("maths.component", "maths"),
            ("weather.v2", "weather-v2"),
            ("my tool (1)", "my-tool-1"),
            (".component", "plugin"),
            ("\u{fc}", "plugin"),
        ] {
            assert_eq!(suggested(stem), suggestion);
            assert!(plugin_name(&suggested(stem)).is_ok());
        }
    }

    #[test]
    fn what_still_clashes_or_is_too_long_costs_itself() {
        let functions = [of(None, "a-b"), of(None, "a_b"), of(None, &"x".repeat(60)), of(None, "c")];
        let named = tool_names("plugin", None, &functions, |_| Wish::None);
        assert_eq!(named.names, [Some("plugin_a_b".to_owned()), None, None, Some("plugin_c".to_owned())]);
        assert!(
            matches!(&named.problems[..], [NameError::Ambiguous { second, .. }, NameError::ToolTooLong { .. }] if second.function == "a_b"),
            "{:?}",
            named.problems
        );
        // A name made longer takes nobody's.
        let functions = [of(Some("a:x/c"), "f"), of(Some("b:y/c"), "f"), of(None, "x-c-f")];
        let named = tool_names("p", None, &functions, |_| Wish::None);
        assert_eq!(named.names, [None, Some("p_y_c_f".to_owned()), Some("p_x_c_f".to_owned())]);
    }
}
