//! Python, by componentize-py: `app.py` with a class `WitWorld`, beside `wit/`.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::wasi_http;
use crate::cli::build::error::BuildError;
use crate::cli::build::folder::Folder;
use crate::cli::build::incremental;
use crate::cli::build::toolchain::{Tool, Toolchain};
use crate::cli::build::wit::Wit;

/// The module that has the world's functions; its name is the one in componentize-py's own examples.
const MODULE: &str = "app";

/// A virtual environment in the plugin's folder: its packages are the plugin's.
const ENVIRONMENT: &str = ".venv";

/// The files whose change means a build, beside those of WIT.
pub(super) const EXTENSIONS: [&str; 2] = ["py", "toml"];

/// The program that makes components of it.
pub(super) const TOOLCHAIN: Toolchain = Toolchain {
    program: "componentize-py",
    local: Some(".venv/bin/componentize-py"),
    install: |directory| {
        let environment = directory.join(ENVIRONMENT);
        format!("run `pip install componentize-py`, or install it into `{}`", environment.display())
    },
};

/// True for a folder with the sources of such a plugin.
pub(super) fn is_source(directory: &Path) -> bool {
    directory.join(MODULE).with_extension("py").is_file() && directory.join("wit").is_dir()
}

/// Names the part that such a folder lacks to be the source of a plugin.
pub(super) fn lacks(directory: &Path) -> Option<String> {
    let has_module = directory.join(MODULE).with_extension("py").is_file();
    (has_module && !directory.join("wit").is_dir()).then(|| "`wit/`, where its world is".to_owned())
}

/// Builds the component where its sources have changed, and returns its file.
pub(super) async fn build(
    tool: &Tool,
    folder: &Folder,
    wit: Option<&Wit>,
    target_dir: &Path,
) -> Result<PathBuf, BuildError> {
    let directory = &folder.directory;
    let shim = wit.map_or(Ok(None), |wit| wasi_http::Python::prepare(folder, wit, target_dir))?;
    let command = |out: &Path| {
        let mut command = Command::new(&tool.program);
        command.arg("--quiet").arg("--wit-path");
        match &shim {
            Some(shim) => {
                command.arg(&shim.wit).args(["componentize", wasi_http::Python::MODULE, "--python-path"]);
                command.arg(directory).arg("--python-path").arg(&shim.path)
            }
            None => command.arg(directory.join("wit")).args(["componentize", MODULE, "--python-path"]).arg(directory),
        };
        command.arg("--output").arg(out);
        let environment = directory.join(ENVIRONMENT);
        if environment.is_dir() {
            command.env("VIRTUAL_ENV", environment);
        }
        command
    };
    incremental::make(tool, folder, target_dir, command, |_| {}).await
}
