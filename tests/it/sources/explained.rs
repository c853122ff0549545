//! Mistakes in WIT, explained in every language, and folders that are nearly plugins.

use std::fs;
use std::os::unix::fs::symlink;

use tinymcp_tests::command::{finish, tinymcp};
use tinymcp_tests::guests::{copy_changed, kept_dir, tests_dir};
use tinymcp_tests::server::Site;

use super::{build, change, write};

/// A crate made by `new`, in whose target directory the dependencies are compiled already.
fn crate_of(name: &str) -> Site {
    let site = Site::new();
    symlink(kept_dir("crates"), site.plugin_path("target")).unwrap();
    assert_eq!(site.run(&["new", name]).code, 0);
    site
}

#[test]
fn a_mistake_in_wit_has_file_line_caret_and_hint_in_every_language() {
    const WIT: &str = "package local:wrong;\n\nworld wrong {\n    export roll: func(sides: int) -> u8;\n}\n";
    let rust = crate_of("wrong");
    fs::write(rust.plugin_path("wrong/wit/world.wit"), WIT).unwrap();
    let python = Site::new();
    write(&python, "wrong", &[("wit/world.wit", WIT), ("app.py", "import wit_world\n")]);
    let javascript = Site::new();
    write(
        &javascript,
        "wrong",
        &[("wit/world.wit", WIT), ("plugin.js", "export function roll(sides) { return 4; }\n")],
    );
    for site in [rust, python, javascript] {
        let finished = site.run(&["build", "wrong"]);
        assert_eq!(finished.code, 1, "{finished:#?}");
        for part in [
            "error: plugin `wrong` not built: plugins/wrong/wit/world.wit:4:30: ",
            "\nerror:  4 |     export roll: func(sides: int) -> u8;\n",
            "\nerror:    |                              ^^^\n",
            "\nerror:  hint: write `s32` for `int`\n",
        ] {
            assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
        }
    }
}

#[test]
fn what_the_toolchain_builds_counts() {
    // cargo-component finds packages where nothing else looks.
    let site = Site::new();
    symlink(kept_dir("crates"), site.plugin_path("target")).unwrap();
    copy_changed(&tests_dir().join("guests/component-made"), &site.plugin_path("elsewhere"));
    fs::create_dir(site.plugin_path("elsewhere/other")).unwrap();
    let types = "package acme:types;\ninterface types {\n    type amount = f64;\n}\n";
    fs::write(site.plugin_path("elsewhere/other/types.wit"), types).unwrap();
    let dir = site.plugin_path("elsewhere");
    let wit = fs::read_dir(dir.join("wit")).unwrap().flatten().next().unwrap().path();
    change(&wit, "world ", "interface unused {\n    use acme:types/types.{amount};\n}\n\nworld ");
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    let section = "[package.metadata.component.target.dependencies]\n\"acme:types\" = { path = \"other\" }\n";
    fs::write(dir.join("Cargo.toml"), format!("{manifest}\n{section}")).unwrap();
    let finished = build(&site, "elsewhere");
    assert!(!finished.stderr.contains("hint:"), "{finished:#?}");
    // The same mistake is told of where nothing is built.
    change(&dir.join("src/lib.rs"), "fn ", "fn fn ");
    let finished = site.run(&["build", "elsewhere"]);
    assert!(finished.code == 1 && finished.stderr.contains("put the package `acme:types` into"), "{finished:#?}");
}

