//! The place of the socket: a directory that its owner alone may enter, and that is held by a descriptor.
//!
//! Whoever cannot enter the directory cannot connect, whatever the file's own mode is. Everything is done through the
//! descriptor: nobody can put another directory in its place meanwhile, and its path may have any length, while an
//! address of a socket has room for some hundred bytes.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::config::State;

/// The directory and the file of a socket that the configuration does not place, in the state directory.
const DIRECTORY: &str = "control";
const FILE: &str = "socket";

/// Bytes of a path that every system has room for: 104 on some, 108 on Linux, with a zero at the end.
const MAX_PATH_BYTES: usize = 103;

/// Where the system shows a process's own descriptors as files.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Connections that the system keeps until they are taken.
const BACKLOG: i32 = 128;

#[cfg(target_os = "linux")]
const FLAGS: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: SocketFlags = SocketFlags::empty();

/// The place of a socket, by name.
#[derive(Debug, Clone)]
pub(super) struct Place {
    directory: PathBuf,
    name: OsString,
    /// It is in the state directory, whose modes are this server's matter.
    is_in_state: bool,
}

/// The directory of a socket, open.
pub(super) struct Directory {
    file: File,
    path: PathBuf,
    name: OsString,
}

impl Place {
    /// That of the socket of a server with this configuration.
    pub(super) fn of(state: &State) -> Self {
        match state.socket.as_deref().and_then(|socket| Some((socket.parent()?, socket.file_name()?))) {
            Some((directory, name)) => {
                Self { directory: directory.to_owned(), name: name.to_owned(), is_in_state: false }
            }
            None => Self { directory: state.dir.join(DIRECTORY), name: FILE.into(), is_in_state: true },
        }
    }

    /// True in a directory of the state's own.
    pub(super) fn is_in_state(&self) -> bool {
        self.is_in_state
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A reason why no server of this user listens there, for one whose store is in use: the directory is not its own.
    ///
    /// # Errors
    /// The reason, with the cure.
    pub(super) fn require_own(&self) -> io::Result<()> {
        match self.open() {
            Ok(directory) => self.require_own_directory(&directory),
            Err(_) => Ok(()),
        }
    }

    fn require_own_directory(&self, directory: &Directory) -> io::Result<()> {
        let found = directory.file.metadata()?;
        let is_mine = found.uid() == rustix::process::geteuid().as_raw();
        if is_mine && found.mode() & 0o077 == 0 {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "`{}` is not for this server's user alone: choose a directory for `state.socket` that holds nothing else, \
             belongs to that user and has mode 0700",
            self.directory.display()
        )))
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// The system's: most often there is none.
    pub(super) fn open(&self) -> io::Result<Directory> {
        let mut options = std::fs::OpenOptions::new();
        let flags = OFlags::DIRECTORY.bits().cast_signed();
        let file = options.read(true).custom_flags(flags).open(&self.directory)?;
        Ok(Directory { file, path: self.directory.clone(), name: self.name.clone() })
    }

    /// Opens the directory, made if it is missing, as one that this process's user alone may enter.
    ///
    /// # Errors
    /// The system's; or the directory is one that others may enter.
    pub(super) fn prepare(&self) -> io::Result<Directory> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io::Error::new(error.kind(), format!("`{}`: {error}", self.directory.display())));
            }
            _ => {}
        }
        let directory = self.open()?;
        let found = directory.file.metadata()?;
        let is_mine = found.uid() == rustix::process::geteuid().as_raw();
        if is_mine && found.mode() & 0o077 != 0 && self.is_in_state {
            rustix::fs::fchmod(&directory.file, Mode::RWXU)?;
        } else {
            self.require_own_directory(&directory)?;
        }
        Ok(directory)
    }
}

impl Directory {
    /// The path of a file in it that holds a lock on the socket.
    pub(super) fn lock_path(&self) -> PathBuf {
        let mut name = self.name.clone();
        name.push(".lock");
        self.path.join(name)
    }

