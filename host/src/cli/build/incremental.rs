//! Incremental builds with toolchains that take seconds for every build: they run only when something has changed.
//!
//! A component stays in a file that is named by a hash of everything that went into it. If the file is there, it is
//! complete and belongs to these very sources.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::error::BuildError;
use super::folder::{Folder, is_output};
use super::toolchain::Tool;

/// The version of this way of building: components of earlier ones are made again.
const RECIPE: &[u8] = b"3";

/// Returns the component of a source. If it is not there yet, the command makes it; it gets the file to write, and
/// `finish` what was written.
pub(super) async fn make(
    tool: &Tool,
    folder: &Folder,
    target_dir: &Path,
    command: impl FnOnce(&Path) -> Command,
    finish: impl FnOnce(&mut [u8]),
) -> Result<PathBuf, BuildError> {
    let fingerprint = fingerprint(tool, &folder.directory).map_err(BuildError::io(&folder.directory))?;
    let kept = target_dir.join("components").join(&folder.name);
    let component = kept.join(fingerprint).with_extension("wasm");
    if component.is_file() {
        return Ok(component);
    }
    fs::create_dir_all(&kept).map_err(BuildError::io(&kept))?;
    // Of this process: `build` and `dev` may run at once.
    let draft = component.with_extension(format!("{}.draft", std::process::id()));
    let mut command = command(&draft);
    // The standard output of a successful tool is of no interest; errors go to standard error.
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).status().await;
    let status = started.map_err(|error| BuildError::Start { program: tool.program.clone(), source: error })?;
    if !status.success() {
        return Err(BuildError::Reported { program: tool.program.clone() });
    }
    let mut bytes = fs::read(&draft).map_err(BuildError::io(&draft))?;
    finish(&mut bytes);
    fs::write(&draft, bytes).map_err(BuildError::io(&draft))?;
    fs::rename(&draft, &component).map_err(BuildError::io(&draft))?;
    remove_older(&kept, &component);
    Ok(component)
}

/// Removes components of earlier sources. A failure to remove one does not fail the build.
fn remove_older(kept: &Path, component: &Path) {
    let entries = fs::read_dir(kept).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(|path| path != component && path.extension().is_some_and(|it| it == "wasm")) {
        let _ = fs::remove_file(path);
    }
}

/// One hash over everything that goes into a component: this program, the tool, and names and contents of all files.
fn fingerprint(tool: &Tool, directory: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(blake3::hash(bytes).as_bytes());
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(RECIPE);
    add(tool.version.as_bytes());
    let mut files = files(directory)?;
    files.retain(|file| !is_of_cases(directory, file));
    files.sort();
    for file in files {
        let name = file.strip_prefix(directory).unwrap_or(&file);
        add(name.as_os_str().as_encoded_bytes());
        add(&fs::read(&file)?);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// True for the cases of `tinymcp test`, of which nothing goes into a component.
fn is_of_cases(directory: &Path, file: &Path) -> bool {
    file.parent() == Some(&directory.join("tests")) && file.extension().is_some_and(|extension| extension == "toml")
}

/// All regular files below a folder, except those that builds leave there.
pub(super) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            if is_output(&path) {
                continue;
            }
            // A link to a directory is not followed: it may lead in a circle.
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_counts_and_no_output_does() {
        let dir = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let now = |version: &str| {
            let tool = Tool { program: "tool".into(), version: version.to_owned() };
            fingerprint(&tool, dir.path()).unwrap()
        };
        put("app.py", "a");
        put("wit/world.wit", "b");
        let first = now("1");
        for output in [
            "tests/first.toml",
            "__pycache__/app.pyc",
            ".venv/bin/python",
            "node_modules/jco/x.js",
            "target/x",
            ".app.py.swp",
        ] {
            put(output, "x");
            assert_eq!(now("1"), first, "{output}");
        }
        assert_ne!(now("2"), first);
        for (file, text) in [("app.py", "ab"), ("more.py", ""), ("wit/world.wit", "")] {
            let before = now("1");
            put(file, text);
            assert_ne!(now("1"), before, "{file}");
        }
        let before = now("1");
        fs::rename(dir.path().join("more.py"), dir.path().join("most.py")).unwrap();
        assert_ne!(now("1"), before);
    }
}
