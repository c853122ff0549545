//! HTTP for languages whose own way to it does not lead through `wasi:http`: a shim that the build puts before the plugin.
//!
//! A source that uses `fetch` or `urllib.request` is built as it is, and the same source runs outside of a component. Its
//! world imports what the shim calls, in a copy of its WIT. A plugin whose WIT has `wasi:http` deals with it by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::build::error::BuildError;
use crate::cli::build::folder::Folder;
use crate::cli::build::incremental;
use crate::cli::build::wit::{self, Wit, copy, hint};

/// The version of WASI in these texts.
const VERSION: &str = "@0.2.9";

/// The packages of WASI that the shims call.
const PACKAGES: [(&str, &str); 3] = [
    ("clocks", include_str!("wasi_http/clocks.wit")),
    ("http", include_str!("wasi_http/http.wit")),
    ("io", include_str!("wasi_http/io.wit")),
];

/// A version that nothing has, of the same length.
///
/// componentize-qjs 0.4 runs a module while it builds it, with WASI behind some of its imports and nothing behind others.
/// It cannot bring the two together: of `wasi:http` it knows the functions, and not that their streams are those of
/// `wasi:io`. What it has never heard of has nothing behind it at all, and fits together.
const UNKNOWN_VERSION: &str = "@9.2.9";

/// `fetch`, for engines of JavaScript without it.
const FETCH: &str = include_str!("wasi_http/fetch.js");

/// An opener for `urllib.request`.
const URLLIB: &str = include_str!("wasi_http/urllib.py");

/// The module that componentize-py is given instead of `app`: it stands for `app`, once the opener is there.
const PYTHON_ENTRY: &str = "import sys\n\nimport tinymcp_urllib\n\nimport app\n\nsys.modules[__name__] = app\n";

/// A plugin in Python, with its shim.
pub(super) struct Python {
    /// The WIT that it is built by.
    pub(super) wit: PathBuf,
    /// The folder of [`Self::MODULE`].
    pub(super) path: PathBuf,
}

/// A plugin in JavaScript, with its shim.
pub(super) struct JavaScript {
    /// The WIT that it is built by.
    pub(super) wit: PathBuf,
    /// The module that it is built from.
    pub(super) module: PathBuf,
    /// The files that are in its folder for as long as it is built.
    _drafts: Drafts,
}

impl Python {
    /// The module that stands for the plugin's.
    pub(super) const MODULE: &str = "tinymcp_entry";

    /// Prepares a plugin that uses `urllib.request`; none for another one.
    pub(super) fn prepare(folder: &Folder, wit: &Wit, target_dir: &Path) -> Result<Option<Self>, BuildError> {
        let is_user = |text: &str| text.contains("urllib") && text.contains("request");
        if !uses(&folder.directory, &["py"], is_user)? {
            return Ok(None);
        }
        let own = folder.directory.join("wit");
        let copies = target_dir.join("http").join(&folder.name);
        let Some(wit) = with_http(wit, &own, &copies, VERSION)? else { return Ok(None) };
        let path = wit.with_file_name("python");
        fs::create_dir_all(&path).map_err(BuildError::io(&path))?;
        for (module, text) in [(Self::MODULE, PYTHON_ENTRY), ("tinymcp_urllib", URLLIB)] {
            let file = path.join(module).with_extension("py");
            fs::write(&file, text).map_err(BuildError::io(&file))?;
        }
        Ok(Some(Self { wit, path }))
    }
}

