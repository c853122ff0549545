//! The size of a folder with all that is below it, however deep that is.
//!
//! A guest nests folders deeper than any path is long. So nothing here is a path: a folder is opened by its name in the one
//! above, and the way back is `..`, which counts only if it leads where the walk came from. Two descriptors are open, and
//! what is still to do is kept on the heap.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;

use cap_primitives::fs::{Metadata, read_base_dir};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::baseline::Count;
use super::places::{Id, id_of};

/// A folder that the walk is in.
struct Level {
    id: Id,
    /// Its name in the folder above; empty for the first one.
    name: OsString,
    /// Folders in it that were not looked at yet.
    rest: Vec<OsString>,
}

/// Measures a folder. Folders that cannot be read are none of the plugin's either.
///
/// # Errors
/// The system's.
pub(super) fn measure(root: &File) -> io::Result<Count> {
    let mut count = Count::default();
    let mut linked = HashSet::new();
    let mut here = open_below(root, OsStr::new("."))?;
    let mut levels = vec![enter(&here, OsString::new(), &mut count, &mut linked)?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.rest.pop() else {
            levels.pop();
            if !levels.is_empty() {
                here = leave(root, &here, &mut levels)?;
            }
            continue;
        };
        let entered = open_below(&here, &name)
            .and_then(|folder| enter(&folder, name, &mut count, &mut linked).map(|level| (folder, level)));
        match entered {
            Ok((folder, level)) => {
                here = folder;
                levels.push(level);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Counts what is in a folder, and notes the folders in it.
fn enter(folder: &File, name: OsString, count: &mut Count, linked: &mut HashSet<Id>) -> io::Result<Level> {
    let mut level = Level { id: id_of(&Metadata::from_file(folder)?), name, rest: Vec::new() };
    for entry in read_base_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(error),
        };
        count.files += 1;
        if metadata.is_dir() {
            level.rest.push(entry.file_name());
        } else if metadata.is_file() && (linked_once(&metadata) || linked.insert(id_of(&metadata))) {
            count.bytes = count.bytes.saturating_add(metadata.len());
        }
    }
    Ok(level)
}

/// The folder above, which is the last of these. Where others have moved what the walk is in, it is looked for anew by the
/// names that led there; what is not found so has gone elsewhere, with all that was to be done in it.
fn leave(root: &File, here: &File, levels: &mut Vec<Level>) -> io::Result<File> {
    let is_last = |file: &File| -> io::Result<bool> {
        let found = id_of(&Metadata::from_file(file)?);
        Ok(levels.last().is_some_and(|level| level.id == found))
    };
    if let Ok(above) = open_below(here, OsStr::new(".."))
        && is_last(&above)?
    {
        return Ok(above);
    }
    let mut reached = open_below(root, OsStr::new("."))?;
    let mut depth = 1;
    while let Some(level) = levels.get(depth) {
        match open_below(&reached, &level.name) {
            Ok(folder) if id_of(&Metadata::from_file(&folder)?) == level.id => reached = folder,
            Ok(_) => break,
            Err(error) if is_passing(&error) => break,
            Err(error) => return Err(error),
        }
        depth += 1;
    }
    levels.truncate(depth);
    Ok(reached)
}

/// Opens a folder by its name, and nothing else that may be there.
fn open_below(folder: &File, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::empty())?))
}

fn linked_once(metadata: &Metadata) -> bool {
    use cap_primitives::fs::MetadataExt;
    metadata.nlink() <= 1
}

