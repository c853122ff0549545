//! Faults that JavaScript and jco let through, and `build` does not.

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::server::Site;

use super::{build, write};

const WORLD: &str = "package local:dice;

interface stats {
    mean: func(of: list<f64>) -> f64;
}

world dice {
    import tinymcp:plugin/settings@0.1.0;
    export roll-dice: func(sides: u32) -> u32;
    export stats;
}
";

/// A plugin in JavaScript that may import settings.
fn dice(module: &str) -> Site {
    let site = Site::new();
    let settings =
        "package tinymcp:plugin@0.1.0;\ninterface settings {\n    get: func(name: string) -> option<string>;\n}\n";
    write(
        &site,
        "dice",
        &[("wit/world.wit", WORLD), ("wit/deps/tinymcp-plugin/host.wit", settings), ("plugin.js", module)],
    );
    site
}

#[test]
fn a_module_that_lacks_an_export_is_refused_by_name() {
    let site =
        dice("export function roll_dice(sides) { return 4; }\nexport const stats = { average(of) { return 0; } };\n");
    let finished = site.run(&["build", "dice"]);
    assert!(finished.code == 1 && !site.plugin_path("dice.wasm").exists(), "{finished:#?}");
    for part in [
        "its world exports `roll-dice`, and the module lacks `export function rollDice(…)`: is that `roll_dice`?",
        "its world exports `stats.mean`, and the module lacks `mean(…) { … }` in `export const stats = { … }`",
    ] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

#[test]
fn a_module_with_an_async_export_is_refused_by_name() {
    let site =
        dice("export async function rollDice(sides) { return 4; }\nexport const stats = { mean: async (of) => 0 };\n");
    let finished = site.run(&["build", "dice"]);
    assert_eq!(finished.code, 1, "{finished:#?}");
    for part in ["`rollDice` is async", "`mean` in `export const stats = { … }` is async"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

#[test]
fn no_tool_is_called_to_see_that_it_is_there() {
    // Called, any of them would fail the build or hold it up.
    let module = "import { get } from 'tinymcp:plugin/settings@0.1.0';
        import * as settings from 'tinymcp:plugin/settings@0.1.0';
        import { one } from './lib/one.js';
        const unit = () => get('unit') ?? settings.get('other');
        export function rollDice(sides) { for (;;) { unit(); one(); } }
        export const stats = { get mean() { return () => { throw 'called'; }; } };\n";
    let site = dice(module);
    write(&site, "dice", &[("lib/one.js", "export const one = () => 1;\n")]);
    build(&site, "dice");
}

#[test]
fn integers_of_64_bits_are_warned_of_by_name() {
    let site = Site::new();
    let world = "package local:long;\nworld long {\n    export next: func(id: u64, step: u32) -> u64;\n}\n";
    let module = "export function next(id, step) { return id; }\n";
    write(&site, "long", &[("wit/world.wit", world), ("plugin.js", module)]);
    let finished = build(&site, "long");
    for place in ["the parameter `id`", "the result"] {
        let line = finished.stderr.lines().find(|line| line.contains(place));
        let line = line.unwrap_or_else(|| panic!("{place}: {finished:#?}"));
        assert!(line.contains("`next`") && line.contains("`u64`") && line.contains("2^53"), "{line}");
    }
    assert!(!finished.stderr.contains("`step`"), "{finished:#?}");
}

#[tokio::test]
async fn types_of_a_world_may_be_in_each_other() {
    let world = "package local:nest;

world nest {
    /// A place
    record point { x: f64, y: f64 }
    /// What it is like
    enum kind { plain, dotted }
    /// Two places
    record line { start: point, end: point, kind: kind }
    variant shape { dot(point), stroke(line), none }

    /// Turn it around
    export turn: func(line: line) -> line;
    /// Take it as a shape
    export shapes: func(lines: list<line>) -> list<shape>;
}
";
    let module = "export function turn(line) { return { start: line.end, end: line.start, kind: line.kind }; }
        export function shapes(lines) { return lines.map((line) => ({ tag: 'stroke', val: line })); }\n";
    let site = Site::new();
    write(&site, "nest", &[("wit/world.wit", world), ("plugin.js", module)]);
    build(&site, "nest");
    assert_eq!(fs::read_to_string(site.plugin_path("nest/wit/world.wit")).unwrap(), world);
    let server = site.start().await;
    let client = Client::modern(&server);
    let line = |from: f64, to: f64| json!({ "start": { "x": from, "y": 0.5 }, "end": { "x": to, "y": 0.5 }, "kind": "dotted" });
    let turned = client.call("nest_turn", json!({ "line": line(1.5, 2.5) })).await;
    assert_eq!(turned.structured, line(2.5, 1.5), "{turned:?}");
    let shapes = client.value("nest_shapes", json!({ "lines": [line(1.5, 2.5)] })).await;
    assert_eq!(shapes, json!([{ "stroke": line(1.5, 2.5) }]));
    let tools = client.tools().await;
    let turn = tools.iter().find(|tool| tool["name"] == "nest_turn").unwrap();
    let schema: &Value = &turn["inputSchema"]["properties"]["line"]["properties"]["start"];
    assert_eq!(schema["description"], "A place", "words are those of the author's text: {turn}");
}