impl JavaScript {
    /// Prepares a plugin that uses `fetch`; none for another one. `own` is the WIT that it would be built by.
    pub(super) fn prepare(
        folder: &Folder,
        module: &Path,
        (wit, own): (&Wit, &Path),
        target_dir: &Path,
    ) -> Result<Option<Self>, BuildError> {
        if !uses(&folder.directory, &["js", "mjs", "ts"], |text| names(text, "fetch"))? {
            return Ok(None);
        }
        let copies = target_dir.join("http").join(&folder.name);
        let Some(wit) = with_http(wit, own, &copies, UNKNOWN_VERSION)? else { return Ok(None) };
        // A module can import only from its own folder and below, so that the shim has to be there. The names are hidden
        // and of this process: `dev` looks at none of them, and may run beside `build`.
        let directory = module.parent().unwrap_or(&folder.directory);
        let name = |part: &str| format!(".tinymcp-{}-{part}", std::process::id());
        let (shim, entry) = (name("fetch"), name("entry"));
        let own = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let [shim_import, own_import] = [&shim, &own].map(|name| serde_json::Value::from(format!("./{name}")));
        let mut drafts = Drafts(Vec::new());
        drafts.write(directory.join(&shim), &FETCH.replace(VERSION, UNKNOWN_VERSION))?;
        drafts.write(directory.join(&entry), &format!("import {shim_import};\nexport * from {own_import};\n"))?;
        Ok(Some(Self { wit, module: directory.join(entry), _drafts: drafts }))
    }

    /// Gives the imports of the shim their own version.
    pub(super) fn finish(component: &mut [u8]) {
        for range in import_sections(component) {
            let section = &mut component[range];
            for start in 0..section.len() {
                if section[start..].starts_with(UNKNOWN_VERSION.as_bytes()) {
                    section[start..start + VERSION.len()].copy_from_slice(VERSION.as_bytes());
                }
            }
        }
    }
}

/// Files that are removed in the end.
struct Drafts(Vec<PathBuf>);

impl Drafts {
    fn write(&mut self, file: PathBuf, text: &str) -> Result<(), BuildError> {
        let written = fs::write(&file, text).map_err(BuildError::io(&file));
        self.0.push(file);
        written
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = fs::remove_file(file);
        }
    }
}

/// Tells whether a source file of the plugin's own uses something.
fn uses(directory: &Path, extensions: &[&str], is_user: impl Fn(&str) -> bool) -> Result<bool, BuildError> {
    let files = incremental::files(directory).map_err(BuildError::io(directory))?;
    let mut sources =
        files.iter().filter(|file| file.extension().is_some_and(|it| extensions.iter().any(|of| it == *of)));
    Ok(sources.any(|file| fs::read_to_string(file).is_ok_and(|text| is_user(&text))))
}

/// Tells whether a word stands in a text, and not only as a part of another one.
fn names(text: &str, word: &str) -> bool {
    let continues = |char: char| char.is_alphanumeric() || char == '_' || char == '$';
    text.match_indices(word)
        .any(|(start, _)| !text[..start].ends_with(continues) && !text[start + word.len()..].starts_with(continues))
}

/// A copy of the WIT whose world imports `wasi:http`; none if the author's text has that package, or no single world.
fn with_http(wit: &Wit, own: &Path, copies: &Path, version: &str) -> Result<Option<PathBuf>, BuildError> {
    let packages = &wit.resolve.package_names;
    if packages.keys().any(|package| package.namespace == "wasi" && package.name == "http") {
        return Ok(None);
    }
    let Some(world) = wit.world() else { return Ok(None) };
    for file in wit::files_in(own) {
        let text = fs::read_to_string(&file).map_err(BuildError::io(&file))?;
        let tokens = hint::tokens(&text);
        let Some(start) = wit::start_of_world(&text, &tokens, &world.name) else { continue };
        let (before, after) = text.split_at(tokens[start + 2].end);
        let changed = format!("{before}\n    import wasi:http/outgoing-handler{version};{after}");
        let mut changes = BTreeMap::from([(file.strip_prefix(own).unwrap_or(&file).to_owned(), changed)]);
        for (name, text) in PACKAGES {
            let is_there = |package: &&wit_parser::PackageName| {
                let named = package.version.as_ref().map(|version| format!("@{version}"));
                package.namespace == "wasi" && package.name == name && named.as_deref() == Some(version)
            };
            if !packages.keys().any(|package| is_there(&package)) {
                let path = Path::new("deps").join(format!("tinymcp-shim-{name}")).join("package.wit");
                changes.insert(path, text.replace(VERSION, version));
            }
        }
        return copy::make(own, &changes, copies).map(Some);
    }
    Ok(None)
}

