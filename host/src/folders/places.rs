//! Places that no plugin sees: files of this server, and the system's own folders. They are told by device and inode, so
//! that another name of a folder, a symbolic link or a mount is no way around.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs};

use cap_primitives::fs::{Metadata, MetadataExt as _};

/// A file or folder of this machine, whatever its name: device and inode.
pub(super) type Id = (u64, u64);

/// That of something open or looked at.
pub(super) fn id_of(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

/// Folders of the system that show processes, devices and secrets of containers.
const SYSTEM: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// Least time between two looks at all files of this server. They are looked at where a file has several names.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// They are looked at for this part of the time at most.
const LOOK_SHARE: u32 = 20;

/// Files and folders that are looked at. Where there are more, no file with several names is opened.
const LOOK_MAX: usize = 100_000;

/// Places that no granted folder may hold, be or lie in.
#[derive(Debug, Clone)]
pub struct Places(Vec<Place>);

#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    what: String,
    /// It is the system's: what is in it has a file system of its own, mostly.
    is_system: bool,
}

/// What is opened under no name, in whichever granted folder.
#[derive(Default)]
pub(super) struct Hidden {
    pub(super) places: Places,
    inside: Mutex<Option<Look>>,
}

/// A look at what is inside of the places.
struct Look {
    at: Instant,
    took: Duration,
    /// None if it was too much.
    found: Option<HashSet<Id>>,
}

impl Look {
    fn is_old(&self) -> bool {
        self.at.elapsed() >= LOOK_INTERVAL.max(self.took * LOOK_SHARE)
    }
}

impl Hidden {
    pub(super) fn new(places: Places) -> Self {
        Self { places, inside: Mutex::default() }
    }

    /// True for one of the places, and for a further name of a file inside of one.
    pub(super) fn has(&self, metadata: &Metadata) -> bool {
        let id = id_of(metadata);
        self.places.ids().contains(&id) || (metadata.is_file() && metadata.nlink() > 1 && self.is_inside(id))
    }

    fn is_inside(&self, id: Id) -> bool {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.as_ref().is_none_or(Look::is_old) {
            let begun = Instant::now();
            let found = self.places.inside();
            *inside = Some(Look { at: Instant::now(), took: begun.elapsed(), found });
        }
        let found = inside.as_ref().and_then(|look| look.found.as_ref());
        found.is_none_or(|found| found.contains(&id))
    }
}

/// The reason that a folder is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    folder: PathBuf,
    place: PathBuf,
    what: String,
    is_inside: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, place, what, is_inside } = self;
        let (folder, place) = (folder.display(), place.display());
        match is_inside {
            true => write!(f, "`{folder}` is {what} (`{place}`) or lies in it: grant a folder elsewhere"),
            false => write!(f, "`{folder}` holds {what} (`{place}`): grant a folder that does not"),
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::new([])
    }
}

impl Places {
    /// These, each with its description, and those of the system.
    pub fn new(own: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let own = own.into_iter().map(|(path, what)| Place { path, what, is_system: false });
        let what = "a folder of the system";
        let system = SYSTEM.map(|path| Place { path: path.into(), what: what.to_owned(), is_system: true });
        Self(own.chain(system).collect())
    }

    /// Judges a folder by where it is now.
    ///
    /// # Errors
    /// The system's: the folder is not there, or cannot be looked at.
    pub fn judge(&self, folder: &Path) -> io::Result<Result<(), Refused>> {
        let ancestors = ancestors(&fs::canonicalize(folder)?)?;
        let Some(own) = ancestors.first() else { return Ok(Ok(())) };
        for place in &self.0 {
            let Found { id, ancestors: of_place } = found(&place.path);
            let is_inside = id.is_some_and(|id| ancestors.contains(&id));
            if is_inside || of_place.contains(own) {
                let (folder, what) = (folder.to_owned(), place.what.clone());
                return Ok(Err(Refused { folder, place: place.path.clone(), what, is_inside }));
            }
            if let Some(link) = place.links().find(|link| found(link).ancestors.contains(own)) {
                let what = format!("what a link in {} leads to", place.what);
                return Ok(Err(Refused { folder: folder.to_owned(), place: link, what, is_inside }));
            }
        }
        Ok(Ok(()))
    }

