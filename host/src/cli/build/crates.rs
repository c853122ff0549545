//! The plugin crates of a plugins directory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// A directory with a `Cargo.toml` in the plugins directory.
#[derive(Debug, Clone)]
pub(in crate::cli) struct PluginCrate {
    /// The directory's name, which becomes the plugin's.
    pub(in crate::cli) name: String,
    pub(in crate::cli) directory: PathBuf,
    /// The crate wants bindings that only cargo-component writes.
    pub(super) needs_cargo_component: bool,
}

/// Why the crates to build cannot be told.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CratesError {
    #[error("plugins directory `{}` cannot be read: {source}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("no plugin crate `{name}` in `{}`: there {}", directory.display(), names(.known))]
    Unknown { name: String, directory: PathBuf, known: Vec<String> },
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "is none".to_owned() } else { format!("are {}", names.join(", ")) }
}

impl PluginCrate {
    fn open(directory: PathBuf) -> Option<Self> {
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).ok()?;
        let manifest: toml::Table = manifest.parse().unwrap_or_default();
        let metadata = manifest.get("package").and_then(|package| package.get("metadata"));
        let is_component = metadata.is_some_and(|metadata| metadata.get("component").is_some());
        let source = fs::read_to_string(directory.join("src/lib.rs")).unwrap_or_default();
        let wants_bindings = source.lines().any(|line| line.trim_start().starts_with("mod bindings"));
        let needs_cargo_component = is_component && wants_bindings;
        let name = directory.file_name()?.to_str()?.to_owned();
        Some(Self { name, directory, needs_cargo_component })
    }

    /// Whether cargo means this crate by the path of a manifest.
    pub(super) fn is_manifest(&self, path: &Path) -> bool {
        let own = fs::canonicalize(self.directory.join("Cargo.toml")).ok();
        own.is_some() && fs::canonicalize(path).ok() == own
    }
}

/// All crates of the plugins directory, ordered by name, whatever their state: a broken manifest is cargo's to report.
pub(in crate::cli) fn all(plugins_dir: &Path) -> Result<Vec<PluginCrate>, CratesError> {
    let failed = |source| CratesError::Directory { path: plugins_dir.to_owned(), source };
    let mut crates = Vec::new();
    for entry in fs::read_dir(plugins_dir).map_err(failed)? {
        crates.extend(PluginCrate::open(entry.map_err(failed)?.path()));
    }
    crates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(crates)
}

/// The crates with these names, or all that are not disabled.
pub(in crate::cli) fn choose(config: &Config, names: &[String]) -> Result<Vec<PluginCrate>, CratesError> {
    let directory = &config.plugins.dir;
    let crates = all(directory)?;
    if names.is_empty() {
        return Ok(crates.into_iter().filter(|plugin| config.plugin(&plugin.name).enabled).collect());
    }
    let chosen = names.iter().map(|name| {
        crates.iter().find(|plugin| plugin.name == *name).cloned().ok_or_else(|| CratesError::Unknown {
            name: name.clone(),
            directory: directory.clone(),
            known: crates.iter().map(|plugin| plugin.name.clone()).collect(),
        })
    });
    chosen.collect()
}
