//! What the lines are appended to: a file that is kept open and opened anew when it was moved, or standard output.
//!
//! Only whole lines are left: when the disk is full in the middle of one, its beginning is taken back, or ended by a line
//! break of its own where it cannot be.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes that are handed to the system at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file, which is opened anew when it was moved away.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// An open destination.
pub(super) enum Destination {
    File(AppendedFile),
    Stdout {
        /// The last line there is a part of one.
        is_torn: bool,
    },
}

/// An open file.
pub(super) struct AppendedFile {
    path: PathBuf,
    file: File,
    is_torn: bool,
}

/// The result of writing: the number of whole lines that are there, and the error that ended it.
pub(super) struct Written {
    pub(super) lines: usize,
    pub(super) error: Option<io::Error>,
}

impl Destination {
    pub(super) fn open(target: Target) -> io::Result<Self> {
        Ok(match target {
            Target::Stdout => Self::Stdout { is_torn: false },
            Target::File(path) => Self::File(AppendedFile::open(path)?),
        })
    }

    /// Writes whole lines, as many as go.
    pub(super) fn write(&mut self, lines: &[String], reopen: bool) -> Written {
        if let Self::File(file) = self
            && let Err(error) = file.follow(reopen)
        {
            return Written { lines: 0, error: Some(error) };
        }
        let mut written = 0;
        while written < lines.len() {
            let mut chunk = String::new();
            let mut ends = Vec::new();
            if self.is_torn() {
                chunk.push('\n');
            }
            for line in &lines[written..] {
                if !ends.is_empty() && chunk.len() + line.len() > CHUNK_BYTES {
                    break;
                }
                chunk.push_str(line);
                ends.push(chunk.len());
            }
            let (bytes, error) = self.append(chunk.as_bytes());
            let whole = ends.iter().filter(|end| **end <= bytes).count();
            written += whole;
            if let Some(error) = error {
                let kept = if whole == 0 { 0 } else { ends[whole - 1] };
                self.take_back(bytes, bytes - kept);
                return Written { lines: written, error: Some(error) };
            }
            self.set_torn(false);
        }
        Written { lines: written, error: None }
    }

    /// Appends bytes; returns how many.
    fn append(&mut self, bytes: &[u8]) -> (usize, Option<io::Error>) {
        let mut done = 0;
        while done < bytes.len() {
            let wrote = match self {
                Self::File(file) => file.file.write(&bytes[done..]),
                Self::Stdout { .. } => {
                    let mut stdout = io::stdout().lock();
                    // It has a buffer of its own, which must not keep a line back.
                    stdout.write(&bytes[done..]).and_then(|count| stdout.flush().map(|()| count))
                }
            };
            match wrote {
                Ok(0) => return (done, Some(ErrorKind::WriteZero.into())),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (done, Some(error)),
            }
        }
        (done, None)
    }

    /// Removes a part of a line from the end, after `appended` bytes have gone there.
    fn take_back(&mut self, appended: usize, part: usize) {
        if appended == 0 {
            return;
        }
        if part == 0 {
            self.set_torn(false);
            return;
        }
        let is_gone = match self {
            Self::File(file) => file.cut(part).is_ok(),
            Self::Stdout { .. } => false,
        };
        // If the break before the first line went, and all is cut, the end is what it was before.
        self.set_torn(!is_gone || (appended == part && self.is_torn()));
    }

    fn is_torn(&self) -> bool {
        match self {
            Self::File(file) => file.is_torn,
            Self::Stdout { is_torn } => *is_torn,
        }
    }

    fn set_torn(&mut self, torn: bool) {
        match self {
            Self::File(file) => file.is_torn = torn,
            Self::Stdout { is_torn } => *is_torn = torn,
        }
    }
}

impl AppendedFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let (file, is_torn) = open(&path)?;
        Ok(Self { path, file, is_torn })
    }

    /// Opens the file anew if another one is at its path, or none.
    fn follow(&mut self, reopen: bool) -> io::Result<()> {
        let own = self.file.metadata()?;
        let is_there = match std::fs::metadata(&self.path) {
            Ok(there) => (there.dev(), there.ino()) == (own.dev(), own.ino()),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_there || reopen {
            (self.file, self.is_torn) = open(&self.path)?;
        }
        Ok(())
    }

    fn cut(&self, bytes: usize) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        self.file.set_len(length.saturating_sub(bytes as u64))
    }
}

/// Opens a file to append to, for its owner only if it is new. Returns whether it ends within a line.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let refuse = |what: &str| Err(io::Error::new(ErrorKind::InvalidInput, what.to_owned()));
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_symlink() => return refuse("it is a link: name the file itself"),
        // A pipe without a reader would be waited for.
        Ok(there) if there.file_type().is_fifo() || !there.is_file() => return refuse("it is no file"),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = rustix::fs::OFlags::NOFOLLOW.bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    let mut file = open()?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return refuse("it is no file");
    }
    if metadata.mode() & 0o007 != 0 {
        tracing::warn!("others may read the audit: `chmod o= {}`", path.display());
    }
    let mut last = [b'\n'];
    if metadata.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok((file, last != [b'\n']))
}

/// Has the system keep room for so many bytes behind the end of a file, which stays as long as it is. Where it cannot, as on
/// some network file systems, nothing is kept.
pub(super) fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let (file, _) = open(path)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        use rustix::io::Errno;

        let end = file.metadata()?.len();
        match rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, end, bytes) {
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => Err(error.into()),
            _ => Ok(()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_disk_took_of_a_line_is_taken_back() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("audit.jsonl");
        let mut destination = Destination::open(Target::File(path.clone())).unwrap();
        let written = destination.write(&["{1}\n".to_owned(), "{2}\n".to_owned()], false);
        assert!(written.lines == 2 && written.error.is_none());
        // The system took one line and a part of the next.
        let (bytes, error) = destination.append(b"{3}\n{4");
        assert!(bytes == 6 && error.is_none());
        destination.take_back(bytes, 2);
        assert!(destination.write(&["{5}\n".to_owned()], false).error.is_none());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{1}\n{2}\n{3}\n{5}\n");
    }

    #[test]
    fn what_cannot_be_taken_back_is_ended_by_a_break() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("audit.jsonl");
        std::fs::write(&path, "{half").unwrap();
        let mut destination = Destination::open(Target::File(path.clone())).unwrap();
        assert!(destination.write(&["{1}\n".to_owned()], false).error.is_none());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{half\n{1}\n");
    }
}
