//! The address of the socket. Addresses of sockets have room for some hundred bytes, and directories may have longer
//! names: the socket is then reached through a descriptor of its directory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file, in the state directory.
pub(super) const FILE: &str = "control.sock";

/// Bytes of a path that every system has room for: 104 on some, 108 on Linux, with a zero at the end.
const MAX_PATH_BYTES: usize = 103;

/// An address, for as long as this is kept.
pub(super) struct Address {
    path: PathBuf,
    _directory: Option<File>,
}

impl Address {
    /// That of the socket in a state directory.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub(super) fn within(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        if path.as_os_str().as_bytes().len() <= MAX_PATH_BYTES {
            return Ok(Self { path, _directory: None });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{FILE}", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
