//! Atomic writes: a file is written under another name in the same directory and renamed, so that a reader sees the old
//! one or the new one.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces a file, or makes it, for its owner only.
///
/// # Errors
/// The system's, and then the file is as it was.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o600)
}

/// Replaces a file, or makes it, for its owner only. It is on the disk when this returns.
///
/// # Errors
/// The system's, and then the file is as it was, or the new one.
pub(crate) fn replace_durable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (draft, directory) = draft(path, bytes, 0o600)?;
    draft.as_file().sync_all()?;
    draft.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Replaces a file, or makes it. Others may read it, as far as the process's umask lets them.
///
/// # Errors
/// The system's, and then the file is as it was.
pub(crate) fn replace_shared(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o666)
}

/// Replaces a file by one with the same permissions, or makes it. A link stays, and what it leads to is replaced.
///
/// # Errors
/// The system's, and then the file is as it was.
pub(crate) fn replace_alike(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::canonicalize(path) {
        Ok(path) => replace(&path, bytes, std::fs::metadata(&path)?.permissions().mode() & 0o777),
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(&std::path::absolute(path)?, bytes, 0o666),
        Err(error) => Err(error),
    }
}

/// Replaces a file, or makes it, for its owner only. It is on the disk when this returns.
///
/// # Errors
/// The system's. Only then it is not certain if a crash would leave the old file or the new one.
pub(crate) fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (draft, directory) = draft(path, bytes, 0o600)?;
    draft.as_file().sync_all()?;
    draft.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Makes a file for its owner only, which is on the disk when this returns. An existing file stays.
///
/// # Errors
/// The system's, and then there is no such file.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (draft, directory) = draft(path, bytes, 0o600)?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(path).map_err(|error| error.error) {
        Ok(_) => File::open(directory)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (draft, _) = draft(path, bytes, mode)?;
    draft.persist(path).map(drop).map_err(|error| error.error)
}

/// Writes the file under another name. Returns it with its directory.
fn draft<'p>(path: &'p Path, bytes: &[u8], mode: u32) -> io::Result<(NamedTempFile, &'p Path)> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    // Hidden, and with an ending of its own: a server takes no file of its plugins directory for a plugin by this name.
    let mut draft = tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(".draft")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    draft.write_all(bytes)?;
    Ok((draft, directory))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_there_is_not_created_again() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("key");
        create_private(&path, b"first").unwrap();
        create_private(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("names.json");
        fs::write(&path, "generous").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        replace_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let directory = scratch.path().join("taken");
        fs::create_dir(&directory).unwrap();
        replace_shared(&directory, b"no").unwrap_err();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    }
}
