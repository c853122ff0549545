//! Changed copies of a folder of WIT, for toolchains that need it otherwise than its author wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::build::error::BuildError;

/// Copies a folder of WIT to one below `copies`, with these texts in place of files or beside them, by their paths in the
/// folder. Returns the copy, which is called `wit` like every folder of WIT.
pub(in crate::cli::build) fn make(
    from: &Path,
    changes: &BTreeMap<PathBuf, String>,
    copies: &Path,
) -> Result<PathBuf, BuildError> {
    let mut texts = BTreeMap::new();
    for file in files_below(from).map_err(BuildError::io(from))? {
        let text = fs::read(&file).map_err(BuildError::io(&file))?;
        texts.insert(file.strip_prefix(from).unwrap_or(&file).to_owned(), text);
    }
    texts.extend(changes.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())));
    // Named by all that is in it, so that a copy that is made again is the same.
    let mut hasher = blake3::Hasher::new();
    for (path, text) in &texts {
        hasher.update(blake3::hash(path.as_os_str().as_encoded_bytes()).as_bytes());
        hasher.update(blake3::hash(text).as_bytes());
    }
    let copy = copies.join(hasher.finalize().to_hex().as_str());
    for (path, text) in &texts {
        let to = copy.join("wit").join(path);
        to.parent().map_or(Ok(()), fs::create_dir_all).map_err(BuildError::io(&to))?;
        fs::write(&to, text).map_err(BuildError::io(&to))?;
    }
    // Copies of earlier texts are of no use any more.
    for older in fs::read_dir(copies).into_iter().flatten().flatten().filter(|entry| entry.path() != copy) {
        let _ = fs::remove_dir_all(older.path());
    }
    Ok(copy.join("wit"))
}

fn files_below(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}
