//! JavaScript, by jco: the module that `package.json` calls `main`, or `plugin.js`, beside `wit/`.

mod exports;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use super::wasi_http;
use crate::cli::build::error::BuildError;
use crate::cli::build::folder::Folder;
use crate::cli::build::incremental;
use crate::cli::build::toolchain::{Tool, Toolchain};
use crate::cli::build::wit::Wit;
use crate::cli::output;

/// The module of a plugin that does not name another.
const MODULE: &str = "plugin.js";

/// The files whose change means a build, beside those of WIT.
pub(super) const EXTENSIONS: [&str; 4] = ["js", "mjs", "ts", "json"];

/// The program that makes components of it.
pub(super) const TOOLCHAIN: Toolchain = Toolchain {
    program: "jco",
    local: Some("node_modules/.bin/jco"),
    install: |directory| {
        let own = directory.display();
        format!("run `npm install --global @bytecodealliance/jco`, or install it in `{own}`")
    },
};

/// The part of a `package.json` that is read.
#[derive(Deserialize)]
struct Package {
    main: Option<String>,
}

/// True for a folder with the sources of such a plugin.
pub(super) fn is_source(directory: &Path) -> bool {
    module(directory).is_file() && directory.join("wit").is_dir()
}

/// The module that exports the world's functions.
fn module(directory: &Path) -> PathBuf {
    let package = fs::read(directory.join("package.json")).ok();
    let package = package.and_then(|text| serde_json::from_slice::<Package>(&text).ok());
    directory.join(package.and_then(|package| package.main).as_deref().unwrap_or(MODULE))
}

/// Names the part that such a folder lacks to be the source of a plugin.
pub(super) fn lacks(directory: &Path) -> Option<String> {
    let module = module(directory);
    let name = module.strip_prefix(directory).unwrap_or(&module).display();
    if directory.join("package.json").is_file() && !module.is_file() {
        return Some(format!("`{name}`, which is the module of its `package.json`"));
    }
    let has_module = module.is_file() || directory.join("plugin.ts").is_file();
    (has_module && !directory.join("wit").is_dir()).then(|| "`wit/`, where its world is".to_owned())
}

/// Builds the component where its sources have changed, and returns its file.
pub(super) async fn build(
    tool: &Tool,
    folder: &Folder,
    wit: Option<&Wit>,
    target_dir: &Path,
) -> Result<PathBuf, BuildError> {
    let module = module(&folder.directory);
    // jco takes a relative path twice.
    let mut module = fs::canonicalize(&module).map_err(BuildError::io(&module))?;
    let mut text = folder.directory.join("wit");
    let mut shim = None;
    if let Some(wit) = wit {
        // jco asks for a name of one, and takes it on the command line only.
        if let Some(worlds) = wit.no_single_world() {
            return Err(BuildError::Worlds(worlds));
        }
        let missing = exports::missing(&module, wit).await;
        if !missing.is_empty() {
            return Err(BuildError::Exports(missing));
        }
        for warning in world::warnings(wit) {
            output::warning(&format!("plugin `{}`: {warning}", folder.name));
        }
        text = world::prepare(wit, &folder.directory, target_dir)?;
        shim = wasi_http::JavaScript::prepare(folder, &module, (wit, &text), target_dir)?;
    }
    if let Some(shim) = &shim {
        module.clone_from(&shim.module);
        text.clone_from(&shim.wit);
    }
    let command = |out: &Path| {
        let mut command = Command::new(&tool.program);
        command.arg("componentize").arg(&module).arg("--wit").arg(text);
        // The other engine gives eight times the size, and imports that are not needed.
        command.args(["--backend", "quickjs"]).arg("--out").arg(out);
        command
    };
    incremental::make(tool, folder, target_dir, command, wasi_http::JavaScript::finish).await
}
