//! The documents hold: the listings of `docs/plugins.md` compile and do what the guide says; the
//! proxies of `docs/operations.md` run, and so do the commands about plugins that changed.

mod asking;
mod changed;
mod effects;
mod guide;
mod machines;
mod proxies;
mod shaping;
mod workshop;

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::command::finish;
use tinymcp_tests::guests::tests_dir;
use tinymcp_tests::server::{Server, Site};

use self::guide::Guide;

/// A site with these plugins of the guide, and with the settings that the guide writes for them.
fn site(names: &[&str]) -> Site {
    let guide = Guide::read();
    let components = workshop::build(&guide);
    let component = |name: &str| fs::read(components.join(format!("{}.wasm", guide.a_crate(name).name))).unwrap();
    let site = names.iter().fold(Site::new(), |site, name| site.plugin(name, &component(name)));
    site.config(&guide.settings.concat())
}

/// A server with these plugins of the guide.
async fn serve(names: &[&str]) -> Server {
    site(names).start().await
}

#[test]
fn every_listing_gives_what_its_section_says() {
    let guide = Guide::read();
    let names: Vec<&str> = guide.crates.iter().map(|listed| listed.name.as_str()).collect();
    let site = site(&names);
    for listed in &guide.crates {
        let name = &listed.name;
        let finished = site.run(&["inspect", "--json", &format!("plugins/{name}.wasm")]);
        assert_eq!(finished.code, 0, "{name}: {finished:#?}");
        let inspected: Value = serde_json::from_str(&finished.stdout).unwrap();
        let tools = inspected["tools"].as_array().into_iter().flatten().map(|tool| &tool["name"]);
        let others =
            ["prompts", "resources"].into_iter().flat_map(|list| inspected[list].as_array().into_iter().flatten());
        let mut given: Vec<&str> = tools.chain(others).filter_map(Value::as_str).collect();
        given.sort_unstable();
        assert_eq!(given, listed.gives, "{name}");
        assert_eq!(inspected["warnings"], json!([]), "{name}");
        assert_eq!(inspected["keepWarm"], listed.wit.contains("@keep-warm"), "{name}");
    }
}

#[test]
fn settings_of_the_guide_are_known() {
    let guide = Guide::read();
    let site = Site::new().config(&guide.settings.concat());
    for listed in &guide.crates {
        site.put(&format!("{}.wasm", listed.name), b"");
    }
    fs::create_dir(site.path().join("journal")).unwrap();
    let finished = site.run(&["check"]);
    // Of some of them `check` says what comes with them.
    let mut said = finished.stderr.lines().filter(|line| !line.contains("can replace its file inherits"));
    assert!(finished.code == 0 && said.next().is_none(), "{finished:#?}");
    assert!(finished.stdout.contains("fahrenheit"), "settings are shown: {}", finished.stdout);
}

#[test]
fn cases_of_the_guide_pass() {
    let guide = Guide::read();
    let tools = ["shout", "status"];
    let site = site(&tools);
    for (tool, cases) in tools.iter().zip(&guide.cases) {
        assert!(cases.contains(&format!("tool = \"{tool}\"")), "{cases}");
        let folder = site.plugin_path(tool).join("tests");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("first.toml"), cases).unwrap();
    }
    let tested = site.run(&["test"]);
    assert!(tested.code == 0 && tested.stdout.contains("all 3 passed"), "{tested:#?}");
    assert_eq!(guide.cases.len(), tools.len());
}

#[test]
fn the_script_adds_what_the_wit_says() {
    let site = Site::with(&["talk"]);
    fs::write(site.path().join("add-wit.py"), Guide::read().script).unwrap();
    let mut python = std::process::Command::new(tests_dir().join(".tools/python/bin/python3"));
    python.arg("add-wit.py").arg(tests_dir().join("guests/talk/wit/world.wit")).arg("plugins/talk.wasm");
    let added = finish(python.current_dir(site.path()));
    assert_eq!(added.code, 0, "{added:#?}");
    let finished = site.run(&["inspect", "--json", "plugins/talk.wasm"]);
    let inspected: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(inspected["tools"][1]["description"], "Print a text to stdout", "{inspected}");
    let warnings: Vec<&str> = inspected["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let of_words: Vec<&&str> = warnings.iter().filter(|warning| !warning.contains("KiB of stack")).collect();
    assert!(of_words.is_empty() && warnings.len() == 1, "{warnings:?}");
}
