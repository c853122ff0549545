//! Types of WIT × languages: one plugin a language with every type that works, and refusals of each that does not.
//!
//! A function of each type gives back what it takes, so that a value that comes back whole has gone both ways.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{copy_changed, kept_dir};
use tinymcp_tests::server::{Server, Site};

use super::write;

/// Compiling a whole language takes many seconds; the state directory is kept, so that it is done once for all runs.
const COMPILE: Duration = Duration::from_secs(900);

/// The named types. They stand in the world itself, and in each other.
const NAMED: &str = "
    record point { x: f64, y: f64 }
    record line { start: point, end: point, label: option<string> }
    enum colour { red, dark-blue }
    flags permission { read, run-as-root, write }
    variant shape { dot, circle(f64), stroke(line), many(list<shape-name>) }
    type shape-name = string;
";

/// A type, its name in Rust, and values of it.
struct Case {
    name: &'static str,
    wit: &'static str,
    rust: &'static str,
    values: Vec<Value>,
}

fn case(name: &'static str, wit: &'static str, rust: &'static str, values: Value) -> Case {
    let Value::Array(values) = values else { panic!("values are a list") };
    Case { name, wit, rust, values }
}

/// Every type that has a JSON form, with the values at its edges.
fn cases() -> Vec<Case> {
    let line = json!({ "start": { "x": 0.5, "y": -1e300 }, "end": { "x": 1.5, "y": 2.5 } });
    let labelled = json!({ "start": { "x": 0.5, "y": 1.5 }, "end": { "x": 1.5, "y": 2.5 }, "label": "ä" });
    vec![
        case("a-bool", "bool", "bool", json!([true, false])),
        case("a-u8", "u8", "u8", json!([0, 255])),
        case("a-s8", "s8", "i8", json!([-128, 127])),
        case("a-u16", "u16", "u16", json!([0, 65535])),
        case("a-s16", "s16", "i16", json!([-32768, 32767])),
        case("a-u32", "u32", "u32", json!([0, 4_294_967_295_u32])),
        case("a-s32", "s32", "i32", json!([i32::MIN, i32::MAX])),
        case("a-f32", "f32", "f32", json!([0.5, -1.25])),
        case("a-f64", "f64", "f64", json!([0.1, -1e300])),
        case("a-char", "char", "char", json!(["a", "é", "👍"])),
        case("a-string", "string", "String", json!(["", "a\n\"\u{1f44d}\u{0}z"])),
        case("bytes", "list<u8>", "Vec<u8>", json!(["", "AP9/"])),
        case("strings", "list<string>", "Vec<String>", json!([[], ["a", ""]])),
        case("grid", "list<list<u32>>", "Vec<Vec<u32>>", json!([[[1], []]])),
        case("pair", "tuple<u32, string>", "(u32, String)", json!([[7, "x"]])),
        case("perhaps", "option<u32>", "Option<u32>", json!([3, null])),
        case("holes", "list<option<u32>>", "Vec<Option<u32>>", json!([[1, null]])),
        case("a-point", "point", "Point", json!([{ "x": 1.5, "y": 2.5 }])),
        case("a-line", "line", "Line", json!([line, labelled])),
        case("lines", "list<line>", "Vec<Line>", json!([[labelled, line]])),
        case("a-colour", "colour", "Colour", json!(["red", "dark-blue"])),
        case("colours", "list<colour>", "Vec<Colour>", json!([["dark-blue", "red"]])),
        case("permissions", "permission", "Permission", json!([[], ["read", "run-as-root"]])),
        case(
            "a-shape",
            "shape",
            "Shape",
            json!([{ "dot": true }, { "circle": 1.5 }, { "stroke": line }, { "many": ["a"] }]),
        ),
        case(
            "outcomes",
            "list<result<u32, string>>",
            "Vec<Result<u32, String>>",
            json!([[{ "ok": 1 }, { "err": "no" }]]),
        ),
        case("checks", "list<result>", "Vec<Result<(), ()>>", json!([[{ "ok": true }, { "err": true }]])),
        case("a-name", "shape-name", "ShapeName", json!(["named"])),
    ]
}

