//! Files of others: those that are no plugin, and the names of those that are one.

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{exporting, from_text, guest};
use tinymcp_tests::server::Site;

/// Inspects a file of the plugins directory, which must be a component that is served.
fn inspected(site: &Site, file: &str) -> Value {
    let finished = site.run(&["inspect", "--json", &format!("plugins/{file}")]);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:#?}"))
}

fn warnings(inspected: &Value) -> Vec<&str> {
    inspected["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

fn tools(inspected: &Value) -> Vec<&str> {
    inspected["tools"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect()
}

#[test]
fn files_of_newcomers_are_called_by_what_they_are() {
    let package = r#"(component
        (type (component
            (type (component
                (type (instance (type (func (result u32))) (export "f" (func (type 0)))))
                (export "a:b/i" (instance (type 0)))))
            (export "a:b/w" (component (type 0)))))
        (export "w" (type 0)))"#;
    // What it is counts for more than what it lacks here.
    let foreign = r#"(import "wasi:http/types@0.3.0" (instance (export "f" (func))))"#;
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("main", guest("program"), "no tools: it is a program (`fn main`"),
        ("command", exporting(&[("wasi:cli/run@0.2.3", "run")], ""), "it is a program (`fn main`"),
        ("web", exporting(&[("wasi:http/incoming-handler@0.2.0", "handle")], ""), "it is a web handler"),
        ("web-3", exporting(&[("wasi:http/handler@0.3.0", "handle")], foreign), "it is a web handler"),
        ("command-3", exporting(&[("wasi:cli/run@0.3.0", "run")], foreign), "it is a program (`fn main`"),
        (
            "foreign",
            exporting(&[("", "f")], foreign),
            "imports what this host does not provide: `wasi:http/types@0.3.0`",
        ),
        ("wit", from_text(package), "it is a package of WIT in binary form"),
        ("nothing", from_text("(component)"), "when the component's WIT world exports it"),
        ("zip", b"PK\x03\x04\x14\0\0\0".to_vec(), "it is a ZIP archive: unpack it"),
        ("elf", fs::read("/proc/self/exe").unwrap()[..4096].to_vec(), "it is a native program or library (ELF)"),
        (
            "wasi1",
            from_text(
                r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (func (export "_start")))"#,
            ),
            "it is a program for `wasm32-wasip1`",
        ),
    ];
    let site = cases.iter().fold(Site::new(), |site, (name, bytes, _)| site.plugin(name, bytes));
    let listed = site.run(&["list"]);
    for (name, _, said) in &cases {
        let finished = site.run(&["inspect", &format!("plugins/{name}.wasm")]);
        assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{name}: {finished:?}");
        assert!(finished.stderr.contains(said), "{name}: {finished:?}");
        assert!(listed.stdout.contains(said), "{name}: {listed:?}");
    }
}

#[tokio::test]
async fn a_program_that_has_tools_too_is_served() {
    let both = exporting(&[("wasi:cli/run@0.2.3", "run"), ("", "answer")], "");
    let server = Site::new().plugin("both", &both).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["both_answer"]);
    assert_eq!(client.value("both_answer", json!({})).await, json!(42));
}

#[test]
fn a_file_of_any_name_is_inspected_and_told_how_to_be_called() {
    let site = Site::new().plugin("maths.component", &exporting(&[("", "add")], ""));
    let inspected = inspected(&site, "maths.component.wasm");
    assert_eq!((&inspected["plugin"], tools(&inspected)), (&json!("maths"), vec!["maths_add"]));
    let told = warnings(&inspected).into_iter().find(|warning| warning.contains("rename it to `maths.wasm`"));
    assert!(told.is_some_and(|told| told.contains("`maths.component.wasm`")), "{inspected}");
    let listed = site.run(&["list"]);
    assert!(
        listed.stdout.contains("`maths.component` cannot name a plugin") && listed.stdout.contains("`maths.wasm`"),
        "{listed:?}"
    );
    let called = site.run(&["call", "plugins/maths.component.wasm", "maths_add"]);
    assert_eq!((called.code, called.stdout.as_str()), (0, "42\n"), "{called:?}");
}

