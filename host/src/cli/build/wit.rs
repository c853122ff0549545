//! The WIT of a source, read with the WIT tools' own parser before a toolchain sees it.
//!
//! Toolchains report a mistake in WIT in their own ways, far from its place or not at all. Here it gets its place and a
//! hint. That explains a failed build and never stops one: a toolchain may read a newer WIT, or find packages
//! elsewhere, and its result counts.

pub(super) mod copy;
mod error;
pub(in crate::cli) mod hint;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use wit_parser::{LiveTypes, PackageId, PackageName, PackageSourceMap, Resolve, TypeOwner, World, WorldItem};

pub(super) use self::error::WitError;

/// The WIT of a source.
pub(super) struct Wit {
    pub(super) resolve: Resolve,
    pub(super) package: PackageId,
    files: PackageSourceMap,
}

impl Wit {
    /// Reads `wit/` of a source; nothing if there is none.
    pub(super) fn read(source_dir: &Path) -> Result<Option<Self>, WitError> {
        let directory = source_dir.join("wit");
        if !directory.is_dir() {
            return Ok(None);
        }
        // Unstable features are part of the text as well.
        let mut resolve = Resolve { all_features: true, ..Resolve::default() };
        match resolve.push_dir(&directory) {
            Ok((package, files)) => Ok(Some(Self { resolve, package, files })),
            Err(error) => Err(WitError::of(&error, &resolve.source_map)),
        }
    }

    /// The world that a plugin is made of: the only one of the package.
    pub(super) fn world(&self) -> Option<&World> {
        let world = self.resolve.select_world(&[self.package], None).ok()?;
        Some(&self.resolve.worlds[world])
    }

    /// The names of all worlds of the package, unless there is exactly one.
    pub(super) fn no_single_world(&self) -> Option<Vec<String>> {
        let worlds = &self.resolve.packages[self.package].worlds;
        self.world().is_none().then(|| worlds.keys().cloned().collect())
    }

    /// The files that describe the world's exports: its own, and those of packages that its functions use. The WIT of
    /// the host and of WASI describes no plugin.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut packages = BTreeSet::from([self.package]);
        if let Some(world) = self.world() {
            let mut live = LiveTypes::default();
            for item in world.exports.values() {
                live.add_world_item(&self.resolve, item);
                if let WorldItem::Interface { id, .. } = item {
                    packages.extend(self.resolve.interfaces[*id].package);
                }
            }
            packages.extend(live.iter().filter_map(|id| match self.resolve.types[id].owner {
                TypeOwner::Interface(interface) => self.resolve.interfaces[interface].package,
                TypeOwner::World(_) | TypeOwner::None => None,
            }));
        }
        packages.retain(|package| !is_known(&self.resolve.packages[*package].name));
        let paths = packages.into_iter().flat_map(|package| self.files.package_paths(package).into_iter().flatten());
        let files: BTreeSet<PathBuf> = paths.map(Path::to_owned).collect();
        files.into_iter().collect()
    }
}

/// Tells whether a package is the host's or WASI's.
pub(super) fn is_known(package: &PackageName) -> bool {
    package.namespace == "wasi" || (package.namespace == "tinymcp" && package.name == "plugin")
}

/// The word `world` before the body of this world, if it is in this text.
pub(super) fn start_of_world(text: &str, tokens: &[Range<usize>], world: &str) -> Option<usize> {
    let word = |index: usize| tokens.get(index).map_or("", |token| &text[token.clone()]);
    (0..tokens.len()).find(|index| {
        word(*index) == "world" && word(index + 1).trim_start_matches('%') == world && word(index + 2) == "{"
    })
}

/// All files of WIT in a folder, by name, but for those in folders in it.
pub(super) fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.is_file() && path.extension().is_some_and(|it| it == "wit")).collect();
    files.sort();
    files
}
