//! The languages that plugins are built from, one module each.
//!
//! A language knows its folders, its files, its toolchain, and the way to a component. All else is the same for every
//! language.

mod javascript;
mod python;
mod rust;
mod wasi_http;

use std::path::{Path, PathBuf};

use super::error::BuildError;
use super::folder::Folder;
use super::options::FunctionNames;
use super::toolchain::{Tool, Toolchain};
use super::wit::Wit;
use crate::plugins::loading::stack_size;

/// A language that plugins are built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Language {
    Rust,
    Python,
    JavaScript,
}

impl Language {
    /// All languages in the order of the search: a crate is Rust, whatever else lies in its folder.
    const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::JavaScript];

    /// The language of a folder, if it holds the sources of a plugin.
    pub(super) fn of(directory: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| match language {
            Self::Rust => rust::is_source(directory),
            Self::Python => python::is_source(directory),
            Self::JavaScript => javascript::is_source(directory),
        })
    }

    /// Names the parts that a folder lacks to be the source of a plugin; none for a folder that does not look like one.
    pub(super) fn lacks(directory: &Path) -> Option<String> {
        if let Some(lacks) = python::lacks(directory).or_else(|| javascript::lacks(directory)) {
            return Some(lacks);
        }
        let has_wit = !super::wit::files_in(&directory.join("wit")).is_empty();
        has_wit.then(|| {
            "sources beside its `wit/`: `Cargo.toml` (Rust), `app.py` (Python) or `plugin.js` (JavaScript)".to_owned()
        })
    }

    /// True for a file whose change means a build, by its extension. cargo-component writes bindings while it builds: what
    /// they come from is a source.
    pub(in crate::cli) fn is_source_file(path: &Path) -> bool {
        let mut extensions = Self::ALL.into_iter().flat_map(Self::extensions).copied().chain(["wit"]);
        let is_known = path.extension().is_some_and(|extension| extensions.any(|known| extension == known));
        is_known && !path.ends_with("src/bindings.rs")
    }

    /// The extensions of its files, beside those of WIT.
    const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &rust::EXTENSIONS,
            Self::Python => &python::EXTENSIONS,
            Self::JavaScript => &javascript::EXTENSIONS,
        }
    }

    /// The program that makes components of it.
    const fn toolchain(self) -> Toolchain {
        match self {
            Self::Rust => rust::TOOLCHAIN,
            Self::Python => python::TOOLCHAIN,
            Self::JavaScript => javascript::TOOLCHAIN,
        }
    }

    /// Finds the program that builds the source in this folder.
    pub(super) async fn find_tool(self, directory: &Path) -> Result<Tool, BuildError> {
        let tool = self.toolchain().find(directory).await?;
        if self == Self::Rust {
            rust::require_cargo_component(&tool, directory).await?;
        }
        Ok(tool)
    }

    /// Builds a source of this language below `target_dir`, and returns the component's file. `wit` is none if it could
    /// not be read.
    pub(super) async fn build(
        self,
        tool: &Tool,
        folder: &Folder,
        wit: Option<&Wit>,
        names: FunctionNames,
        target_dir: &Path,
    ) -> Result<PathBuf, BuildError> {
        match self {
            Self::Rust => rust::build(tool, folder, names, target_dir).await,
            Self::Python => python::build(tool, folder, wit, target_dir).await,
            Self::JavaScript => javascript::build(tool, folder, wit, target_dir).await,
        }
    }

    /// Advice to the author of a component that was just made.
    pub(super) fn advice(self, component: &[u8]) -> Option<String> {
        match self {
            Self::Rust => stack_size::advice(component),
            Self::Python | Self::JavaScript => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_tells_its_language_by_its_files() {
        let cases: [(&[&str], Option<Language>); 9] = [
            (&["Cargo.toml", "src/lib.rs"], Some(Language::Rust)),
            (&["Cargo.toml", "wit/world.wit", "app.py"], Some(Language::Rust)),
            (&["wit/world.wit", "app.py"], Some(Language::Python)),
            (&["wit/world.wit", "plugin.js"], Some(Language::JavaScript)),
            (&["wit/world.wit", "package.json", "src/main.mjs"], Some(Language::JavaScript)),
            (&["wit/world.wit", "package.json"], None),
            (&["app.py"], None),
            (&["plugin.js"], None),
            (&["wit/world.wit"], None),
        ];
        for (files, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, if *file == "package.json" { r#"{"main": "src/main.mjs"}"# } else { "" }).unwrap();
            }
            assert_eq!(Language::of(dir.path()), expected, "{files:?}");
        }
    }

    #[test]
    fn a_folder_that_is_nearly_a_source_is_told_what_it_lacks() {
        let cases: [(&[&str], &str); 7] = [
            (&["wit/world.wit"], "`app.py` (Python)"),
            (&["wit/world.wit", "main.go"], "`app.py` (Python)"),
            (&["wit/world.wit", "package.json"], "`src/main.mjs`, which is the module of its `package.json`"),
            (&["app.py"], "`wit/`"),
            (&["plugin.js"], "`wit/`"),
            (&["readme.md", "wit/readme.md"], ""),
            (&["data.json"], ""),
        ];
        for (files, lacks) in cases {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, if *file == "package.json" { r#"{"main": "src/main.mjs"}"# } else { "" }).unwrap();
            }
            let said = Language::lacks(dir.path()).unwrap_or_default();
            assert!(said.contains(lacks) && said.is_empty() == lacks.is_empty(), "{files:?}: {said}");
        }
    }
}
