//! The WIT of the host, `tinymcp:plugin`, in the folder of a plugin whose world names it: both ways to build Rust, and the
//! toolchains of the other languages, look for packages in `wit/deps`.

use std::path::Path;
use std::{fs, io};

use super::wit::files_in;

/// The place of the host's WIT in the folder of a plugin.
pub(in crate::cli) const DEPS: &str = "wit/deps/tinymcp-plugin";

/// The package, as texts name it.
const PACKAGE: &str = "tinymcp:plugin";

/// The files, as they are, so that a world only needs a line to import from them.
const FILES: [(&str, &str); 9] = [
    ("completions.wit", include_str!("../../../../wit/completions.wit")),
    ("content.wit", include_str!("../../../../wit/content.wit")),
    ("host.wit", include_str!("../../../../wit/host.wit")),
    ("input.wit", include_str!("../../../../wit/input.wit")),
    ("kv.wit", include_str!("../../../../wit/kv.wit")),
    ("prompts.wit", include_str!("../../../../wit/prompts.wit")),
    ("resources.wit", include_str!("../../../../wit/resources.wit")),
    ("tools.wit", include_str!("../../../../wit/tools.wit")),
    ("world.wit", include_str!("../../../../wit/world.wit")),
];

/// Puts the package where it is named and not there yet, and tells whether it did. One that is there stays: its version
/// is its author's affair.
///
/// # Errors
/// The system's.
pub(in crate::cli) fn supply(directory: &Path) -> io::Result<bool> {
    let wit = directory.join("wit");
    let texts: Vec<String> = files_in(&wit).iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let is_named = texts.iter().any(|text| text.contains(&format!("{PACKAGE}/")));
    let declares = |text: &String| text.contains(&format!("package {PACKAGE}"));
    if !is_named || texts.iter().any(declares) || has(&wit.join("deps"), &declares) {
        return Ok(false);
    }
    put(directory).map(|()| true)
}

/// Puts the package there.
///
/// # Errors
/// The system's.
pub(in crate::cli) fn put(directory: &Path) -> io::Result<()> {
    let deps = directory.join(DEPS);
    fs::create_dir_all(&deps)?;
    FILES.iter().try_for_each(|(file, text)| fs::write(deps.join(file), text))
}

/// True if a package among the dependencies declares itself so: in a file, or in a folder of its own.
fn has(deps: &Path, declares: &impl Fn(&String) -> bool) -> bool {
    let folders = fs::read_dir(deps).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| files_in(&folder)).chain(files_in(deps));
    files.filter_map(|file| fs::read_to_string(file).ok()).any(|text| declares(&text))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn it_is_the_whole_wit_of_the_host() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let files = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
        let mut wit: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "wit")).collect();
        wit.sort();
        let names: Vec<_> = wit.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(FILES.map(|(file, _)| file), names.as_slice());
    }

    #[test]
    fn what_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("wit/world.wit", "package local:x;\nworld x {}\n");
        assert!(!supply(dir.path()).unwrap());
        write("wit/world.wit", "package local:x;\nworld x { import tinymcp:plugin/kv@0.1.0; }\n");
        assert!(supply(dir.path()).unwrap() && !supply(dir.path()).unwrap());
        fs::remove_dir_all(dir.path().join("wit/deps")).unwrap();
        write("wit/deps/mine/any.wit", "package tinymcp:plugin@0.1.0;\n");
        assert!(!supply(dir.path()).unwrap());
        assert!(!dir.path().join(DEPS).exists());
    }
}
