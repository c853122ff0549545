//! A copy of the file at one moment, while others read and write it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::open::{self, Role};
use crate::state::StateDir;
use crate::store::contract::OpenError;
use crate::store::seal::Sealer;

/// Writes a copy into a file, which nobody else may read, and checks every row of it.
pub(in crate::store) fn snapshot(state: &StateDir, sealer: &Sealer, into: &Path) -> Result<(), OpenError> {
    let path = open::path_in(state);
    // Made here, so that it is private from its first byte on; SQLite fills an empty file.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(into);
    drop(made.map_err(|error| open::unusable(into, error))?);
    // A connection of its own, beside those of the server: it reads as of one moment and keeps nobody waiting. It may
    // not be one that only reads, since that would hold for the copy as well.
    let copied = open::connect(&path, Role::Write)
        .and_then(|connection| connection.execute("VACUUM INTO ?1", [into.to_string_lossy()]).map(drop));
    copied.map_err(|error| open::failure(&path, error))?;
    let copy = open::connect(into, Role::Read).map_err(|error| open::failure(into, error))?;
    open::require_sound(into, &copy, sealer)?;
    drop(copy);
    // Left by the check.
    for suffix in ["-wal", "-shm"] {
        let mut beside = into.as_os_str().to_owned();
        beside.push(suffix);
        let _ = fs::remove_file(beside);
    }
    Ok(())
}
