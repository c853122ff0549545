//! The components of `build` and `dev` in the plugins directory, with a record of them, so that a file of somebody else
//! is never overwritten.
//!
//! Files below `target` of the plugins directory hold the digests of the last components that were made of each
//! plugin's sources. A file under the plugin's name with another digest is foreign: it is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::atomic_file;

/// Components that are remembered: the present one and its successor, since a build that ends halfway leaves either.
const REMEMBERED: usize = 2;

/// The component of one source.
pub(in crate::cli) struct Artifact {
    component: PathBuf,
    record: PathBuf,
}

/// The outcome of putting a component into its place.
pub(super) enum Placement {
    /// The same component was there already, byte by byte.
    Unchanged,
    /// The component is in its place, and no foreign file was there.
    New,
    /// The component is in its place, and the foreign file that was there has this name.
    BackedUp(PathBuf),
}

impl Artifact {
    /// The component of the source of this name.
    pub(in crate::cli) fn of(plugins_dir: &Path, name: &str) -> Self {
        Self { component: plugins_dir.join(format!("{name}.wasm")), record: plugins_dir.join("target/made").join(name) }
    }

    /// The place of the component.
    pub(in crate::cli) fn component(&self) -> &Path {
        &self.component
    }

    /// True if the file in its place was not made here.
    pub(in crate::cli) fn is_foreign(&self) -> bool {
        match fs::read(&self.component) {
            Ok(there) => !self.is_ours(&there),
            // An unreadable file is foreign, and so is a link that leads nowhere.
            Err(_) => self.is_taken(),
        }
    }

    /// The time at which the component was made of its sources; none if there is none. A component that was not made here
    /// has the time of its file.
    pub(in crate::cli) fn made(&self) -> Option<SystemTime> {
        let component = fs::read(&self.component).ok()?;
        let file = if self.is_ours(&component) { &self.record } else { &self.component };
        fs::metadata(file).and_then(|about| about.modified()).ok()
    }

    /// Remembers when the build of the present component began: sources that have changed since are not in it. It may be
    /// the same component, byte by byte, as before.
    pub(super) fn stamp(&self, began: SystemTime) -> io::Result<()> {
        fs::File::options().write(true).open(&self.record)?.set_modified(began)
    }

    /// A free name under which a foreign file is kept.
    pub(in crate::cli) fn free_name(&self) -> PathBuf {
        let named = |number: u32| {
            let mut name = self.component.clone().into_os_string();
            name.push(if number == 1 { ".old".to_owned() } else { format!(".old{number}") });
            PathBuf::from(name)
        };
        let is_free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
        (1..).map(named).find(is_free).unwrap_or_else(|| named(0))
    }

    fn is_taken(&self) -> bool {
        fs::symlink_metadata(&self.component).is_ok()
    }

    fn is_ours(&self, component: &[u8]) -> bool {
        let digest = digest_of(component);
        fs::read_to_string(&self.record).is_ok_and(|record| record.lines().any(|known| known == digest))
    }

    /// Puts a component into its place in one step, and remembers it.
    pub(super) fn put(&self, component: &[u8]) -> io::Result<Placement> {
        let there = match fs::read(&self.component) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if there.as_deref() == Some(component) {
            self.remember(component)?;
            return Ok(Placement::Unchanged);
        }
        let is_foreign = there.map_or_else(|| self.is_taken(), |there| !self.is_ours(&there));
        let kept = is_foreign.then(|| self.keep()).transpose()?;
        self.remember(component)?;
        // A running server must never see half a file, and `build` and `dev` may run at once.
        atomic_file::replace_shared(&self.component, component)?;
        Ok(kept.map_or(Placement::New, Placement::BackedUp))
    }

    /// Gives the present file a second name. It keeps the first one until its successor takes it, so that a server goes
    /// on serving it.
    fn keep(&self) -> io::Result<PathBuf> {
        loop {
            let kept = self.free_name();
            match fs::hard_link(&self.component, &kept) {
                Ok(()) => return Ok(kept),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // Not every file system has hard links.
                Err(_) => return fs::copy(&self.component, &kept).map(|_| kept),
            }
        }
    }

    fn remember(&self, component: &[u8]) -> io::Result<()> {
        let digest = digest_of(component);
        let record = fs::read_to_string(&self.record).unwrap_or_default();
        if record.lines().next() == Some(digest.as_str()) {
            return Ok(());
        }
        let older = record.lines().filter(|known| *known != digest).take(REMEMBERED - 1);
        let record: String =
            std::iter::once(digest.as_str()).chain(older).map(|digest| format!("{digest}\n")).collect();
        self.record.parent().map_or(Ok(()), fs::create_dir_all)?;
        atomic_file::replace_shared(&self.record, record.as_bytes())
    }
}

fn digest_of(component: &[u8]) -> String {
    blake3::hash(component).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(artifact: &Artifact, component: &[u8]) -> (String, Option<Vec<u8>>) {
        match artifact.put(component).unwrap() {
            Placement::Unchanged => ("unchanged".to_owned(), None),
            Placement::New => ("new".to_owned(), None),
            Placement::BackedUp(path) => {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, Some(fs::read(path).unwrap()))
            }
        }
    }

    #[test]
    fn what_others_have_put_there_is_kept_and_what_was_made_here_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let artifact = Artifact::of(dir.path(), "hello");
        let there = || fs::read(dir.path().join("hello.wasm")).unwrap();
        assert!(!artifact.is_foreign());
        assert_eq!(put(&artifact, b"1"), ("new".to_owned(), None));
        assert_eq!(put(&artifact, b"1"), ("unchanged".to_owned(), None));
        assert_eq!(put(&artifact, b"2"), ("new".to_owned(), None));
        assert!(!artifact.is_foreign());

        fs::write(dir.path().join("hello.wasm"), b"foreign").unwrap();
        assert!(artifact.is_foreign());
        assert_eq!(put(&artifact, b"2"), ("hello.wasm.old".to_owned(), Some(b"foreign".to_vec())));
        assert_eq!(there(), b"2");
        fs::write(dir.path().join("hello.wasm"), b"another").unwrap();
        assert_eq!(put(&artifact, b"3"), ("hello.wasm.old2".to_owned(), Some(b"another".to_vec())));
        assert_eq!(fs::read(dir.path().join("hello.wasm.old")).unwrap(), b"foreign");

        // A link that leads nowhere is somebody's as well.
        fs::remove_file(dir.path().join("hello.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("hello.wasm")).unwrap();
        assert!(artifact.is_foreign());
        let Placement::BackedUp(kept) = artifact.put(b"3").unwrap() else { panic!("the link is gone") };
        assert_eq!(fs::read_link(&kept).unwrap(), Path::new("nowhere"));
        assert_eq!(there(), b"3");
        fs::remove_file(kept).unwrap();

        // Without a memory nothing is known to be ours.
        fs::remove_dir_all(dir.path().join("target")).unwrap();
        assert_eq!(put(&artifact, b"4").0, "hello.wasm.old3");
        // An identical file is taken for ours.
        fs::remove_dir_all(dir.path().join("target")).unwrap();
        assert_eq!(put(&artifact, b"4").0, "unchanged");
        assert_eq!(put(&artifact, b"5").0, "new");
    }
}
