//! A granted folder that is open, and all that is done in it by name.
//!
//! - Nothing leads out: paths are followed within the folder, and no link is made that would lead out wherever it is moved.
//! - Only regular files and folders are opened. Other things are not waited for: a FIFO blocks whoever opens it, so it is
//!   opened without blocking and looked at before anybody reads.
//! - What no plugin sees is not opened under another name either.

use std::fs::{File, FileTimes};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_primitives::fs::{
    self, DirOptions, FileType, FollowSymlinks, Metadata, OpenOptions, OpenOptionsExt, ReadDir, SystemTimeSpec,
};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::file::{Counted, OpenFile};
use super::places::{Hidden, Id, id_of};
use super::usage::{Account, Usage};
use crate::grants::DirGrant;

/// Descriptors that the calls of one plugin may hold.
#[derive(Clone)]
pub(super) struct Descriptors(Arc<Semaphore>);

impl Descriptors {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    fn take(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| Errno::MFILE.into())
    }
}

/// A granted folder, as all descriptors below it share it.
pub(super) struct Folder {
    root: Arc<File>,
    id: Id,
    is_writable: bool,
    hidden: Arc<Hidden>,
    quota: Option<(Arc<Usage>, u64)>,
    descriptors: Descriptors,
}

/// An open folder: the granted one, or one below it. Every method blocks.
pub struct Directory {
    file: Arc<File>,
    folder: Arc<Folder>,
    _descriptor: OwnedSemaphorePermit,
}

/// Something that was opened.
pub enum Node {
    /// A folder.
    Directory(Directory),
    /// A regular file.
    File(OpenFile),
}

/// The way in which something is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// Follows a symbolic link at the end of the path.
    pub follow: bool,
    /// Makes a file if there is none.
    pub create: bool,
    /// Fails if there is one.
    pub exclusive: bool,
    /// Fails if it is no folder.
    pub directory: bool,
    /// Empties the file.
    pub truncate: bool,
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
}

impl Opening {
    fn changes(self) -> bool {
        self.create || self.truncate || self.write
    }
}

impl Folder {
    /// Opens the granted folder itself.
    pub(super) fn open(
        grant: &DirGrant,
        hidden: Arc<Hidden>,
        quota: Option<(Arc<Usage>, u64)>,
        descriptors: Descriptors,
    ) -> io::Result<Directory> {
        let descriptor = descriptors.take()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Arc::new(File::from(rustix::fs::open(&grant.host, flags, rustix::fs::Mode::empty())?));
        // Between the look at the path and now it may have become another.
        let metadata = Metadata::from_file(&root)?;
        if hidden.has(&metadata) {
            return Err(Errno::ACCESS.into());
        }
        let id = id_of(&metadata);
        let folder = Self { root: Arc::clone(&root), id, is_writable: grant.is_writable, hidden, quota, descriptors };
        Ok(Directory { file: root, folder: Arc::new(folder), _descriptor: descriptor })
    }

    fn expect_writable(&self) -> io::Result<()> {
        if self.is_writable { Ok(()) } else { Err(Errno::ROFS.into()) }
    }

    /// The count of the quota, locked. None without one.
    fn account(&self) -> io::Result<Option<Account<'_>>> {
        let Some((usage, quota_bytes)) = &self.quota else { return Ok(None) };
        Account::open(usage, &self.root, *quota_bytes).map(Some)
    }
}

impl Directory {
    /// True if files in it may be changed.
    pub fn is_writable(&self) -> bool {
        self.folder.is_writable
    }

