//! Places that no plugin sees: files of this server, and the system's own folders. They are told by device and inode, so
//! that another name of a folder, a symbolic link or a mount is no way around.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// A file or folder of this machine, whatever its name: device and inode.
pub(super) type Id = (u64, u64);

/// Folders of the system that show processes, devices and secrets of containers.
const SYSTEM: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// Places that no granted folder may hold, be or lie in.
#[derive(Debug, Clone)]
pub struct Places(Vec<Place>);

#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    what: String,
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
        let own = own.into_iter().map(|(path, what)| Place { path, what });
        let system = SYSTEM.map(|path| Place { path: path.into(), what: "a folder of the system".to_owned() });
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
        }
        Ok(Ok(()))
    }

    /// The places that are there: another name of one may be found inside a folder.
    pub(super) fn ids(&self) -> Vec<Id> {
        self.0.iter().filter_map(|place| id(&place.path).ok()).collect()
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
        assert_eq!(places.judge(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
