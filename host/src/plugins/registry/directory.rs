//! Looking at the plugins directory, and reading its files without trust in them.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::ByteSize;
use crate::plugins::approval::store::signature_of;
use crate::plugins::names;
use crate::sanitize::literal;

/// Facts that tell one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugins) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

/// A `.wasm` file of the directory. Its stamp is that of a symbolic link's target.
#[derive(Debug, Clone)]
pub(in crate::plugins) struct PluginFile {
    pub(in crate::plugins) file: String,
    pub(in crate::plugins) path: PathBuf,
    pub(in crate::plugins) stamp: Stamp,
    /// That of the signature beside it, if there is one.
    pub(in crate::plugins) signature: Option<Stamp>,
}

/// A reason why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::plugins) enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("not a regular file")]
    NotAFile,
    #[error("a directory, and not a file")]
    Directory,
    #[error("a link to a directory, and not to a file")]
    LinkToDirectory,
    #[error("a link that leads back to itself")]
    Circle,
    #[error("{size} is more than `limits.file` allows ({limit})")]
    TooLarge { size: ByteSize, limit: ByteSize },
    #[error("changed while it was read")]
    Changed,
}

impl Stamp {
    pub(in crate::plugins) fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The stamp of the file that a path names now, if there is one.
    pub(in crate::plugins) fn of_file(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    /// The bytes of the file.
    pub(in crate::plugins) fn size(&self) -> u64 {
        self.size
    }

    /// True if nobody has written to the file for so long. A time in the future counts as long ago:
    /// a wrong clock must not keep a plugin from loading.
    pub(in crate::plugins) fn is_quiet_for(&self, quiet: Duration) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age_ns = now.as_nanos().cast_signed() - self.modified_ns;
        age_ns < 0 || age_ns >= quiet.as_nanos().cast_signed()
    }
}

/// The `.wasm` files of the directory, ordered by name. Hidden files are what editors and copy programs write
/// before they rename.
///
/// # Errors
/// What the system says when the directory cannot be listed.
pub(in crate::plugins) fn look(dir: &Path) -> io::Result<Vec<PluginFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(file) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        if !file.ends_with(".wasm") || file.starts_with('.') {
            continue;
        }
        let metadata = match fs::metadata(&path) {
            Err(error) if is_circle(&error) => fs::symlink_metadata(&path),
            metadata => metadata,
        };
        // A link that names nothing, or a file that is gone again, is no file, and a directory may be a source of one. What
        // else a link leads to was meant to be a plugin.
        let is_directory = |metadata: &Metadata| metadata.is_dir() && !path.is_symlink();
        if let Ok(metadata) = metadata
            && !is_directory(&metadata)
        {
            let signature = Stamp::of_file(&signature_of(&path));
            found.push(PluginFile { file, path, stamp: Stamp::of(&metadata), signature });
        }
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

/// The name that a file needs in the plugins directory, and a warning if its own is another.
pub(in crate::plugins) fn required_name(file: &str) -> (String, Option<String>) {
    const END: &str = ".wasm";
    let stem = file.strip_suffix(END).unwrap_or(file);
    let suggested = names::suggested(stem);
    let name = format!("{suggested}{END}");
    if name == file {
        return (name, None);
    }
    let shown = literal(file);
    let warning = format!("the plugins directory does not take a file called `{shown}`: rename it to `{name}`");
    (name, Some(warning))
}

fn is_circle(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Reads a regular file of at most `limit` whole, and says which state of it that was.
///
/// # Errors
/// [`ReadError`]; [`ReadError::Changed`] when somebody wrote to it meanwhile.
pub(in crate::plugins) fn read(path: &Path, limit: ByteSize) -> Result<(Vec<u8>, Stamp), ReadError> {
    // Without waiting: opening a FIFO that nobody writes to would block forever.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = opened.map_err(|error| if is_circle(&error) { ReadError::Circle } else { error.into() })?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(if path.is_symlink() { ReadError::LinkToDirectory } else { ReadError::Directory });
    }
    if !metadata.is_file() {
        return Err(ReadError::NotAFile);
    }
    let size = ByteSize::from_bytes(metadata.size());
    if size > limit {
        return Err(ReadError::TooLarge { size, limit });
    }
    let stamp = Stamp::of(&metadata);
    if metadata.size() == 0 {
        // Nothing to read, and files of the kernel's own that have no size may have no end either.
        return Ok((Vec::new(), stamp));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.size()).unwrap_or_default());
    (&file).take(limit.bytes()).read_to_end(&mut bytes)?;
    if Stamp::of(&file.metadata()?) != stamp || bytes.len() as u64 != metadata.size() {
        return Err(ReadError::Changed);
    }
    Ok((bytes, stamp))
}

