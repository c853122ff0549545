//! The work of `build` and `dev` on sources beside compiling them: mistakes that they explain, faults of toolchains that
//! they see or mend, and what they never write over.

mod explained;
mod javascript;
mod kept;
mod traps;
mod types;

use std::fs;
use std::path::Path;

use tinymcp_tests::command::CommandOutput;
use tinymcp_tests::server::Site;

/// Writes the files of a source.
fn write(site: &Site, plugin: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = site.plugin_path(plugin).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Replaces a part of a file that is there.
fn change(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(path, text.replace(old, new)).unwrap();
}

/// Builds one plugin, which must work.
fn build(site: &Site, plugin: &str) -> CommandOutput {
    let finished = site.run(&["build", plugin]);
    assert_eq!(finished.code, 0, "{finished:#?}");
    finished
}
