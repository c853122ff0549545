//! The directories through which the symbolic links of the plugins directory lead, so that a swapped one is noticed.
//!
//! `hello.wasm` may be a link to `/srv/current/hello.wasm`, where `current` is a link to `v1`: a new version is a new
//! `current`, and neither the plugins directory nor `v1` changes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Links that a path may lead through, as for the system itself.
const MAX_LINKS: usize = 40;

/// The paths at which a change may be one of the plugins directory: every directory and link on the way to it and to what
/// its links name, and what they name. Nothing is opened: a link may lead to a FIFO, or to a device.
pub(in crate::plugins) fn places(dir: &Path) -> BTreeSet<PathBuf> {
    let mut places = BTreeSet::new();
    trace(dir, &mut places);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        // Also one that names nothing now: between two steps of a swap it does not.
        if is_link && entry.file_name().as_encoded_bytes().ends_with(b".wasm") {
            trace(&entry.path(), &mut places);
        }
    }
    places
}

fn trace(path: &Path, places: &mut BTreeSet<PathBuf>) {
    let Ok(path) = std::path::absolute(path) else { return };
    let mut at = PathBuf::new();
    let mut rest = parts(&path);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        let here = match part {
            Part::Root => {
                at = PathBuf::from("/");
                continue;
            }
            Part::Up => {
                at.pop();
                continue;
            }
            Part::Name(name) => at.join(name),
        };
        let Ok(metadata) = fs::symlink_metadata(&here) else {
            // What is missing here may come.
            places.insert(here);
            return;
        };
        if !metadata.is_symlink() {
            // Another one may take its place. What the system does not let us look into cannot be watched either.
            if rustix::fs::access(&at, rustix::fs::Access::READ_OK).is_ok() {
                places.insert(here.clone());
            }
            at = here;
            continue;
        }
        links += 1;
        let Some(target) = fs::read_link(&here).ok().filter(|_| links <= MAX_LINKS) else { return };
        places.insert(here);
        rest.extend(parts(&target));
    }
    places.insert(at);
}

enum Part {
    Root,
    Up,
    Name(OsString),
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<Part> {
    let part = |component| match component {
        Component::RootDir => Some(Part::Root),
        Component::ParentDir => Some(Part::Up),
        Component::Normal(name) => Some(Part::Name(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(part).rev().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A plugins directory, and one elsewhere with `v1` and `current`, a link to it.
    fn site() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(scratch.path()).unwrap();
        let (plugins, elsewhere) = (root.join("plugins"), root.join("elsewhere"));
        fs::create_dir_all(elsewhere.join("v1")).unwrap();
        fs::create_dir(&plugins).unwrap();
        symlink("v1", elsewhere.join("current")).unwrap();
        (scratch, plugins, elsewhere)
    }

    #[test]
    fn every_link_on_the_way_is_a_place() {
        let (_scratch, plugins, elsewhere) = site();
        fs::write(elsewhere.join("v1/a"), "").unwrap();
        symlink("../elsewhere/current/a", plugins.join("a.wasm")).unwrap();
        fs::write(plugins.join("b.wasm"), "").unwrap();
        let places = places(&plugins);
        for place in [plugins.join("a.wasm"), elsewhere.join("current"), elsewhere.join("v1"), elsewhere.join("v1/a")] {
            assert!(places.contains(&place), "{} is not in {places:?}", place.display());
        }
        assert!(!places.contains(&plugins.join("b.wasm")));
    }

    #[test]
    fn a_directory_that_is_a_link_itself_is_followed() {
        let (_scratch, _, elsewhere) = site();
        let places = places(&elsewhere.join("current"));
        assert!(places.contains(&elsewhere.join("current")) && places.contains(&elsewhere.join("v1")), "{places:?}");
    }

    #[test]
    fn a_link_that_names_nothing_waits_for_what_is_missing() {
        let (_scratch, plugins, elsewhere) = site();
        symlink(elsewhere.join("v2/a"), plugins.join("a.wasm")).unwrap();
        assert!(places(&plugins).contains(&elsewhere.join("v2")));
    }

    #[test]
    fn every_directory_on_the_way_is_a_place() {
        let (_scratch, plugins, elsewhere) = site();
        fs::create_dir_all(elsewhere.join("v1/deep/deeper")).unwrap();
        fs::write(elsewhere.join("v1/deep/deeper/a"), "").unwrap();
        symlink(elsewhere.join("v1/deep/deeper/a"), plugins.join("a.wasm")).unwrap();
        let places = places(&plugins);
        for place in
            [elsewhere.clone(), elsewhere.join("v1"), elsewhere.join("v1/deep"), elsewhere.join("v1/deep/deeper")]
        {
            assert!(places.contains(&place), "{} is not in {places:?}", place.display());
        }
    }

    #[test]
    fn a_circle_ends() {
        let (_scratch, plugins, _) = site();
        symlink("b.wasm", plugins.join("a.wasm")).unwrap();
        symlink("a.wasm", plugins.join("b.wasm")).unwrap();
        assert!(places(&plugins).contains(&plugins.join("a.wasm")));
    }

    #[test]
    fn a_link_to_a_fifo_is_looked_at_without_waiting() {
        let (_scratch, plugins, elsewhere) = site();
        let fifo = elsewhere.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        symlink(&fifo, plugins.join("fifo.wasm")).unwrap();
        assert!(places(&plugins).contains(&fifo));
    }
}