#[tokio::test]
async fn interfaces_of_types_alone_are_not_unknown() {
    let types = r#"
        (import "acme:shared/types@1.0.0" (instance
            (type $point (record (field "x" u32))) (export "point" (type (eq $point)))))
        (type $kind (enum "a" "b"))
        (instance $kinds (export "kind" (type $kind)))
        (export "acme:shared/kinds@1.0.0" (instance $kinds))"#;
    let site = Site::new().plugin("typed", &exporting(&[("", "answer")], types));
    let inspected = inspected(&site, "typed.wasm");
    assert_eq!(inspected["imports"], json!([{ "name": "acme:shared/types@1.0.0", "behind": "types only" }]));
    assert_eq!(warnings(&inspected).iter().filter(|warning| warning.contains("acme:shared")).count(), 0, "{inspected}");
    let server = site.start().await;
    assert_eq!(Client::modern(&server).value("typed_answer", json!({})).await, json!(42));

    // Beside what is missing, they are not named as missing.
    let missing = format!(r#"{types} (import "acme:shared/work" (instance (export "go" (func))))"#);
    let site = Site::new().plugin("missing", &exporting(&[("", "answer")], &missing));
    let refused = site.run(&["inspect", "plugins/missing.wasm"]);
    assert!(refused.stderr.contains("does not provide: `acme:shared/work`;"), "{refused:?}");
}

#[tokio::test]
async fn one_interface_in_two_versions_or_of_two_packages_is_served() {
    let functions = [
        ("acme:maths/trig@0.1.0", "sin"),
        ("acme:maths/trig@0.2.0", "sin"),
        ("acme:maths/trig@0.2.0", "cos"),
        ("acme:text/words", "count"),
        ("other:text/words", "count"),
        ("", "count-all"),
    ];
    let component = exporting(&functions, "");
    let site = Site::new().plugin("lib", &component);
    assert!(!warnings(&inspected(&site, "lib.wasm")).iter().any(|warning| warning.contains("left out")));
    let names = [
        "lib_acme_text_words_count",
        "lib_cos",
        "lib_count_all",
        "lib_other_text_words_count",
        "lib_trig_0_1_0_sin",
        "lib_trig_0_2_0_sin",
    ];
    let mut server = site.start().await;
    // The names are the same after a restart, with another file that asks for one of them.
    for _ in 0..2 {
        let client = Client::modern(&server);
        assert_eq!(client.tool_names().await, names);
        assert_eq!(client.value("lib_trig_0_1_0_sin", json!({})).await, json!(42));
        let site = server.kill();
        site.put("lib-trig-0-1-0.wasm", &exporting(&[("", "sin")], ""));
        server = site.start().await;
    }
}

#[tokio::test]
async fn what_clashes_or_is_too_long_costs_itself() {
    let long = format!("a{}", "-long".repeat(12));
    let functions = [("", long.as_str()), ("", "short"), ("acme:maths/trig@0.1.0", "short")];
    let site = Site::new().plugin("lib", &exporting(&functions, ""));
    let inspected = inspected(&site, "lib.wasm");
    assert_eq!(tools(&inspected), ["lib_short", "lib_trig_short"]);
    let left_out = warnings(&inspected).into_iter().find(|warning| warning.contains("clients take 64"));
    assert!(left_out.is_some_and(|warning| warning.contains("lib_a_long_long")), "{inspected}");
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, ["lib_short", "lib_trig_short"]);
    server.log.wait_for("plugin `lib`: left out: tool name `lib_a_long").await;

    // Where nothing is left, the file is refused as before.
    let server = Site::new().plugin("lib", &exporting(&[("", &long)], "")).start().await;
    server.log.wait_for("plugin `lib` not loaded: tool name `lib_a_long").await;
}