/// The import sections of a component itself, and not of what is in it.
fn import_sections(component: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut sections, mut depth) = (Vec::new(), 0_usize);
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload {
            Ok(wasmparser::Payload::ComponentImportSection(section)) if depth == 0 => sections.push(section.range()),
            Ok(wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. }) => depth += 1,
            Ok(wasmparser::Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            // What is not valid is said when it is validated.
            Err(_) => return Vec::new(),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("sky");
        for (file, text) in files {
            let path = directory.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (dir, Folder { name: "sky".to_owned(), directory })
    }

    const WORLD: &str = "package local:sky;\nworld sky { // import {\n  export look: func() -> string;\n}\n";

    #[test]
    fn a_source_that_uses_http_gets_a_world_with_it() {
        let (dir, folder) = source(&[("wit/world.wit", WORLD), ("app.py", "import urllib.request\n")]);
        let wit = Wit::read(&folder.directory).unwrap_or_else(|error| panic!("{error}")).unwrap();
        let prepared = Python::prepare(&folder, &wit, &dir.path().join("target")).unwrap().unwrap();
        let read = Wit::read(prepared.wit.parent().unwrap()).unwrap_or_else(|error| panic!("{error}")).unwrap();
        let imports: Vec<String> =
            read.world().unwrap().imports.keys().map(|key| read.resolve.name_world_key(key)).collect();
        assert!(imports.contains(&"wasi:http/outgoing-handler@0.2.9".to_owned()), "{imports:?}");
        assert!(prepared.path.join("tinymcp_entry.py").is_file() && prepared.path.join("tinymcp_urllib.py").is_file());
        assert_eq!(fs::read_to_string(folder.directory.join("wit/world.wit")).unwrap(), WORLD, "the author's stays");
    }

    #[test]
    fn the_files_of_a_javascript_build_are_gone_after_it() {
        let module = "export const look = () => fetch('https://example.com');\n";
        let (dir, folder) = source(&[("wit/world.wit", WORLD), ("plugin.js", module)]);
        let wit = Wit::read(&folder.directory).unwrap_or_else(|error| panic!("{error}")).unwrap();
        let own = folder.directory.join("wit");
        let file = folder.directory.join("plugin.js");
        let prepared = JavaScript::prepare(&folder, &file, (&wit, &own), dir.path()).unwrap().unwrap();
        let entry = fs::read_to_string(&prepared.module).unwrap();
        assert!(entry.ends_with("export * from \"./plugin.js\";\n"), "{entry}");
        assert_eq!(fs::read_dir(&folder.directory).unwrap().count(), 4);
        drop(prepared);
        assert_eq!(fs::read_dir(&folder.directory).unwrap().count(), 2);
    }

    #[test]
    fn other_sources_are_built_as_they_are() {
        let own = "package local:sky;\nworld sky {\n  import wasi:http/types@0.2.1;\n}\n";
        let types = "package wasi:http@0.2.1;\ninterface types {}\n";
        for files in [
            &[("wit/world.wit", WORLD), ("app.py", "import json\n"), (".venv/x.py", "import urllib.request\n")][..],
            &[("wit/world.wit", own), ("wit/deps/http/types.wit", types), ("app.py", "from urllib import request\n")],
        ] {
            let (dir, folder) = source(files);
            let wit = Wit::read(&folder.directory).unwrap_or_else(|error| panic!("{error}")).unwrap();
            assert!(Python::prepare(&folder, &wit, dir.path()).unwrap().is_none(), "{files:?}");
        }
        for (text, is_named) in
            [("prefetch(x)", false), ("await fetch(u)", true), ("globalThis.fetch", true), ("", false)]
        {
            assert_eq!(names(text, "fetch"), is_named, "{text}");
        }
    }

    #[test]
    fn only_names_of_imports_get_the_version() {
        let instance = "(instance (export \"f\" (func)))";
        let text = format!(
            "(component (import \"wasi:http/types@9.2.9\" {instance})
                (core module (import \"wasi:http/types@9.2.9\" \"f\" (func)) (memory 1) (data (i32.const 0) \"@9.2.9\")))"
        );
        let mut component = wat::parse_str(&text).unwrap();
        JavaScript::finish(&mut component);
        assert_eq!(component, wat::parse_str(text.replacen("@9.2.9", "@0.2.9", 1)).unwrap());
    }
}
