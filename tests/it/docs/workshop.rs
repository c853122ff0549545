//! From the listings of the guide to components: all crates in one workspace, in a directory that stays.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tinymcp_tests::command::{finish, suite_path};
use tinymcp_tests::guests::{copy_changed, kept_dir};
use tinymcp_tests::server::Site;

use super::guide::{Crate, Guide};

/// The profile of plugins, without what makes files small and builds slow. Members of a workspace have none of their own.
const PROFILE: &str = "[profile.release]\nopt-level = \"s\"\npanic = \"abort\"\nstrip = true\n";

/// The lines that `tinymcp build` adds, as the guide says.
const WIT_SECTION: &str = r#"
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");
"#;

/// Builds all crates of the guide, those that have changed, and returns the directory of the components.
pub(super) fn build(guide: &Guide) -> PathBuf {
    let dir = kept_dir("docs");
    // Tests are processes of their own, and one of them is enough to write and build.
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let drafts = Site::new();
    for listed in &guide.crates {
        draft(&drafts, listed);
        copy_changed(&drafts.plugin_path(&listed.name), &dir.join(&listed.name));
    }
    let names: Vec<&str> = guide.crates.iter().map(|listed| listed.name.as_str()).collect();
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = {names:?}\n{PROFILE}");
    write_changed(&dir.join("Cargo.toml"), &workspace);
    // The dependencies are those of the crates of `crates.rs`.
    let target = kept_dir("crates");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release", "--target", "wasm32-wasip2"]).current_dir(&dir);
    let built = finish(cargo.env("CARGO_TARGET_DIR", &target).env("PATH", suite_path()));
    assert_eq!(built.code, 0, "{}", built.stderr);
    target.join("wasm32-wasip2/release")
}

/// The crate that `tinymcp new` makes, with the listings in it.
fn draft(site: &Site, listed: &Crate) {
    // With the WIT of the host, which `tinymcp build` brings in otherwise.
    let made = site.run(&["new", &listed.name, "--template", "kv"]);
    assert_eq!(made.code, 0, "{made:#?}");
    let dir = site.plugin_path(&listed.name);
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    let (package, _) = manifest.split_once("# A plugin is loaded").expect("the profile comes last");
    let with_dependencies = format!("[dependencies]\n{}\n", listed.dependencies);
    let package = package.replace("[workspace]\n", "").replace("[dependencies]\n", &with_dependencies);
    let package = format!("{package}[lints.rust]\nwarnings = \"deny\"\n");
    let has_section = listed.rust.contains("tinymcp-wit");
    let rust = format!("{}{}", listed.rust, if has_section { "" } else { WIT_SECTION });
    fs::write(dir.join("Cargo.toml"), package).unwrap();
    fs::write(dir.join("wit/world.wit"), &listed.wit).unwrap();
    fs::write(dir.join("src/lib.rs"), rust).unwrap();
}

fn write_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).unwrap();
    }
}