    /// The places that are there: another name of one may be found inside a folder.
    fn ids(&self) -> Vec<Id> {
        self.0.iter().filter_map(|place| id(&place.path).ok()).collect()
    }

    /// The files inside of this server's own. None if there are too many.
    fn inside(&self) -> Option<HashSet<Id>> {
        let mut found = HashSet::new();
        let own = self.0.iter().filter(|place| !place.is_system);
        let mut folders: Vec<PathBuf> = own.map(|place| place.path.clone()).filter(|path| path.is_dir()).collect();
        let mut looked = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                looked += 1;
                if looked > LOOK_MAX {
                    return None;
                }
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    found.insert((metadata.dev(), metadata.ino()));
                }
            }
        }
        Some(found)
    }
}

impl Place {
    /// The symbolic links in it, if it is a folder of this server: what they lead to is served from here.
    fn links(&self) -> impl Iterator<Item = PathBuf> {
        let entries = if self.is_system { None } else { fs::read_dir(&self.path).ok() };
        let is_link = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
        entries.into_iter().flatten().flatten().filter(is_link).map(|entry| entry.path())
    }
}

struct Found {
    /// None if it is not there.
    id: Option<Id>,
    /// It, and all folders above it that are there.
    ancestors: Vec<Id>,
}

/// A place may come later: then the folders where it would be count.
fn found(path: &Path) -> Found {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|path| fs::canonicalize(path).ok());
    Found { id: id(path).ok(), ancestors: there.and_then(|path| ancestors(&path).ok()).unwrap_or_default() }
}

fn ancestors(canonical: &Path) -> io::Result<Vec<Id>> {
    canonical.ancestors().map(id).collect()
}

fn id(path: &Path) -> io::Result<Id> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_lies_apart_from_every_place() {
        let site = tempfile::tempdir().unwrap();
        let path = |name: &str| site.path().join(name);
        for folder in ["data/deep", "state/folders", "apart/later"] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        fs::write(path("tinymcp.toml"), "").unwrap();
        fs::write(path("data/deep/secret"), "").unwrap();
        symlink(path("state"), path("link")).unwrap();
        let places = Places::new(
            ["tinymcp.toml", "state", "data/deep/secret", "apart/later/tinymcp.lock"]
                .map(|name| (path(name), format!("the {name}"))),
        );
        for (folder, expected) in [
            (path(""), "holds the tinymcp.toml"),
            (path("state"), "is the state"),
            (path("state/folders"), "is the state"),
            (path("link"), "is the state"),
            (path("link/folders/.."), "is the state"),
            (path("data"), "holds the data/deep/secret"),
            (path("data/deep"), "holds the data/deep/secret"),
            (path("apart/later"), "holds the apart/later/tinymcp.lock"),
            ("/".into(), "holds the"),
            ("/proc".into(), "is a folder of the system"),
            ("/proc/self/fd".into(), "is a folder of the system"),
            ("/dev".into(), "is a folder of the system"),
        ] {
            let refused = places.judge(&folder).unwrap().unwrap_err().to_string();
            assert!(refused.contains(expected), "{folder:?}: {refused}");
        }
        fs::create_dir(path("files")).unwrap();
        assert_eq!(places.judge(&path("files")).unwrap(), Ok(()));
        fs::write(path("files/hello.wasm"), "").unwrap();
        symlink(path("files/hello.wasm"), path("state/hello.wasm")).unwrap();
        let refused = places.judge(&path("files")).unwrap().unwrap_err().to_string();
        assert!(refused.contains("holds what a link in the state leads to"), "{refused}");
        assert_eq!(places.judge(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
