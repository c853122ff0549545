//! Locks that a process has for as long as it runs: the system gives them up with it, however it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The outcome of taking a lock.
pub(crate) enum Taken {
    /// This process has it, until the file is dropped.
    Now(File),
    /// Another one has it: its id, if the file tells it.
    Before(Option<u32>),
}

/// Takes the lock of a file, which is made for its owner only, and [signs](sign) it.
///
/// # Errors
/// The system's.
pub(crate) fn take(path: &Path) -> io::Result<Taken> {
    let taken = take_unsigned(path)?;
    if let Taken::Now(file) = &taken {
        sign(file)?;
    }
    Ok(taken)
}

/// The same for who signs it later: the file says until then who had it last.
///
/// # Errors
/// The system's.
pub(crate) fn take_unsigned(path: &Path) -> io::Result<Taken> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Taken::Now(file)),
        Err(Errno::WOULDBLOCK) => {
            let text = io::read_to_string(&file).unwrap_or_default();
            Ok(Taken::Before(text.split_whitespace().next().and_then(|word| word.parse().ok())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes the id of this process into the file of its lock.
///
/// # Errors
/// The system's.
pub(crate) fn sign(file: &File) -> io::Result<()> {
    // One length always, and in place: no crash and no full disk leaves the file empty again.
    let text = format!("{:>10}\n", std::process::id());
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}