/// Functions that give back the map that they take, and one that gives a key twice.
const MAPS: &str = r#"(component
    (core module $module
        (memory (export "memory") 1)
        (data (i32.const 16) "\05\01\05\02")
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $next (i32.and
                (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get 2))))
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (local.get 3))))
        (func $give (export "echo") (param i32 i32) (result i32)
            (i32.store (i32.const 0) (local.get 0))
            (i32.store (i32.const 4) (local.get 1))
            (i32.const 0))
        (func (export "twice") (result i32) (call $give (i32.const 16) (i32.const 2))))
    (core instance $i (instantiate $module))
    (type $words (map string u32))
    (type $numbers (map u64 (option string)))
    (type $small (map u8 u8))
    (func (export "words") (param "it" $words) (result $words)
        (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func (export "numbers") (param "it" $numbers) (result $numbers)
        (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func (export "twice") (result $small)
        (canon lift (core func $i "twice") (memory (core memory $i "memory")))))"#;

#[tokio::test]
async fn maps_are_objects_or_lists_of_entries() {
    let site = Site::new().plugin("maps", &from_text(MAPS));
    let inspected = inspected(&site, "maps.wasm");
    let schema = |name: &str| {
        let tools = inspected["tools"].as_array().unwrap();
        tools.iter().find(|tool| tool["name"] == name).unwrap()["inputSchema"]["properties"]["it"].clone()
    };
    let number = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    assert_eq!(schema("maps_words"), json!({ "type": "object", "additionalProperties": number }));
    assert_eq!(schema("maps_numbers")["items"]["required"], json!(["key"]));
    let beyond = inspected["beyondClients"].as_array().unwrap();
    assert!(beyond.iter().any(|found| found["type"] == "map" && found["tool"] == "maps_words"), "{beyond:?}");

    let server = site.start().await;
    let client = Client::modern(&server);
    let long = "k".repeat(300);
    for words in [json!({}), json!({ "a": 1, "with space": 2, long.as_str(): u32::MAX })] {
        assert_eq!(client.value("maps_words", json!({ "it": words })).await, words);
        assert_eq!(client.value("maps_words", json!({ "it": words.to_string() })).await, words);
    }
    let numbers = json!([{ "key": u64::MAX, "value": "most" }, { "key": 0 }]);
    assert_eq!(client.value("maps_numbers", json!({ "it": numbers })).await, numbers);
    let said = client.failure("maps_numbers", json!({ "it": [{ "key": 1 }, { "key": 1.0, "value": "b" }] })).await;
    assert_eq!(said, "argument `$.it[1].key`: repeats number 1.0; each key may be given once");
    let said = client.failure("maps_words", json!({ "it": { "a": -1 } })).await;
    assert!(said.contains("argument `$.it.a`: expected an integer from 0"), "{said}");
    let said = client.failure("maps_twice", json!({})).await;
    assert!(said.contains("a map with the key 5 twice has no JSON form"), "{said}");
}

#[tokio::test]
async fn what_the_host_does_not_have_is_named_with_its_function() {
    let with = |ty: &str, core: &str| {
        from_text(&format!(
            r#"(component
                (core module $module (func (export "odd") {core} unreachable) (func (export "fine") (result i32) i32.const 42))
                (core instance $i (instantiate $module))
                (type $odd {ty})
                (func $odd (param "it" $odd) (canon lift (core func $i "odd")))
                (func $fine (result u32) (canon lift (core func $i "fine")))
                (instance $x (export "odd" (func $odd)) (export "fine" (func $fine)))
                (export "a:b/c@0.1.0" (instance $x)))"#
        ))
    };
    let cases = [
        ("context", with("error-context", "(param i32)"), "it uses `error-context`"),
        ("fixed", with("(list u8 2)", "(param i32 i32)"), "it uses lists of fixed length (`list<T, N>`)"),
    ];
    let site = cases.iter().fold(Site::new(), |site, (name, bytes, _)| site.plugin(name, bytes));
    for (name, _, said) in &cases {
        let finished = site.run(&["inspect", &format!("plugins/{name}.wasm")]);
        let expected = format!("{said}, which this host does not have, in function `a:b/c@0.1.0#odd`");
        assert!(finished.stderr.contains(&expected) && !finished.stderr.contains("not a valid"), "{finished:?}");
    }
    let server = site.start().await;
    server.log.wait_for("plugin `context` not loaded: it uses `error-context`").await;
    server.log.wait_for("plugin `fixed` not loaded: it uses lists of fixed length").await;
}