/// Those that JavaScript does not keep: `build` warns of each.
fn long_cases() -> Vec<Case> {
    vec![
        case("a-u64", "u64", "u64", json!([0, 9_007_199_254_740_993_u64, u64::MAX])),
        case("a-s64", "s64", "i64", json!([i64::MIN, 9_007_199_254_740_993_i64, i64::MAX])),
    ]
}

/// Types without a JSON form, which the host or a toolchain refuses, each by itself.
const WITHOUT_JSON: [(&str, &str); 3] =
    [("twice", "option<option<u32>>"), ("waiting", "future<u32>"), ("running", "stream<u8>")];

fn world(plugin: &str, cases: &[Case]) -> String {
    let exports: String = cases
        .iter()
        .map(|case| format!("    export {}: func(value: {}) -> {};\n", case.name, case.wit, case.wit))
        .collect();
    format!("package local:{plugin};\n\nworld {plugin} {{{NAMED}\n{exports}}}\n")
}

fn camel(name: &str) -> String {
    let words = name.split('-').enumerate();
    words
        .map(|(index, word)| if index == 0 { word.to_owned() } else { word[..1].to_uppercase() + &word[1..] })
        .collect()
}

fn javascript(cases: &[Case]) -> String {
    cases.iter().map(|case| format!("export function {}(value) {{ return value; }}\n", camel(case.name))).collect()
}

fn python(cases: &[Case]) -> String {
    let methods = cases
        .iter()
        .map(|case| format!("    def {}(self, value):\n        return value\n\n", case.name.replace('-', "_")));
    format!("import wit_world\n\n\nclass WitWorld(wit_world.WitWorld):\n{}", methods.collect::<String>())
}

fn rust(plugin: &str, cases: &[Case]) -> String {
    let functions = cases.iter().map(|case| {
        format!("    fn {}(value: {1}) -> {1} {{\n        value\n    }}\n", case.name.replace('-', "_"), case.rust)
    });
    format!(
        "wit_bindgen::generate!({{ world: \"{plugin}\", path: \"wit\" }});\n\nstruct Plugin;\n\nimpl Guest for Plugin {{\n{}}}\n\nexport!(Plugin);\n",
        functions.collect::<String>()
    )
}

/// A place where plugins stay built from one run to the next.
fn workshop(plugin: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let dir = kept_dir("types");
    fs::create_dir_all(dir.join("plugins")).unwrap();
    fs::write(dir.join("tinymcp.toml"), "").unwrap();
    let draft = Site::new();
    write(&draft, plugin, files);
    copy_changed(&draft.plugin_path(plugin), &dir.join("plugins").join(plugin));
    let target = dir.join("plugins/target");
    if !target.exists() {
        symlink(kept_dir("crates"), target).unwrap();
    }
    let built = tinymcp_tests::command::run(&dir, &["build", plugin]);
    assert_eq!(built.code, 0, "{built:#?}");
    fs::read(dir.join(format!("plugins/{plugin}.wasm"))).unwrap()
}

async fn serve(plugin: &str, component: &[u8]) -> (Server, Client) {
    let state = kept_dir(&format!("state-{plugin}"));
    let site = Site::new().config(&format!("[state]\ndir = \"{}\"\n", state.display()));
    let server = site.plugin(plugin, component).launch().await;
    server.ready_within(COMPILE).await;
    let client = Client::modern(&server);
    (server, client)
}