/// Others work in the folder at the same time, and some of it may be closed to this user.
fn is_passing(error: &io::Error) -> bool {
    let is_other_kind = matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::NOTDIR | Errno::LOOP));
    is_other_kind || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rustix::fs::{AtFlags, mkdirat, unlinkat};

    use super::*;

    fn open(path: &Path) -> File {
        File::open(path).unwrap()
    }

    fn child(folder: &File, name: &str) -> File {
        mkdirat(folder, name, Mode::from_raw_mode(0o700)).unwrap();
        open_below(folder, OsStr::new(name)).unwrap()
    }

    /// Removes a chain of folders, from its end: `remove_dir_all` would take a stack for it.
    fn remove_chain(root: &File, name: &str, depth: usize) {
        let mut here = open_below(root, OsStr::new(".")).unwrap();
        for _ in 0..depth {
            here = open_below(&here, OsStr::new(name)).unwrap();
        }
        for _ in 0..depth {
            here = open_below(&here, OsStr::new("..")).unwrap();
            let _ = unlinkat(&here, "file", AtFlags::empty());
            unlinkat(&here, name, AtFlags::REMOVEDIR).unwrap();
        }
    }

    #[test]
    fn a_folder_deeper_than_any_path_is_counted_on_a_small_stack() {
        let scratch = tempfile::tempdir().unwrap();
        let root = open(scratch.path());
        let (name, depth) = ("n".repeat(255), 5000);
        let mut here = open_below(&root, OsStr::new(".")).unwrap();
        for level in 0..depth {
            if level % 100 == 0 {
                let flags = OFlags::WRONLY | OFlags::CREATE;
                let file = openat(&here, "file", flags, Mode::from_raw_mode(0o600)).unwrap();
                File::from(file).set_len(10).unwrap();
            }
            here = child(&here, &name);
        }
        drop(here);
        let measured = root.try_clone().unwrap();
        let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || measure(&measured).unwrap());
        assert_eq!(thread.unwrap().join().unwrap(), Count { bytes: 500, files: 5050 });
        remove_chain(&root, &name, depth);
    }

    #[test]
    fn each_folder_is_counted_once_beside_its_neighbours() {
        let scratch = tempfile::tempdir().unwrap();
        for folder in ["a/b/c", "a/d", "e/f/g/h", "i"] {
            fs::create_dir_all(scratch.path().join(folder)).unwrap();
            fs::write(scratch.path().join(folder).join("x"), "12345").unwrap();
        }
        fs::hard_link(scratch.path().join("a/d/x"), scratch.path().join("i/y")).unwrap();
        std::os::unix::fs::symlink("..", scratch.path().join("a/b/up")).unwrap();
        assert_eq!(measure(&open(scratch.path())).unwrap(), Count { bytes: 20, files: 9 + 4 + 2 });
    }

    #[test]
    fn a_folder_that_was_moved_meanwhile_leads_nowhere_else() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("granted/a/b")).unwrap();
        fs::create_dir_all(scratch.path().join("elsewhere/large")).unwrap();
        let root = open(&scratch.path().join("granted"));
        let (mut count, mut linked) = (Count::default(), HashSet::new());
        let mut names = vec![(root.try_clone().unwrap(), "")];
        for name in ["a", "b"] {
            let folder = open_below(&names.last().unwrap().0, OsStr::new(name)).unwrap();
            names.push((folder, name));
        }
        let mut enter_all = || -> Vec<Level> {
            let enter = |(folder, name): &(File, &str)| enter(folder, name.into(), &mut count, &mut linked).unwrap();
            names.iter().map(enter).collect()
        };
        let (mut moved, mut stays) = (enter_all(), enter_all());
        let b = open(&scratch.path().join("granted/a/b"));
        stays.pop();
        assert_eq!(id_of(&Metadata::from_file(&leave(&root, &b, &mut stays).unwrap()).unwrap()), stays[1].id);
        fs::rename(scratch.path().join("granted/a/b"), scratch.path().join("elsewhere/b")).unwrap();
        moved.pop();
        let reached = leave(&root, &b, &mut moved).unwrap();
        assert_eq!((moved.len(), id_of(&Metadata::from_file(&reached).unwrap())), (2, moved[1].id), "by its name");
        fs::rename(scratch.path().join("granted/a"), scratch.path().join("elsewhere/a")).unwrap();
        let reached = leave(&root, &b, &mut moved).unwrap();
        assert_eq!(
            (moved.len(), id_of(&Metadata::from_file(&reached).unwrap())),
            (1, moved[0].id),
            "the granted folder"
        );
    }
}
