//! JavaScript, by jco: the module that `package.json` calls `main`, or `plugin.js`, beside `wit/`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use super::{BuildError, Source, Tool, Toolchain};
use crate::cli::build::anew;

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

/// What is read of a `package.json`.
#[derive(Deserialize)]
struct Package {
    main: Option<String>,
}

/// Whether this folder holds the sources of such a plugin.
pub(super) fn is_source(directory: &Path) -> bool {
    module(directory).is_file() && directory.join("wit").is_dir()
}

/// The module that exports the world's functions.
fn module(directory: &Path) -> PathBuf {
    let package = fs::read(directory.join("package.json")).ok();
    let package = package.and_then(|text| serde_json::from_slice::<Package>(&text).ok());
    directory.join(package.and_then(|package| package.main).as_deref().unwrap_or(MODULE))
}

/// Builds the component where its sources have changed, and returns its file.
pub(super) async fn build(tool: &Tool, source: &Source, target_dir: &Path) -> Result<PathBuf, BuildError> {
    let module = module(&source.directory);
    // jco takes a relative path twice.
    let module = fs::canonicalize(&module).map_err(BuildError::io(&module))?;
    let command = |out: &Path| {
        let mut command = Command::new(&tool.program);
        command.arg("componentize").arg(&module).arg("--wit").arg(source.directory.join("wit"));
        // The other engine gives eight times the size, and imports that are not needed.
        command.args(["--backend", "quickjs"]).arg("--out").arg(out);
        command
    };
    anew::make(tool, source, target_dir, command).await
}
