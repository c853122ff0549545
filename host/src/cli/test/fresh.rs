//! Whether a plugin's component is that of its sources.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::plan::FOLDER;
use crate::cli::build::artifact::Artifact;
use crate::cli::build::{Language, sources};
use crate::config::Config;

/// Why the plugin cannot be tested as it is, with the command that mends it.
pub(super) fn problem(config: &Config, name: &str) -> Option<String> {
    let directory = &config.plugins.dir;
    let artifact = Artifact::of(directory, name);
    let component = artifact.component().display();
    let source = sources::choose(config, &[name.to_owned()]).ok().and_then(|mut found| found.pop());
    let Some(source) = source else {
        let is_there = artifact.component().is_file();
        return (!is_there).then(|| format!("`{component}` is not there, and has no sources here to be built from"));
    };
    let build = format!("build it first: `tinymcp build {name}`");
    let Some(made) = artifact.made() else { return Some(format!("`{component}` is not built; {build}")) };
    let newer = newer_source(&source.folder.directory, made)?;
    let shown = newer.strip_prefix(directory).unwrap_or(&newer).display().to_string();
    Some(format!("`{component}` is older than `{shown}`; {build}"))
}

/// A source that has changed since, if there is one.
fn newer_source(directory: &Path, made: SystemTime) -> Option<std::path::PathBuf> {
    let is_source = |path: &Path| {
        let inner = path.strip_prefix(directory).unwrap_or(path);
        // Cases are not built.
        Language::is_source_file(path) && !inner.starts_with(FOLDER)
    };
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    let mut files = sources::files(directory);
    files.sort();
    files.into_iter().filter(|path| is_source(path)).find(|path| changed(path).is_some_and(|changed| changed > made))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_that_has_changed_since_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let put = |file: &str, time: SystemTime| {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        let later = now + Duration::from_secs(1);
        put("src/lib.rs", now);
        for no_source in ["src/bindings.rs", "Cargo.lock", "tests/a.toml", "target/x.rs", ".venv/x.py"] {
            put(no_source, later);
        }
        assert_eq!(newer_source(dir.path(), now), None);
        put("wit/world.wit", later);
        assert_eq!(newer_source(dir.path(), now), Some(dir.path().join("wit/world.wit")));
    }
}
