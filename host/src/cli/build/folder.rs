//! A folder of sources, whatever their language.

use std::path::{Path, PathBuf};

/// A folder of the plugins directory from which a plugin is built.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Folder {
    /// The folder's name, which becomes the plugin's.
    pub(in crate::cli) name: String,
    pub(in crate::cli) directory: PathBuf,
}

/// True for names of files and folders that toolchains and package managers leave beside sources.
pub(in crate::cli) fn is_output(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    name == "target" || name == "node_modules" || name == "__pycache__" || name.to_string_lossy().starts_with('.')
}