    /// What the system knows of it.
    ///
    /// # Errors
    /// The system's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Metadata::from_file(&self.file)
    }

    /// What the system knows of something below it.
    ///
    /// # Errors
    /// The system's; that of a path that leads out.
    pub fn metadata_at(&self, path: &str, follow: bool) -> io::Result<Metadata> {
        fs::stat(&self.file, Path::new(path), following(follow))
    }

    /// Opens something below it.
    ///
    /// # Errors
    /// The system's; `EROFS` if that would change a folder that is for reading; `EDQUOT` if there is no room for a new
    /// file; `EACCES` for what is neither file nor folder, and for what no plugin sees; `EMFILE` if the plugin has too
    /// much open.
    pub fn open(&self, path: &str, opening: Opening) -> io::Result<Node> {
        if opening.changes() {
            self.folder.expect_writable()?;
        }
        let descriptor = self.folder.descriptors.take()?;
        let mut account = self.folder.account()?;
        let there = match self.metadata_at(path, opening.follow) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // A device may do something when it is opened. One that takes a file's place after this is looked at below.
        if let Some(there) = &there {
            expect_ordinary(there.file_type())?;
        }
        let is_new = opening.create && there.is_none();
        if let Some(account) = account.as_mut().filter(|_| is_new) {
            account.add(0, 1)?;
        }
        let opened = self.open_checked(path, opening);
        let (file, metadata) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(account) = account.as_mut().filter(|_| is_new) {
                    account.remove(0, 1);
                }
                return Err(error);
            }
        };
        if metadata.is_dir() {
            let folder = Arc::clone(&self.folder);
            return Ok(Node::Directory(Self { file: Arc::new(file), folder, _descriptor: descriptor }));
        }
        if opening.directory {
            return Err(Errno::NOTDIR.into());
        }
        if opening.truncate {
            file.set_len(0)?;
            if let Some(account) = &mut account {
                account.remove(metadata.len(), 0);
            }
        }
        let quota = account.map(|account| -> io::Result<Counted> {
            let (usage, quota_bytes) = (Arc::clone(account.usage()), account.quota_bytes());
            let tracked = account.track(&Metadata::from_file(&file)?);
            Ok(Counted { usage, root: Arc::clone(&self.folder.root), quota_bytes, tracked })
        });
        Ok(Node::File(OpenFile {
            file,
            is_readable: opening.read || !opening.write,
            is_writable: opening.write,
            quota: quota.transpose()?,
            _descriptor: descriptor,
        }))
    }

    /// Opens a file or folder, and looks at it before anything is done with it.
    pub(super) fn open_checked(&self, path: &str, opening: Opening) -> io::Result<(File, Metadata)> {
        let Opening { follow, create, exclusive, truncate, read, write, .. } = opening;
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let writes = write || create || truncate;
        let mut options = OpenOptions::new();
        options.read(read || !write).write(writes).create(create && !exclusive).create_new(create && exclusive);
        options.custom_flags(flags.bits().cast_signed())._cap_fs_ext_follow(following(follow));
        let file = match fs::open(&self.file, Path::new(path), &options) {
            // There is a FIFO that nobody reads, or a socket.
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                return Err(Errno::ACCESS.into());
            }
            opened => opened?,
        };
        let metadata = Metadata::from_file(&file)?;
        expect_ordinary(metadata.file_type())?;
        if self.folder.hidden.has(&metadata) {
            return Err(Errno::ACCESS.into());
        }
        Ok((file, metadata))
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// The system's; `EROFS`, `EDQUOT`.
    pub fn create_directory(&self, path: &str) -> io::Result<()> {
        self.adding_name(|| fs::create_dir(&self.file, Path::new(path), &DirOptions::new()))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// The system's; `EPERM` for a target that is absolute or has `..`, which could lead out from some place in the
    /// folder; `EROFS`, `EDQUOT`.
    pub fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        self.folder.expect_writable()?;
        let target = Path::new(target);
        let stays = target.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !stays {
            return Err(Errno::PERM.into());
        }
        self.adding_name(|| fs::symlink(target, &self.file, Path::new(path)))
    }

    /// Gives a file another name in the same granted folder.
    ///
    /// # Errors
    /// The system's; `EXDEV` for two folders; `EROFS`, `EDQUOT`.
    pub fn link(&self, path: &str, other: &Self, new_path: &str) -> io::Result<()> {
        self.expect_same_folder(other)?;
        self.adding_name(|| fs::hard_link(&self.file, Path::new(path), &other.file, Path::new(new_path)))
    }

    /// Moves something within the same granted folder.
    ///
    /// # Errors
    /// The system's; `EXDEV` for two folders; `EROFS`.
    pub fn rename(&self, path: &str, other: &Self, new_path: &str) -> io::Result<()> {
        self.folder.expect_writable()?;
        self.expect_same_folder(other)?;
        let mut account = self.folder.account()?;
        let replaced = account.as_ref().and_then(|_| {
            let (moved, replaced) = (self.metadata_at(path, false).ok()?, other.metadata_at(new_path, false).ok()?);
            // Two names of one file both stay.
            (id_of(&moved) != id_of(&replaced)).then_some(replaced)
        });
        fs::rename(&self.file, Path::new(path), &other.file, Path::new(new_path))?;
        if let (Some(account), Some(replaced)) = (&mut account, replaced) {
            account.remove_name(&replaced);
        }
        Ok(())
    }

    /// Removes a file or a symbolic link.
    ///
    /// # Errors
    /// The system's; `EROFS`.
    pub fn remove_file(&self, path: &str) -> io::Result<()> {
        self.removing_name(path, || fs::remove_file(&self.file, Path::new(path)))
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// The system's; `EROFS`.
    pub fn remove_directory(&self, path: &str) -> io::Result<()> {
        self.removing_name(path, || fs::remove_dir(&self.file, Path::new(path)))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// The system's; that of a target that is absolute.
    pub fn read_link(&self, path: &str) -> io::Result<PathBuf> {
        fs::read_link(&self.file, Path::new(path))
    }

    /// Sets the times of something below it.
    ///
    /// # Errors
    /// The system's; `EROFS`.
    pub fn set_times_at(&self, path: &str, follow: bool, times: FileTimes, times_of_link: Times) -> io::Result<()> {
        self.folder.expect_writable()?;
        if !follow {
            if self.folder.hidden.has(&self.metadata_at(path, false)?) {
                return Err(Errno::ACCESS.into());
            }
            let Times { accessed, modified } = times_of_link;
            return fs::set_times_nofollow(&self.file, Path::new(path), accessed, modified);
        }
        match self.open(path, Opening { follow, read: true, ..Opening::default() })? {
            Node::Directory(directory) => directory.file.set_times(times),
            Node::File(file) => file.set_times(times),
        }
    }

    /// Sets its own times.
    ///
    /// # Errors
    /// The system's; `EROFS`.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.folder.expect_writable()?;
        self.file.set_times(times)
    }

    /// Has the disk keep the names in it.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Begins to list what is in it.
    ///
    /// # Errors
    /// The system's; `EMFILE` if the plugin has too much open.
    pub fn list(&self) -> io::Result<Listing> {
        let descriptor = self.folder.descriptors.take()?;
        Ok(Listing { entries: fs::read_base_dir(&self.file)?, _descriptor: descriptor })
    }

    fn expect_same_folder(&self, other: &Self) -> io::Result<()> {
        other.folder.expect_writable()?;
        if self.folder.id == other.folder.id { Ok(()) } else { Err(Errno::XDEV.into()) }
    }

    fn adding_name(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.folder.expect_writable()?;
        let mut account = self.folder.account()?;
        if let Some(account) = &mut account {
            account.add(0, 1)?;
        }
        work().inspect_err(|_| {
            if let Some(account) = &mut account {
                account.remove(0, 1);
            }
        })
    }

    fn removing_name(&self, path: &str, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.folder.expect_writable()?;
        let mut account = self.folder.account()?;
        let before = account.as_ref().and_then(|_| self.metadata_at(path, false).ok());
        work()?;
        if let (Some(account), Some(before)) = (&mut account, before) {
            account.remove_name(&before);
        }
        Ok(())
    }
}

