//! `tinymcp backup`: the state directory in one archive, while the server goes on.
//!
//! The databases are copied as of one moment each, by the server that has them. Everything else is small and replaced
//! whole. The archive is a plain tar, so that a restore needs nothing of this program.

mod tar;

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use self::tar::Archive;
use super::operator::{Reached, reached};
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::clock::now_s;
use crate::operator::request::SnapshotFile;
use crate::operator::{Answer, Request};
use crate::state::files::{FILES, InBackup, Kind};

/// The file in the archive that says what it is.
const ABOUT: &str = "backup.json";

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The archive to write, for its owner only; `-` for standard output
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, file, force, json } = arguments;
    let is_output = file.as_os_str() == "-";
    if is_output && io::stdout().is_terminal() {
        return Err(Failure::start(
            "an archive with keys is nothing for a terminal: name a file, or a program behind `|`",
        ));
    }
    if is_output && json {
        return Err(Failure::start("standard output is the archive: leave out `--json`"));
    }
    let directory = config.clone().look()?.state.dir;
    if !is_output {
        require_place(&file, &directory, force)?;
    }
    runtime()?.block_on(reached(config, async |reached| {
        let take = |answer| match answer {
            Answer::Snapshot { directory, files } => Some((directory, files)),
            _ => None,
        };
        let (copies, files) = reached.expect(Request::Snapshot, take).await?;
        // Removed in any case: they are as large as what they are copies of.
        let copies = Copies(copies);
        let packed = if is_output {
            pack(&directory, &copies, &files, io::stdout().lock()).map(drop)
        } else {
            write(&file, |archive| pack(&directory, &copies, &files, archive))
        };
        packed.map_err(|error| Failure::failed(format!("backup not written to `{}`: {error}", file.display())))?;
        let has_key = directory.join("key").exists();
        if json {
            let (state, served) = (directory.display().to_string(), reached.is_served());
            output::json(&json!({
                "file": file.display().to_string(), "state": state, "whileServing": served, "hasRootKey": has_key,
            }));
            return Ok(());
        }
        say(reached, &directory, (!is_output).then_some(&*file), has_key);
        Ok(())
    }))
}

/// Refuses a place in the state directory, which the next backup would save again, and a file that is there already.
fn require_place(file: &Path, state: &Path, is_forced: bool) -> Result<(), Failure> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent)
        .map_err(|error| Failure::failed(format!("backup not written: `{}`: {error}", parent.display())))?;
    if fs::canonicalize(state).is_ok_and(|state| parent.starts_with(state)) {
        return Err(Failure::start(format!(
            "`{}` is in the state directory that it would be a copy of: name a file elsewhere, best on another disk",
            file.display()
        )));
    }
    if fs::symlink_metadata(file).is_ok() && !is_forced {
        return Err(Failure::start(format!(
            "`{}` is there already: name another file, or say `--force` to replace it",
            file.display()
        )));
    }
    Ok(())
}

/// The directory with copies, removed when this is dropped.
struct Copies(PathBuf);

impl Drop for Copies {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a file whole or not at all, for its owner only.
fn write(file: &Path, pack: impl FnOnce(File) -> io::Result<File>) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = tempfile::Builder::new()
        .prefix(".backup.")
        .suffix(".draft")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(parent)?;
    pack(draft.reopen()?)?.sync_all()?;
    draft.persist(file).map_err(|error| error.error)?;
    File::open(parent)?.sync_all()
}

/// Packs everything of a state directory that cannot be made again.
fn pack<W: Write>(state: &Path, copies: &Copies, files: &[SnapshotFile], into: W) -> io::Result<W> {
    let mut archive = Archive::new(into, now_s());
    let about = json!({ "tinymcp": env!("CARGO_PKG_VERSION"), "made_s": now_s() });
    archive.file(ABOUT, about.to_string().as_bytes())?;
    for SnapshotFile { copy, of } in files {
        let database = File::open(copies.0.join(copy))?;
        if let Some((directory, _)) = of.split_once('/') {
            archive.directory(directory)?;
        }
        let bytes = database.metadata()?.len();
        archive.stream(of, bytes, database)?;
    }
    let mut names: Vec<String> =
        fs::read_dir(state)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    for name in names {
        let Some(kept) = FILES.iter().find(|file| file.is(&name) && file.in_backup == InBackup::Copy) else { continue };
        let path = state.join(&name);
        match kept.kind {
            Kind::Directory => pack_directory(&mut archive, &name, &path)?,
            Kind::File | Kind::Files => pack_file(&mut archive, &name, &path)?,
        }
    }
    archive.finish()
}

/// A directory with everything in it. Links are no files of ours.
fn pack_directory<W: Write>(archive: &mut Archive<W>, name: &str, path: &Path) -> io::Result<()> {
    archive.directory(name)?;
    let entries = fs::read_dir(path)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = entries.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    for entry in names {
        let (name, path) = (format!("{name}/{entry}"), path.join(&entry));
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => pack_directory(archive, &name, &path)?,
            Ok(found) if found.is_file() => pack_file(archive, &name, &path)?,
            _ => {}
        }
    }
    Ok(())
}

/// A file of ours is small, and replaced whole: what is read is one state of it. One that is gone meanwhile is none.
fn pack_file<W: Write>(archive: &mut Archive<W>, name: &str, path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        _ => return Ok(()),
    }
    match fs::read(path) {
        Ok(bytes) => archive.file(name, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn say(reached: &Reached, state: &Path, file: Option<&Path>, has_key: bool) {
    let how = if reached.is_served() { "while the server runs" } else { "while no server runs" };
    let place = file.map(|file| format!(" into `{}`", file.display())).unwrap_or_default();
    output::note(&format!("saved `{}`{place}, {how}", state.display()));
    if reached.is_shared() {
        output::note(
            "what servers share in Redis (`state.url`) is not in it: logins, and what plugins have kept; save Redis's own files too",
        );
    }
    if !has_key {
        output::note("the root key is `TINYMCP_SECRET`, and not in it: without that secret nothing of it can be read");
    } else {
        output::note("the root key is in it: keep it like a password");
    }
}
