//! A client's file: read, changed with a backup beside it, and replaced whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::{Failure, output};
use crate::atomic_file;
use crate::clients::edit::{self, At, EditError, Format};
use crate::clients::setup::{Setup, Target};

/// The largest file that is read; a client's configuration has some thousand bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Lines that are shown around a change.
const CONTEXT: usize = 3;

/// The most backups of one file.
const MAX_BACKUPS: usize = 1000;

/// A file as it was read.
pub(super) struct TargetFile {
    path: PathBuf,
    format: Format,
    /// Its text; none if it is not there.
    text: Option<String>,
}

/// A change of it.
pub(super) struct Change {
    before: String,
    after: String,
}

impl TargetFile {
    pub(super) fn read(path: PathBuf, format: Format) -> Result<Self, Failure> {
        let text =
            text_of(&path).map_err(|error| Failure::failed(format!("{} cannot be read: {error}", path.display())))?;
        Ok(Self { path, format, text })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What a person should know before the file is replaced.
    pub(super) fn caution(&self) -> Option<String> {
        let about = fs::metadata(&self.path).ok()?;
        let path = self.path.display();
        if about.nlink() > 1 {
            return Some(format!(
                "{path} has another name too (a hard link): it is replaced, and the other name keeps the file as it was"
            ));
        }
        let is_closed = about.mode() & 0o222 == 0;
        is_closed.then(|| format!("{path} is read-only: it is replaced even so, and stays read-only"))
    }

    /// The change that puts the entry in.
    pub(super) fn with_entry(&self, setup: &Setup, target: &Target) -> Result<Change, Failure> {
        self.change(setup, target, |text, at, shape| {
            let entry = shape.entry(target);
            edit::put(self.format, text, at, &entry, &shape.stale(&entry))
        })
    }

    /// The change that takes it out.
    pub(super) fn without_entry(&self, setup: &Setup, target: &Target) -> Result<Change, Failure> {
        self.change(setup, target, |text, at, _| edit::take(self.format, text, at))
    }

    fn change(
        &self,
        setup: &Setup,
        target: &Target,
        change: impl FnOnce(&str, At<'_>, &crate::clients::setup::Shape) -> Result<String, EditError>,
    ) -> Result<Change, Failure> {
        let before = self.text.clone().unwrap_or_default();
        let changed = (|| {
            let contents = edit::read(self.format, before.strip_prefix('\u{feff}').unwrap_or(&before))?;
            let file = setup.file.as_ref().ok_or(EditError::Spreads)?;
            let shape = file.shape(&contents);
            change(&before, At { tables: &shape.at, name: &target.name }, shape)
        })();
        match changed {
            Ok(after) => Ok(Change { before, after }),
            Err(error) => Err(Failure::failed(format!(
                "{} stays as it is: {error}; `tinymcp connect` without `--write` prints the entry to paste",
                self.path.display()
            ))),
        }
    }

    /// Writes a change, with the file as it was beside it.
    pub(super) fn write(&self, change: &Change) -> Result<(), Failure> {
        let failed =
            |what: &Path, error: io::Error| Failure::failed(format!("{} not written: {error}", what.display()));
        // Somebody may have written it while a person read the difference; most clients write theirs.
        if text_of(&self.path).map_err(|error| failed(&self.path, error))? != self.text {
            return Err(Failure::failed(format!("{} has changed meanwhile: try again", self.path.display())));
        }
        if let Some(text) = &self.text {
            let backup = self.back_up(text).map_err(|error| failed(&self.path, error))?;
            output::note(&output::dim(&format!("as it was: {}", backup.display())));
        } else if let Some(directory) = self.path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        }
        atomic_file::replace_alike(&self.path, change.after.as_bytes()).map_err(|error| failed(&self.path, error))?;
        output::note(&format!("written: {}", self.path.display()));
        Ok(())
    }

    /// Makes a copy beside the file that the path leads to, with the same permissions, under the first free name.
    fn back_up(&self, text: &str) -> io::Result<PathBuf> {
        let path = fs::canonicalize(&self.path)?;
        let permissions = fs::metadata(&path)?.permissions();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for number in 1..=MAX_BACKUPS {
            let backup = path.with_file_name(format!("{name}.backup-{number}"));
            match File::options().write(true).create_new(true).open(&backup) {
                Ok(mut file) => {
                    // Before anything is in it: it may have secrets of other servers.
                    file.set_permissions(permissions)?;
                    io::Write::write_all(&mut file, text.as_bytes())?;
                    file.sync_all()?;
                    return Ok(backup);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("there are {MAX_BACKUPS} backups of it: remove some")))
    }
}

/// The text of a file; none if it is not there.
fn text_of(path: &Path) -> io::Result<Option<String>> {
    // A link to nowhere is not a file that is missing: what it would lead to is not ours to make.
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if about.len() > MAX_BYTES {
        return Err(io::Error::other("it is larger than a configuration"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(Some(text))
}

impl Change {
    pub(super) fn is_any(&self) -> bool {
        self.before != self.after
    }

    /// Prints the lines that differ, with some around them.
    pub(super) fn show(&self) {
        let (before, after): (Vec<&str>, Vec<&str>) = (self.before.lines().collect(), self.after.lines().collect());
        let same =
            |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(one, other)| one == other).count();
        let start = same(&mut before.iter().zip(&after));
        let rest = before.len().min(after.len()) - start;
        let end = same(&mut before.iter().rev().zip(after.iter().rev())).min(rest);
        for line in &before[start.saturating_sub(CONTEXT)..start] {
            output::line(&output::dim(&format!("  {line}")));
        }
        for line in &before[start..before.len() - end] {
            output::line(&output::bad(&format!("- {line}")));
        }
        for line in &after[start..after.len() - end] {
            output::line(&output::good(&format!("+ {line}")));
        }
        for line in after[after.len() - end..].iter().take(CONTEXT) {
            output::line(&output::dim(&format!("  {line}")));
        }
    }
}