    /// The user that the directory belongs to.
    pub(super) fn owner(&self) -> io::Result<u32> {
        Ok(self.file.metadata()?.uid())
    }

    /// An address of the socket, good while this is kept.
    ///
    /// # Errors
    /// The path is too long, on a system that does not show descriptors as files.
    pub(super) fn address(&self) -> io::Result<PathBuf> {
        let descriptors = Path::new(DESCRIPTORS);
        if descriptors.exists() {
            return Ok(descriptors.join(self.file.as_raw_fd().to_string()).join(&self.name));
        }
        let path = self.path.join(&self.name);
        match path.as_os_str().as_bytes().len() {
            ..=MAX_PATH_BYTES => Ok(path),
            bytes => Err(io::Error::other(format!(
                "a socket's path has at most {MAX_PATH_BYTES} bytes here, and `{}` has {bytes}: choose a shorter one \
                 with `state.socket`",
                path.display()
            ))),
        }
    }

    /// Binds the socket, and listens. One that is there must have been removed.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn listen(&self) -> io::Result<std::os::unix::net::UnixListener> {
        let socket: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        // Linux gives the file the mode of its socket, so that it is never there with a wider one; elsewhere this is
        // refused, and the directory's own mode keeps everybody out.
        let mode = Mode::RUSR | Mode::WUSR;
        let _ = rustix::fs::fchmod(&socket, mode);
        rustix::net::bind(&socket, &SocketAddrUnix::new(self.address()?)?)?;
        rustix::fs::chmodat(&self.file, &self.name, mode, AtFlags::empty())?;
        rustix::net::listen(&socket, BACKLOG)?;
        let listener = std::os::unix::net::UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Removes the socket's file, if there is one. Only who has the lock may.
    ///
    /// # Errors
    /// The system's; or the file is none of a socket.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove_socket(&self.file, &self.name)
    }
}

/// Removes a socket's file. Any other kind of file stays.
fn remove_socket(directory: &File, name: &OsStr) -> io::Result<()> {
    let found = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(io::Error::other(format!("`{}` is there, and is no socket", name.display())));
    }
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn state(dir: &Path, socket: Option<PathBuf>) -> State {
        State { dir: dir.to_owned(), socket, ..crate::config::Config::default().state }
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let open = scratch.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let place = Place::of(&state(scratch.path(), Some(open.join("s"))));
        let refused = place.prepare().err().unwrap().to_string();
        assert!(refused.contains("mode 0700"), "{refused}");
        fs::set_permissions(&open, Permissions::from_mode(0o700)).unwrap();
        place.prepare().unwrap().listen().unwrap();
        assert_eq!(fs::metadata(open.join("s")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_directory_of_the_state_is_narrowed_and_held() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Place::of(&state(scratch.path(), None));
        fs::create_dir(scratch.path().join(DIRECTORY)).unwrap();
        fs::set_permissions(scratch.path().join(DIRECTORY), Permissions::from_mode(0o777)).unwrap();
        let directory = place.prepare().unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(scratch.path().join(DIRECTORY)), 0o700);
        // Another directory under the same name is another one.
        fs::rename(scratch.path().join(DIRECTORY), scratch.path().join("moved")).unwrap();
        fs::create_dir(scratch.path().join(DIRECTORY)).unwrap();
        directory.listen().unwrap();
        assert!(scratch.path().join("moved").join(FILE).exists());
        assert!(!scratch.path().join(DIRECTORY).join(FILE).exists());
    }

    #[test]
    fn only_a_socket_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Place::of(&state(scratch.path(), None)).prepare().unwrap();
        directory.remove().unwrap();
        let listener = directory.listen().unwrap();
        directory.remove().unwrap();
        drop(listener);
        let file = scratch.path().join(DIRECTORY).join(FILE);
        fs::write(&file, "mine").unwrap();
        directory.remove().unwrap_err();
        assert!(file.exists());
    }
}
