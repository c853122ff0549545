//! An open file of a granted folder.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use cap_primitives::fs::Metadata;
use rustix::io::Errno;
use tokio::sync::OwnedSemaphorePermit;

use super::usage::{Account, Tracked, Usage};

/// Bytes that one read gives at most.
const READ_BYTES_MAX: usize = 64 * 1024;

/// An open regular file. Every method blocks.
pub struct OpenFile {
    pub(super) file: File,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    pub(super) quota: Option<Counted>,
    pub(super) _descriptor: OwnedSemaphorePermit,
}

/// The count that an open file belongs to.
pub(super) struct Counted {
    pub(super) usage: Arc<Usage>,
    pub(super) root: Arc<File>,
    pub(super) quota_bytes: u64,
    pub(super) tracked: Tracked,
}

impl OpenFile {
    /// True if it was opened for reading.
    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// True if it was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// What the system knows of it.
    ///
    /// # Errors
    /// The system's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Metadata::from_file(&self.file)
    }

    /// Reads at most so many bytes, and none at the end.
    ///
    /// # Errors
    /// The system's; `EBADF` if it is not open for reading.
    pub fn read_at(&self, bytes: usize, offset: u64) -> io::Result<Vec<u8>> {
        if !self.is_readable {
            return Err(Errno::BADF.into());
        }
        let mut buffer = vec![0; bytes.min(READ_BYTES_MAX)];
        let read = loop {
            match self.file.read_at(&mut buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Writes all of this at an offset.
    ///
    /// # Errors
    /// The system's; `EDQUOT`, before anything is written, if there is no room for all of it.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.expect_writable()?;
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::FBIG)?;
        self.growing(|size| end.saturating_sub(size), || self.file.write_all_at(bytes, offset))
    }

    /// Writes all of this at the end.
    ///
    /// # Errors
    /// As for [`OpenFile::write_at`].
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.expect_writable()?;
        self.growing(|_| bytes.len() as u64, || append(&self.file, bytes))
    }

    /// Cuts the file, or makes it longer.
    ///
    /// # Errors
    /// The system's; `EDQUOT` if there is no room.
    pub fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.expect_writable()?;
        self.growing(|size| bytes.saturating_sub(size), || self.file.set_len(bytes))
    }

    /// Sets its times.
    ///
    /// # Errors
    /// The system's.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.file.set_times(times)
    }

    /// Has the disk keep it: its data, and with `all` what the system knows of it too.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self, all: bool) -> io::Result<()> {
        if all { self.file.sync_all() } else { self.file.sync_data() }
    }

    fn expect_writable(&self) -> io::Result<()> {
        if self.is_writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }

    /// Does something after which the file is longer by so many bytes at most.
    fn growing(&self, growth: impl FnOnce(u64) -> u64, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let Some(counted) = &self.quota else { return work() };
        let mut account = counted.account()?;
        let before = self.file.metadata()?.len();
        let growth = growth(before);
        account.add(growth, 0)?;
        let done = work();
        // Half of it may be there, and all of it if nobody can say.
        let after = self.file.metadata().map_or(before.saturating_add(growth), |metadata| metadata.len());
        account.remove(before.saturating_add(growth).saturating_sub(after), 0);
        account.note_size(&counted.tracked, after);
        done
    }
}

impl Counted {
    fn account(&self) -> io::Result<Account<'_>> {
        Account::open(&self.usage, &self.root, self.quota_bytes)
    }
}

/// Writes at the end of a file, wherever that is by then: others may write there too.
fn append(file: &File, bytes: &[u8]) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::{ReadWriteFlags, pwritev2};
        let mut rest = bytes;
        while !rest.is_empty() {
            match pwritev2(file, &[io::IoSlice::new(rest)], 0, ReadWriteFlags::APPEND) {
                Ok(written) => rest = &rest[written.min(rest.len())..],
                Err(Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::OPNOTSUPP) => return file.write_all_at(rest, file.metadata()?.len()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    file.write_all_at(bytes, file.metadata()?.len())
}
