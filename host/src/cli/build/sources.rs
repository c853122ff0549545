//! The sources of plugins in a plugins directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::folder::{Folder, is_output};
use super::language::Language;
use crate::config::Config;

/// A folder of the plugins directory from which a plugin can be built.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Source {
    pub(in crate::cli) folder: Folder,
    pub(super) language: Language,
}

/// A folder that looks like the source of a plugin, and lacks a part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct IncompleteSource {
    pub(in crate::cli) name: String,
    pub(in crate::cli) lacks: String,
}

/// The reason for which no sources can be chosen.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SourcesError {
    #[error("plugins directory `{}` cannot be read: {source}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("no sources of a plugin `{name}` in `{}`: there {}", directory.display(), names(.known))]
    Unknown { name: String, directory: PathBuf, known: Vec<String> },
    #[error("`{}` is no source of a plugin: it lacks {lacks}", directory.display())]
    IncompleteSource { directory: PathBuf, lacks: String },
}

/// The end of a sentence that lists the plugins with sources.
fn names(names: &[String]) -> String {
    if names.is_empty() { "are none".to_owned() } else { format!("are those of {}", names.join(", ")) }
}

impl Source {
    /// The source in this folder, if it is one.
    fn open(directory: PathBuf) -> Option<Self> {
        let language = Language::of(&directory)?;
        let name = directory.file_name()?.to_str()?.to_owned();
        Some(Self { folder: Folder { name, directory }, language })
    }
}

/// All files below a source's folder, except those that builds leave there. What cannot be read is left out.
pub(in crate::cli) fn files(directory: &Path) -> Vec<PathBuf> {
    super::incremental::files(directory).unwrap_or_default()
}

/// All sources in the plugins directory, ordered by name, whatever their state: the toolchain reports faults.
pub(in crate::cli) fn all(plugins_dir: &Path) -> Result<Vec<Source>, SourcesError> {
    let failed = |source| SourcesError::Directory { path: plugins_dir.to_owned(), source };
    let mut sources = Vec::new();
    for entry in fs::read_dir(plugins_dir).map_err(failed)? {
        sources.extend(Source::open(entry.map_err(failed)?.path()));
    }
    sources.sort_by(|a, b| a.folder.name.cmp(&b.folder.name));
    Ok(sources)
}

/// The folders of the plugins directory that are nearly sources, ordered by name, except those of disabled plugins.
pub(in crate::cli) fn incomplete(config: &Config) -> Vec<IncompleteSource> {
    let entries = fs::read_dir(&config.plugins.dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = entries.filter(|path| path.is_dir() && !is_output(path) && Language::of(path).is_none());
    let mut incomplete: Vec<IncompleteSource> = folders
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some(IncompleteSource { lacks: Language::lacks(&path)?, name })
        })
        .filter(|folder| config.plugin(&folder.name).enabled)
        .collect();
    incomplete.sort();
    incomplete
}

/// The sources with these names, or all that are not disabled.
pub(in crate::cli) fn choose(config: &Config, names: &[String]) -> Result<Vec<Source>, SourcesError> {
    let directory = &config.plugins.dir;
    let sources = all(directory)?;
    if names.is_empty() {
        return Ok(sources.into_iter().filter(|source| config.plugin(&source.folder.name).enabled).collect());
    }
    let chosen = names.iter().map(|name| {
        let found = sources.iter().find(|source| source.folder.name == *name).cloned();
        found.ok_or_else(|| {
            let folder = directory.join(name);
            match Language::lacks(&folder) {
                Some(lacks) => SourcesError::IncompleteSource { directory: folder, lacks },
                None => SourcesError::Unknown {
                    name: name.clone(),
                    directory: directory.clone(),
                    known: sources.iter().map(|source| source.folder.name.clone()).collect(),
                },
            }
        })
    });
    chosen.collect()
}
