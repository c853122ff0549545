//! What a change in the plugins directory means.

use std::path::{Component, Path, PathBuf};

use crate::cli::build::Language;
use crate::cli::build::folder::is_output;
use crate::cli::test;

/// The meaning of an event in the plugins directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourceChange {
    /// A source of this plugin changed.
    Source(String),
    /// Cases of this plugin changed.
    Cases(String),
    /// Everything is to be built, changed or not.
    All,
    /// The cases of all plugins are to be run.
    AllCases,
    /// Directories came or went; there may be a new plugin among them.
    Directories,
}

impl SourceChange {
    /// The meaning of an event at this path; none for what is no source.
    pub(super) fn of(root: &Path, path: &Path) -> Option<Self> {
        let inner = path.strip_prefix(root).ok()?;
        let mut parts = inner.components();
        let Some(Component::Normal(name)) = parts.next() else { return None };
        let rest: PathBuf = parts.collect();
        if is_output(Path::new(name)) || rest.components().any(|part| is_output(part.as_ref())) {
            return None;
        }
        // The folder itself: it came, or another one took its place.
        if rest.as_os_str().is_empty() && path.extension().is_none() {
            return Some(Self::Source(name.to_string_lossy().into_owned()));
        }
        if path.extension().is_none() {
            return Some(Self::Directories);
        }
        // Cases, and the files of their folders.
        if rest.starts_with(test::FOLDER) {
            return Some(Self::Cases(name.to_string_lossy().into_owned()));
        }
        (Language::is_source_file(path) && !rest.as_os_str().is_empty())
            .then(|| Self::Source(name.to_string_lossy().into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_mean_a_build() {
        let root = Path::new("/plugins");
        let source = |name: &str| Some(SourceChange::Source(name.to_owned()));
        let cases = [
            ("/plugins/add/src/lib.rs", source("add")),
            ("/plugins/add/wit/world.wit", source("add")),
            ("/plugins/add/Cargo.toml", source("add")),
            ("/plugins/mean/app.py", source("mean")),
            ("/plugins/slug/plugin.js", source("slug")),
            ("/plugins/slug/package.json", source("slug")),
            ("/plugins/new-one", source("new-one")),
            ("/plugins/add/tests/first.toml", Some(SourceChange::Cases("add".to_owned()))),
            ("/plugins/add/tests/data/a.json", Some(SourceChange::Cases("add".to_owned()))),
            ("/plugins/add/tests/.first.toml", None),
            ("/plugins/new-one/src", Some(SourceChange::Directories)),
            ("/plugins/add/src/bindings.rs", None),
            ("/plugins/add/src/.lib.rs.swp", None),
            ("/plugins/add/target/debug/x.rs", None),
            ("/plugins/mean/.venv/lib/x.py", None),
            ("/plugins/mean/__pycache__/app.pyc", None),
            ("/plugins/slug/node_modules/jco/x.js", None),
            ("/plugins/target/release/x.rs", None),
            ("/plugins/add.wasm", None),
            ("/elsewhere/add/src/lib.rs", None),
        ];
        for (path, expected) in cases {
            assert_eq!(SourceChange::of(root, Path::new(path)), expected, "{path}");
        }
    }
}
