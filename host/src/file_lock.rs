//! Locks that a process has until it gives them up, and for as long as it runs: the system gives them up with it, however it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A lock, until it is dropped.
///
/// It is given up, and not only closed: a child that another thread is about to run has a copy of the file for the moment until it
/// is another program, and the lock would be the copy's too.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // It fails for what is no lock, which this is.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// The outcome of taking a lock.
pub(crate) enum Taken {
    /// This process has it.
    Now(FileLock),
    /// Another one has it: its id, if the file tells it.
    Before(Option<u32>),
}

/// Takes the lock of a file, which is made for its owner only, and [signs](FileLock::sign) it.
///
/// # Errors
/// The system's.
pub(crate) fn take(path: &Path) -> io::Result<Taken> {
    let taken = take_unsigned(path)?;
    if let Taken::Now(lock) = &taken {
        lock.sign()?;
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
        Ok(()) => Ok(Taken::Now(FileLock(file))),
        Err(Errno::WOULDBLOCK) => {
            let text = io::read_to_string(&file).unwrap_or_default();
            Ok(Taken::Before(text.split_whitespace().next().and_then(|word| word.parse().ok())))
        }
        Err(error) => Err(error.into()),
    }
}

impl FileLock {
    /// Writes the id of this process into the file.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn sign(&self) -> io::Result<()> {
        // One length always, and in place: no crash and no full disk leaves the file empty again.
        let text = format!("{:>10}\n", std::process::id());
        self.0.write_all_at(text.as_bytes(), 0)?;
        self.0.set_len(text.len() as u64)
    }

    /// The same, and waits until it is on the disk.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn sign_lastingly(&self) -> io::Result<()> {
        self.sign()?;
        self.0.sync_all()
    }

    /// True if somebody has ever signed it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn is_signed(&self) -> io::Result<bool> {
        Ok(self.0.metadata()?.len() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a child has between `fork` and `exec`, and a test of another thread may be there.
    #[test]
    fn a_copy_of_the_file_keeps_no_lock_that_was_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let Ok(Taken::Now(lock)) = take(&path) else { panic!("nobody has it") };
        let copy = lock.0.try_clone().unwrap();
        assert!(matches!(take(&path), Ok(Taken::Before(Some(pid))) if pid == std::process::id()));
        drop(lock);
        assert!(matches!(take(&path), Ok(Taken::Now(_))));
        drop(copy);
    }
}