/// True for the directory's own file: no link of either kind led to a file kept elsewhere, such as a key.
pub(in crate::plugins) fn is_own(path: &Path, read: &Stamp) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| {
        metadata.is_file() && metadata.nlink() == 1 && (metadata.dev(), metadata.ino()) == (read.device, read.inode)
    })
}

/// The directory that a path names now: it changes when another one takes its place.
pub(in crate::plugins) fn identity(dir: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(dir).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_wasm_files_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.wasm", "a.wasm", ".c.wasm", "d.wasm~", "e.txt"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::create_dir(dir.path().join("f.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("g.wasm")).unwrap();
        let found: Vec<String> = look(dir.path()).unwrap().into_iter().map(|found| found.file).collect();
        assert_eq!(found, ["a.wasm", "b.wasm"]);
    }

    #[test]
    fn a_file_of_any_name_is_called_something() {
        for (file, name, is_warned) in [
            ("add.wasm", "add.wasm", false),
            ("My_tool-2.wasm", "My_tool-2.wasm", false),
            ("add.component.wasm", "add.wasm", true),
            ("add.v2.wasm", "add-v2.wasm", true),
            ("add", "add.wasm", true),
            (".hidden.wasm", "hidden.wasm", true),
        ] {
            let (called, warning) = required_name(file);
            assert_eq!((called.as_str(), warning.is_some()), (name, is_warned), "{file}");
        }
    }

    #[test]
    fn links_to_no_file_are_found_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        for (target, link) in [("b.wasm", "a.wasm"), ("a.wasm", "b.wasm"), ("folder", "c.wasm"), ("gone", "d.wasm")] {
            std::os::unix::fs::symlink(target, path(link)).unwrap();
        }
        let refusal =
            |found: PluginFile| (found.file, read(&found.path, ByteSize::from_bytes(1024)).unwrap_err().to_string());
        let found: Vec<_> = look(dir.path()).unwrap().into_iter().map(refusal).collect();
        let expected = [
            ("a.wasm", "a link that leads back to itself"),
            ("b.wasm", "a link that leads back to itself"),
            ("c.wasm", "a link to a directory, and not to a file"),
        ];
        assert_eq!(found, expected.map(|(file, refusal)| (file.to_owned(), refusal.to_owned())));
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big.wasm");
        File::create(&path).unwrap().set_len(200 << 20).unwrap();
        let error = read(&path, ByteSize::from_bytes(64 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "200MiB is more than `limits.file` allows (64MiB)");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_without_a_size_is_empty_whatever_it_gives() {
        // One of the kernel's own: what it gives is never as long as its size, at any time.
        let (bytes, _) = read(Path::new("/proc/self/maps"), ByteSize::from_bytes(1024)).unwrap();
        assert!(bytes.is_empty());
    }

    #[test]
    fn links_lead_to_what_is_not_the_directorys_own() {
        let dir = tempfile::tempdir().unwrap();
        let [file, soft, hard] = ["file", "soft", "hard"].map(|name| dir.path().join(name));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &soft).unwrap();
        let stamp = Stamp::of_file(&file).unwrap();
        assert!(is_own(&file, &stamp) && !is_own(&soft, &stamp));
        fs::hard_link(&file, &hard).unwrap();
        assert!(!is_own(&hard, &stamp));
    }

    #[test]
    fn a_fifo_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo.wasm");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(read(&path, ByteSize::from_bytes(1024)), Err(ReadError::NotAFile)));
    }
}
