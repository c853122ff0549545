//! `build` never writes over a file that it did not make.

use std::fs;
use std::os::unix::fs::symlink;

use tinymcp_tests::guests::{guest, kept_dir};
use tinymcp_tests::server::Site;

use super::{build, change};

#[test]
fn a_component_from_elsewhere_is_kept_and_told_of() {
    let foreign = guest("greeter-v1");
    let site = Site::new().plugin("kept-tool", &foreign);
    // The target directory is this site's own but for what cargo leaves there.
    let target = site.plugin_path("target");
    fs::create_dir(&target).unwrap();
    for part in ["release", "wasm32-wasip2"] {
        fs::create_dir_all(kept_dir("crates").join(part)).unwrap();
        symlink(kept_dir("crates").join(part), target.join(part)).unwrap();
    }
    let made = site.run(&["new", "kept-tool"]);
    assert_eq!(made.code, 0, "{made:#?}");
    for part in ["plugins/kept-tool.wasm` is there already and was not made here", "plugins/kept-tool.wasm.old`"] {
        assert!(made.stderr.contains(part), "{part}: {made:#?}");
    }
    assert_eq!(fs::read(site.plugin_path("kept-tool.wasm")).unwrap(), foreign, "`new` changes nothing of it");

    let built = build(&site, "kept-tool");
    assert!(built.stderr.contains("it is kept as `plugins/kept-tool.wasm.old`"), "{built:#?}");
    assert_eq!(fs::read(site.plugin_path("kept-tool.wasm.old")).unwrap(), foreign);
    let own = fs::read(site.plugin_path("kept-tool.wasm")).unwrap();
    assert_ne!(own, foreign);

    // What was made here is replaced without a word.
    change(&site.plugin_path("kept-tool/src/lib.rs"), "Hello", "Goodbye");
    let again = build(&site, "kept-tool");
    assert!(!again.stderr.contains("kept as") && !site.plugin_path("kept-tool.wasm.old2").exists(), "{again:#?}");
    assert_ne!(fs::read(site.plugin_path("kept-tool.wasm")).unwrap(), own);
    let listed = site.run(&["list"]);
    assert!(listed.code == 0 && listed.stdout.starts_with("kept_tool  "), "the kept file is no plugin: {listed:#?}");
}
