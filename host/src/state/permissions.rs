//! File permissions in a state directory: everything that the server makes there is for its owner only.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::files::{self, FILES, Kind};

/// Makes a directory and its parents, for its owner only. One that is there already is restricted to 0700.
pub(super) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Restricts files of ours that an earlier version, a restored backup or a person has left open: files to 0600,
/// directories to 0700. Files with other names are left alone, for the directory may be one that holds other things
/// too.
pub(super) fn restrict(dir: &Path) {
    for entry in entries(dir) {
        let name = entry.file_name();
        if name.to_str().is_some_and(files::is_file_of_ours) {
            restrict_tree(&entry.path());
        }
    }
    for ours in FILES.iter().filter(|file| file.kind == Kind::Directory) {
        restrict_tree(&dir.join(ours.name));
    }
}

/// Restricts a file, or a directory with everything in it. Links are left alone, and so are files that are gone
/// meanwhile.
fn restrict_tree(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    let mode = match metadata.file_type() {
        kind if kind.is_dir() => 0o700,
        kind if kind.is_file() => 0o600,
        _ => return,
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
            Ok(()) if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"key")) => tracing::warn!(
                "others could read the key file `{}` until now; if somebody may have, change the key: docs/operations.md, Keys",
                path.display()
            ),
            Ok(()) => {}
            Err(error) => tracing::warn!("others may read `{0}`: {error}: `chmod go= {0}`", path.display()),
        }
    }
    if metadata.is_dir() {
        entries(path).for_each(|entry| restrict_tree(&entry.path()));
    }
}

/// The entries of a directory, as far as it can be read.
fn entries(dir: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

pub(super) fn is_mine(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic_file;

    #[test]
    fn what_others_could_read_is_narrowed_and_what_is_not_ours_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        restrict(scratch.path());
        fs::create_dir_all(path("store/deep")).unwrap();
        for name in ["names.json", ".key.Xy1.draft", "key.old-1", "store/store.db-wal", "store/deep/x", "program"] {
            fs::write(path(name), [0; 32]).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        atomic_file::replace_private(&path("names.json"), b"{}").unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("names.json"), 0o600, "a file that was there is narrowed as it is written");
        restrict(scratch.path());
        for (name, expected) in [
            (".key.Xy1.draft", 0o600),
            ("key.old-1", 0o600),
            ("store", 0o700),
            ("store/store.db-wal", 0o600),
            ("store/deep/x", 0o600),
            ("program", 0o755),
        ] {
            assert_eq!(mode(name), expected, "{name}");
        }
    }
}