/// The times of a symbolic link itself, for which the system has a call of its own.
#[derive(Debug, Default)]
pub struct Times {
    /// The last access.
    pub accessed: Option<SystemTimeSpec>,
    /// The last change.
    pub modified: Option<SystemTimeSpec>,
}

/// A folder that is being listed.
pub struct Listing {
    entries: ReadDir,
    _descriptor: OwnedSemaphorePermit,
}

/// Something in a folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its kind; a link is a link.
    pub kind: FileType,
}

impl Listing {
    /// The next few of them, and none at the end. Names that are no UTF-8 are left out: no guest can say them. Blocks.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&mut self) -> io::Result<Vec<Entry>> {
        const COUNT: usize = 128;
        let mut found = Vec::new();
        for entry in self.entries.by_ref() {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // It may be gone by now.
            let Ok(kind) = entry.file_type() else { continue };
            found.push(Entry { name, kind });
            if found.len() == COUNT {
                break;
            }
        }
        Ok(found)
    }
}

fn expect_ordinary(kind: FileType) -> io::Result<()> {
    if kind.is_file() || kind.is_dir() || kind.is_symlink() { Ok(()) } else { Err(Errno::ACCESS.into()) }
}

fn following(follow: bool) -> FollowSymlinks {
    if follow { FollowSymlinks::Yes } else { FollowSymlinks::No }
}
