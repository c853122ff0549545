//! Rust, by cargo or cargo-component: a crate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::cli::build::error::{BuildError, TARGET, TargetError};
use crate::cli::build::folder::Folder;
use crate::cli::build::options::FunctionNames;
use crate::cli::build::toolchain::{Tool, Toolchain};
use crate::cli::output;

/// The files whose change means a build, beside those of WIT.
pub(super) const EXTENSIONS: [&str; 2] = ["rs", "toml"];

/// The program that makes components of it.
pub(super) const TOOLCHAIN: Toolchain =
    Toolchain { program: "cargo", local: None, install: |_| "get Rust from https://rustup.rs".to_owned() };

/// True for a folder with the sources of such a plugin.
pub(super) fn is_source(directory: &Path) -> bool {
    directory.join("Cargo.toml").is_file()
}

/// True for a crate that wants bindings that only cargo-component writes.
fn needs_cargo_component(directory: &Path) -> bool {
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let metadata = manifest.get("package").and_then(|package| package.get("metadata"));
    let is_component = metadata.is_some_and(|metadata| metadata.get("component").is_some());
    let source = fs::read_to_string(directory.join("src/lib.rs")).unwrap_or_default();
    is_component && source.lines().any(|line| line.trim_start().starts_with("mod bindings"))
}

/// Fails if the crate wants cargo-component and there is none.
pub(super) async fn require_cargo_component(cargo: &Tool, directory: &Path) -> Result<(), BuildError> {
    if !needs_cargo_component(directory) {
        return Ok(());
    }
    let asked = Command::new(&cargo.program).args(["component", "--version"]).stdin(Stdio::null()).output().await;
    let output = asked.map_err(|error| BuildError::Start { program: cargo.program.clone(), source: error })?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() {
        Ok(())
    } else if said.contains("no such command") {
        let install = "run `cargo install cargo-component`".to_owned();
        Err(BuildError::Missing { program: "cargo-component", install })
    } else {
        Err(BuildError::Broken { program: "cargo component".into(), said })
    }
}

/// A message of cargo about an artifact, one JSON object per line (`--message-format=json`).
#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    manifest_path: Option<PathBuf>,
}

/// Runs cargo, which knows itself what has changed, and returns the component that it made.
pub(super) async fn build(
    tool: &Tool,
    folder: &Folder,
    names: FunctionNames,
    target_dir: &Path,
) -> Result<PathBuf, BuildError> {
    require_target().await?;
    let manifest = folder.directory.join("Cargo.toml");
    let mut command = Command::new(&tool.program);
    if needs_cargo_component(&folder.directory) {
        command.args(["component", "build", "--release"]);
    } else {
        command.args(["build", "--release", "--target", TARGET]);
    }
    if names == FunctionNames::Keep {
        // A key of the profile, and not a flag: those that the author has set stay as they are.
        command.env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    }
    command
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let not_started = |error| BuildError::Start { program: tool.program.clone(), source: error };
    let mut child = command.spawn().map_err(not_started)?;
    let own = fs::canonicalize(&manifest).map_err(BuildError::io(&manifest))?;
    let mut component = None;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(message) = serde_json::from_str::<CargoMessage>(&line) else { continue };
            let is_ours =
                message.manifest_path.is_some_and(|path| fs::canonicalize(path).is_ok_and(|path| path == own));
            if message.reason == "compiler-artifact" && is_ours {
                let mut wasm =
                    message.filenames.into_iter().filter(|file| file.extension().is_some_and(|it| it == "wasm"));
                component = wasm.next().or(component);
            }
        }
    }
    let status = child.wait().await.map_err(not_started)?;
    if !status.success() {
        return Err(BuildError::Reported { program: tool.program.clone() });
    }
    component.ok_or(BuildError::NoComponent)
}

/// Adds the target for components if it is missing. Once it is there it stays for as long as this process runs.
async fn require_target() -> Result<(), TargetError> {
    static TARGET_IS_THERE: OnceCell<()> = OnceCell::const_new();
    TARGET_IS_THERE.get_or_try_init(add_target).await.copied()
}

/// Has rustup add the target for components, unless rustc has it already.
async fn add_target() -> Result<(), TargetError> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output().await;
    let libraries = libraries.map_err(|_| TargetError::NoRust)?;
    if Path::new(String::from_utf8_lossy(&libraries.stdout).trim()).is_dir() {
        return Ok(());
    }
    output::note(&format!("adding the target {TARGET}"));
    let added = Command::new("rustup").args(["target", "add", TARGET]).status().await;
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(TargetError::Refused),
        Err(_) => Err(TargetError::NoRustup),
    }
}