/// Every value comes back as it went in.
async fn keeps(plugin: &str, component: &[u8], cases: &[Case]) {
    let (_server, client) = serve(plugin, component).await;
    let mut wrong = Vec::new();
    for case in cases {
        let tool = format!("{}_{}", plugin.replace('-', "_"), case.name.replace('-', "_"));
        for value in &case.values {
            let called = client.call(&tool, json!({ "value": value })).await;
            let back = if called.structured.get("result").is_some() {
                &called.structured["result"]
            } else {
                &called.structured
            };
            // A plain string may be a text and nothing else.
            let is_text =
                value.is_string() && called.structured.is_null() && called.text == value.as_str().unwrap_or_default();
            if called.is_error || !(back == value || is_text || (value == "" && called.text == "(empty)")) {
                wrong.push(format!("{}: {value} came back as {called:?}", case.wit));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn rust_keeps_every_type() {
    let cases: Vec<Case> = cases().into_iter().chain(long_cases()).collect();
    let manifest = "[package]\nname = \"types-rust\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\nwit-bindgen = \"0.61\"\n\n[profile.release]\nopt-level = \"s\"\nlto = true\npanic = \"abort\"\nstrip = true\ncodegen-units = 1\n";
    let (world, source) = (world("types-rust", &cases), rust("types-rust", &cases));
    let files = [("Cargo.toml", manifest), ("wit/world.wit", world.as_str()), ("src/lib.rs", source.as_str())];
    keeps("types-rust", &workshop("types-rust", &files), &cases).await;
}

/// In one component, since each takes a minute to build and to compile: a type without JSON costs its function and no other.
#[tokio::test]
async fn python_keeps_every_type_and_is_refused_those_without_json_each_by_itself() {
    let plugin = "types-python";
    let cases: Vec<Case> = cases().into_iter().chain(long_cases()).collect();
    let (mut world, mut source) = (world(plugin, &cases), python(&cases));
    world.truncate(world.rfind('}').unwrap());
    for (name, wit) in WITHOUT_JSON {
        world += &format!("    export {name}: func(value: {wit});\n");
        source += &format!("    def {name}(self, value):\n        pass\n\n");
    }
    world += "}\n";
    let component = workshop(plugin, &[("wit/world.wit", world.as_str()), ("app.py", source.as_str())]);
    keeps(plugin, &component, &cases).await;
    let state = kept_dir(&format!("state-{plugin}"));
    let site = Site::new().config(&format!("[state]\ndir = \"{}\"\n", state.display())).plugin(plugin, &component);
    let inspected = site.run(&["inspect", &format!("plugins/{plugin}.wasm")]);
    assert!(inspected.code == 0 && inspected.stdout.contains("types_python_a_u32  (value: u32)"), "{inspected:#?}");
    for (name, _) in WITHOUT_JSON {
        let warned = format!("function `{name}` is no tool: parameter `value`: a");
        assert!(inspected.stdout.contains(&warned), "{inspected:#?}");
    }
}

#[tokio::test]
async fn javascript_keeps_every_type_of_up_to_32_bits() {
    let cases = cases();
    let (world, source) = (world("types-javascript", &cases), javascript(&cases));
    let files = [("wit/world.wit", world.as_str()), ("plugin.js", source.as_str())];
    keeps("types-javascript", &workshop("types-javascript", &files), &cases).await;
}

#[test]
fn javascript_is_warned_of_each_type_that_it_does_not_keep() {
    for case in long_cases() {
        let cases = [case];
        let site = Site::new();
        write(&site, "long", &[("wit/world.wit", &world("long", &cases)), ("plugin.js", &javascript(&cases))]);
        let built = site.run(&["build"]);
        let warned = built
            .stderr
            .contains(&format!("function `{}`: the parameter `value` has the type `{}`", cases[0].name, cases[0].wit));
        assert!(built.code == 0 && warned, "{built:#?}");
    }
}

#[test]
fn javascript_is_refused_types_without_json_each_by_itself() {
    for (name, wit) in WITHOUT_JSON {
        let world = format!("package local:odd;\n\nworld odd {{\n    export {name}: func(value: {wit});\n}}\n");
        let source = format!("export function {name}(value) {{}}\n");
        let site = Site::new();
        write(&site, "odd", &[("wit/world.wit", &world), ("plugin.js", &source)]);
        let built = site.run(&["build", "odd"]);
        if built.code == 0 {
            let inspected = site.run(&["inspect", "plugins/odd.wasm"]);
            assert_eq!((inspected.code, inspected.stdout.as_str()), (1, ""), "{wit}: {inspected:#?}");
            assert!(inspected.stderr.contains(name), "{wit}: {inspected:#?}");
        } else {
            assert!(built.stderr.contains("plugin `odd` not built"), "{wit}: {built:#?}");
        }
    }
}
