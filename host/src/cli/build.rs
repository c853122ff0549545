//! `tinymcp build`: from plugin crates to components in the plugins directory.

pub(super) mod crates;
mod wit_section;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use self::crates::PluginCrate;
use super::{ConfigArguments, Failure, output, runtime, wait};
use crate::config::Config;

/// The target whose linker makes components directly.
const TARGET: &str = "wasm32-wasip2";

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugins to build [default: all crates of the plugins directory that are not disabled]
    names: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.look()?;
    wait::require_directory(&config)?;
    let crates = crates::choose(&config, &arguments.names).map_err(Failure::start)?;
    if crates.is_empty() {
        output::note(&format!(
            "no plugin crates in `{}`: make one with `tinymcp new NAME`",
            config.plugins.dir.display()
        ));
    }
    runtime()?.block_on(async {
        require_target().await.map_err(Failure::start)?;
        if build_all(&config, &crates).await { Ok(()) } else { Err(Failure::Silent) }
    })
}

/// Builds these crates, one after the other; the one that fails is reported and does not stop the others.
/// Returns whether all were built.
pub(super) async fn build_all(config: &Config, crates: &[PluginCrate]) -> bool {
    let mut all_built = true;
    for (index, plugin) in crates.iter().enumerate() {
        let started = Instant::now();
        output::note(&format!("{} {} ({}/{})", output::dim("building"), plugin.name, index + 1, crates.len()));
        match build(&config.plugins.dir, plugin).await {
            Ok(built) => {
                let what = if built.is_new { "built" } else { "unchanged" };
                let seconds = started.elapsed().as_secs_f32();
                output::note(&format!("{} {} in {seconds:.1} s", output::good(what), built.path.display()));
            }
            Err(error) => {
                output::error(&format!("plugin `{}` not built: {error}", plugin.name));
                all_built = false;
            }
        }
    }
    all_built
}

/// A component that was put into the plugins directory.
struct Built {
    path: PathBuf,
    /// Whether it differs from what was there.
    is_new: bool,
}

#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error("cargo cannot be started: {0}: install Rust from https://rustup.rs")]
    NoCargo(std::io::Error),
    #[error("cargo reported errors, see above")]
    Cargo,
    #[error("the crate gives no component: its `Cargo.toml` needs `crate-type = [\"cdylib\"]` in `[lib]`")]
    NoComponent,
    #[error("`{}`: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// What cargo says of each artifact, one JSON object per line (`--message-format=json`).
#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    manifest_path: Option<PathBuf>,
}

async fn build(plugins_dir: &Path, plugin: &PluginCrate) -> Result<Built, BuildError> {
    let artifact = cargo(plugins_dir, plugin).await?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io { path, source }
    };
    let mut component = std::fs::read(&artifact).map_err(io(&artifact))?;
    wit_section::add(&mut component, &plugin.directory);
    let path = plugins_dir.join(format!("{}.wasm", plugin.name));
    if std::fs::read(&path).is_ok_and(|old| old == component) {
        return Ok(Built { path, is_new: false });
    }
    // A running server must never see half a file.
    let draft = plugins_dir.join(format!(".{}.wasm.draft", plugin.name));
    std::fs::write(&draft, component).and_then(|()| std::fs::rename(&draft, &path)).map_err(io(&path))?;
    Ok(Built { path, is_new: true })
}

/// Runs cargo, and returns the component that it made.
async fn cargo(plugins_dir: &Path, plugin: &PluginCrate) -> Result<PathBuf, BuildError> {
    let mut command = Command::new("cargo");
    if plugin.needs_cargo_component {
        command.args(["component", "build", "--release"]);
    } else {
        command.args(["build", "--release", "--target", TARGET]);
    }
    command
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(plugin.directory.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(plugins_dir.join("target"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(BuildError::NoCargo)?;
    let mut component = None;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(message) = serde_json::from_str::<CargoMessage>(&line) else { continue };
            let is_ours = message.manifest_path.as_deref().is_some_and(|path| plugin.is_manifest(path));
            if message.reason == "compiler-artifact" && is_ours {
                let mut wasm =
                    message.filenames.into_iter().filter(|file| file.extension().is_some_and(|it| it == "wasm"));
                component = wasm.next().or(component);
            }
        }
    }
    let status = child.wait().await.map_err(BuildError::NoCargo)?;
    if !status.success() {
        return Err(BuildError::Cargo);
    }
    component.ok_or(BuildError::NoComponent)
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("no Rust toolchain: install it from https://rustup.rs")]
    NoRust,
    #[error(
        "the target {TARGET} is missing and there is no rustup to add it: install it the way this Rust was installed"
    )]
    NoRustup,
    #[error("rustup could not add the target {TARGET}, see above")]
    Refused,
}

/// Adds the target for components if it is missing.
pub(super) async fn require_target() -> Result<(), TargetError> {
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
