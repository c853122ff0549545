//! The files of a new plugin. In every file `NAME` stands for the name in kebab case, `FUNCTION` in snake case, `METHOD`
//! in camel case.

use std::borrow::Cow;
use std::path::Path;

/// A language of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Tongue {
    /// With cargo: the smallest and fastest plugins
    Rust,
    /// With componentize-py
    Python,
    /// With jco
    Javascript,
}

/// What the first tool of a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Starter {
    /// It computes
    Plain,
    /// It sends requests
    Http,
    /// It keeps something
    Kv,
    /// It asks the person
    Ask,
}

impl Tongue {
    /// The file with the code.
    pub(in crate::cli) const fn code(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Python => "app.py",
            Self::Javascript => "plugin.js",
        }
    }

    /// The program that builds it.
    pub(in crate::cli) const fn program(self) -> &'static str {
        match self {
            Self::Rust => "cargo",
            Self::Python => "componentize-py",
            Self::Javascript => "jco",
        }
    }

    /// The command that brings in what builds it; none where that comes by itself.
    pub(in crate::cli) fn tools(self, directory: &Path) -> Option<String> {
        let directory = directory.display();
        match self {
            Self::Rust => None,
            Self::Python => Some(format!(
                "python3 -m venv {directory}/.venv && {directory}/.venv/bin/pip install -r {directory}/requirements.txt"
            )),
            Self::Javascript => Some(format!("npm install --prefix {directory}")),
        }
    }
}

impl Starter {
    /// True if it does nothing before its operator grants something.
    pub(in crate::cli) const fn needs_grant(self) -> bool {
        matches!(self, Self::Http | Self::Kv)
    }
}

/// The file with the first cases.
pub(in crate::cli) const CASES: &str = "tests/first.toml";

/// The last line of `[dependencies]` in the template of `Cargo.toml`.
const LAST_DEPENDENCY: &str = "wit-bindgen = \"0.61\"\n";

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../../templates/", $file))
    };
}

/// The files of a plugin, by their paths in its directory.
pub(super) fn files(tongue: Tongue, starter: Starter) -> Vec<(&'static str, Cow<'static, str>)> {
    let world = match (starter, tongue) {
        (Starter::Plain, _) => template!("plugin/world.wit"),
        (Starter::Http, Tongue::Javascript) => template!("javascript/http/world.wit"),
        (Starter::Http, _) => template!("plugin/http/world.wit"),
        (Starter::Kv, _) => template!("plugin/kv/world.wit"),
        (Starter::Ask, _) => template!("plugin/ask/world.wit"),
    };
    let code = match (tongue, starter) {
        (Tongue::Rust, Starter::Plain) => template!("plugin/lib.rs"),
        (Tongue::Rust, Starter::Http) => template!("plugin/http/lib.rs"),
        (Tongue::Rust, Starter::Kv) => template!("plugin/kv/lib.rs"),
        (Tongue::Rust, Starter::Ask) => template!("plugin/ask/lib.rs"),
        (Tongue::Python, Starter::Plain) => template!("python/plain/app.py"),
        (Tongue::Python, Starter::Http) => template!("python/http/app.py"),
        (Tongue::Python, Starter::Kv) => template!("python/kv/app.py"),
        (Tongue::Python, Starter::Ask) => template!("python/ask/app.py"),
        (Tongue::Javascript, Starter::Plain) => template!("javascript/plain/plugin.js"),
        (Tongue::Javascript, Starter::Http) => template!("javascript/http/plugin.js"),
        (Tongue::Javascript, Starter::Kv) => template!("javascript/kv/plugin.js"),
        (Tongue::Javascript, Starter::Ask) => template!("javascript/ask/plugin.js"),
    };
    let cases = match starter {
        Starter::Plain => template!("cases/plain.toml"),
        Starter::Http => template!("cases/http.toml"),
        Starter::Kv => template!("cases/kv.toml"),
        Starter::Ask => template!("cases/ask.toml"),
    };
    let mut files = vec![("wit/world.wit", world.into()), (tongue.code(), code.into()), (CASES, cases.into())];
    match tongue {
        Tongue::Rust => files.extend([
            ("Cargo.toml", manifest(starter).into()),
            ("build.rs", template!("plugin/build.rs").into()),
            (".gitignore", template!("plugin/gitignore").into()),
        ]),
        Tongue::Python => files.extend([
            ("requirements.txt", template!("python/requirements.txt").into()),
            (".gitignore", template!("python/gitignore").into()),
        ]),
        Tongue::Javascript => files.extend([
            ("package.json", template!("javascript/package.json").into()),
            (".gitignore", template!("javascript/gitignore").into()),
        ]),
    }
    files
}

fn manifest(starter: Starter) -> String {
    let further = match starter {
        Starter::Http => "# HTTP by `wasi:http`.\nwstd = { version = \"0.6\", default-features = false }\n",
        Starter::Plain | Starter::Kv | Starter::Ask => "",
    };
    template!("plugin/Cargo.toml").replace(LAST_DEPENDENCY, &format!("{LAST_DEPENDENCY}{further}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_what_is_looked_for() {
        let manifest = template!("plugin/Cargo.toml");
        assert_eq!(manifest.matches(LAST_DEPENDENCY).count(), 1, "{manifest}");
    }
}