#[test]
fn words_of_all_files_of_wit_are_in_the_component() {
    let site = crate_of("worded");
    let world = "package local:worded;\n\n/// A plugin\nworld worded {\n    use types.{point};\n    export api;\n\n    /// Mirror it\n    export mirror: func(at: point) -> point;\n}\n";
    let types = "/// What is in the plane\ninterface types {\n    /// A place\n    record point {\n        /// To the right\n        x: f64,\n    }\n}\n\ninterface api {\n    use types.{point};\n\n    /// Move it\n    ///\n    /// @param by how far\n    shift: func(at: point, by: f64) -> point;\n}\n";
    fs::write(site.plugin_path("worded/wit/world.wit"), world).unwrap();
    fs::write(site.plugin_path("worded/wit/types.wit"), types).unwrap();
    let rust = "wit_bindgen::generate!({ world: \"worded\", path: \"wit\", generate_all });

#[cfg(target_arch = \"wasm32\")]
#[unsafe(link_section = \"tinymcp-wit\")]
#[used]
static WIT: [u8; include_bytes!(\"../wit/world.wit\").len()] = *include_bytes!(\"../wit/world.wit\");

struct Plugin;

impl Guest for Plugin {
    fn mirror(at: Point) -> Point {
        Point { x: -at.x }
    }
}

impl exports::local::worded::api::Guest for Plugin {
    fn shift(at: Point, by: f64) -> Point {
        Point { x: at.x + by }
    }
}

export!(Plugin);
";
    fs::write(site.plugin_path("worded/src/lib.rs"), rust).unwrap();
    build(&site, "worded");
    let inspected = site.run(&["inspect", "plugins/worded.wasm"]);
    for words in ["Mirror it", "Move it", "how far", "To the right", "A place"] {
        assert!(inspected.stdout.contains(words), "{words}: {inspected:#?}");
    }
    assert!(!inspected.stdout.contains("\nwarnings"), "{inspected:#?}");
}

#[test]
fn folders_that_are_nearly_plugins_are_named() {
    let site = Site::new();
    let world = ("wit/world.wit", "package local:a;\nworld a {\n    export a: func();\n}\n");
    write(&site, "no-language", &[world]);
    write(&site, "no-module", &[world, ("package.json", "{\"main\": \"src/main.js\"}")]);
    write(&site, "no-world", &[("app.py", "")]);
    write(&site, "notes", &[("readme.md", "")]);
    let all = site.run(&["build"]);
    assert_eq!((all.code, all.stderr.lines().count()), (0, 3), "{all:#?}");
    for (name, lacks) in [
        ("no-language", "`Cargo.toml` (Rust), `app.py` (Python) or `plugin.js` (JavaScript)"),
        ("no-module", "`src/main.js`, which is the module of its `package.json`"),
        ("no-world", "`wit/`, where its world is"),
    ] {
        let line = all.stderr.lines().find(|line| line.starts_with(&format!("skipped {name}: it lacks ")));
        assert!(line.is_some_and(|line| line.contains(lacks)), "{name}: {all:#?}");
        let named = site.run(&["build", name]);
        assert!(named.code == 2 && named.stderr.contains(lacks), "{name}: {named:#?}");
    }
}

#[test]
fn a_missing_cargo_component_is_skipped_unless_its_plugin_is_named() {
    let site = Site::new();
    copy_changed(&tests_dir().join("guests/component-made"), &site.plugin_path("older"));
    // A cargo that has no such command.
    let bin = tempfile::tempdir().unwrap();
    let cargo = "#!/bin/sh\n[ \"$1\" = --version ] && echo cargo 1.95.0 && exit\necho \"error: no such command: \\`$1\\`\" >&2\nexit 101\n";
    fs::write(bin.path().join("cargo"), cargo).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(bin.path().join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/bin/sh", bin.path().join("sh")).unwrap();
    let run = |arguments: &[&str]| finish(tinymcp(site.path()).args(arguments).env("PATH", bin.path()));
    let cure = "cargo-component is not installed: run `cargo install cargo-component`";
    let skipped = run(&["build"]);
    assert!(skipped.code == 0 && skipped.stderr.starts_with("skipped older "), "{skipped:#?}");
    assert!(skipped.stderr.contains(cure), "{skipped:#?}");
    let named = run(&["build", "older"]);
    assert!(named.code == 1 && named.stderr.contains(cure), "{named:#?}");
}
