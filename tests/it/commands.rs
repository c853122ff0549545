//! The commands that look at plugins, beside a running server or without one.

use serde_json::{Value, json};
use tinymcp_tests::guests::{from_text, guest};
use tinymcp_tests::server::{Server, Site};

#[test]
fn every_command_shows_an_example() {
    let site = Site::new();
    let help = site.run(&["--help"]);
    assert_eq!(help.code, 0, "{help:?}");
    for command in [
        "serve",
        "stdio",
        "dev",
        "build",
        "init",
        "new",
        "inspect",
        "call",
        "test",
        "list",
        "approve",
        "grant",
        "kv",
        "check",
        "doctor",
        "health",
        "schema",
        "connect",
        "sessions",
        "people",
        "plugin",
        "backup",
        "keys",
        "token",
        "audit",
        "completions",
    ] {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command}: {}", help.stdout);
        let finished = site.run(&[command, "--help"]);
        assert_eq!(finished.code, 0, "{command}: {finished:?}");
        assert!(finished.stdout.contains("Example:\n  tinymcp "), "{command}: {}", finished.stdout);
    }
    let version = site.run(&["--version"]);
    assert!(version.stdout.starts_with("tinymcp 0."), "{version:?}");
}

#[test]
fn a_wrong_argument_is_exit_code_2() {
    let site = Site::new();
    for arguments in [&["serv"][..], &["serve", "--lisen", "x"], &["call"], &["call", "x", "{", "y", "z"], &["inspect"]]
    {
        assert_eq!(site.run(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn inspect_shows_tools_imports_and_warnings() {
    let site = Site::with(&["hostile", "odd", "echo"]);
    let finished = site.run(&["inspect", "plugins/hostile.wasm"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    for part in [
        "hostile_spin",
        "(ms: u32) -> u64",
        "Loop for a time",
        "wasi:filesystem/",
        "granted folders only",
        "wasi:sockets/",
    ] {
        assert!(finished.stdout.contains(part), "{part}: {}", finished.stdout);
    }
    assert!(!finished.stdout.contains('\u{1b}'), "colours without a terminal");
    let finished = site.run(&["inspect", "plugins/odd.wasm"]);
    assert!(finished.stdout.contains("warnings") && finished.stdout.contains("`perhaps-perhaps`"), "{finished:?}");
}

#[test]
fn inspect_names_what_clients_cannot_be_told_and_what_they_round() {
    let site = Site::with(&["echo"]);
    let finished = site.run(&["inspect", "--json", "plugins/echo.wasm"]);
    let inspected: Value = serde_json::from_str(&finished.stdout).unwrap();
    let beyond = inspected["beyondClients"].as_array().unwrap();
    let is_named = |client: &str, tool: &str, ty: &str| {
        beyond.iter().any(|found| found["client"] == client && found["tool"] == tool && found["type"] == ty)
    };
    assert!(is_named("Gemini", "echo_echo_tuple", "tuple of several types"), "{beyond:?}");
    assert!(is_named("OpenAI (strict)", "echo_echo_variant", "variant"), "{beyond:?}");
    assert!(!beyond.iter().any(|found| found["tool"] == "echo_echo_u64"), "{beyond:?}");
    let warnings = inspected["warnings"].to_string();
    assert!(warnings.contains("tool `echo_echo_u64`: parameter `value` has a `u64`"), "{warnings}");
    assert!(warnings.contains("tool `echo_echo_s64`: the result has a `s64`"), "{warnings}");
    let finished = site.run(&["inspect", "plugins/echo.wasm"]);
    assert!(finished.stdout.contains("Gemini: `tuple of several types` in `value` of tool"), "{}", finished.stdout);
}

#[test]
fn inspect_prints_json() {
    let site = Site::with(&["greeter-v1"]);
    let finished = site.run(&["inspect", "--json", "plugins/greeter-v1.wasm"]);
    let inspected: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(inspected["plugin"], "greeter_v1");
    assert_eq!(inspected["tools"][0]["name"], "greeter_v1_greet");
    assert_eq!(inspected["tools"][0]["inputSchema"]["required"], json!(["name"]));
    assert_eq!(inspected["digest"].as_str().unwrap().len(), 64);
    assert!(inspected["imports"].as_array().is_some_and(|imports| !imports.is_empty()));
}

/// Files that are no plugin, and the reasons.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = guest("greeter-v1");
    vec![
        ("empty", Vec::new(), "the file is empty or cut short (0 bytes)"),
        (
            "text",
            b"hello there, plugin".to_vec(),
            "not a WebAssembly file: it is a text, which begins with `hello there, plu`",
        ),
        ("cut", whole[..whole.len() / 2].to_vec(), "not a valid component"),
        (
            "core-module",
            guest("core-module"),
            "a core WebAssembly module, not a component: build it with `--target wasm32-wasip2`",
        ),
        ("unknown-import", guest("unknown-import"), "imports what this host does not provide: `example:unknown/thing`"),
        ("no-tools", guest("no-tools"), "no tools: it exports no function"),
    ]
}

#[test]
fn inspect_and_call_say_why_a_file_is_no_plugin() {
    for (name, bytes, reason) in broken() {
        let site = Site::new().plugin(name, &bytes);
        let file = format!("plugins/{name}.wasm");
        for arguments in [&["inspect", &file][..], &["inspect", "--json", &file], &["call", &file, "x"]] {
            let finished = site.run(arguments);
            assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{arguments:?}: {finished:?}");
            assert!(finished.stderr.contains(reason), "{arguments:?}: {finished:?}");
        }
    }
    let finished = Site::new().run(&["inspect", "plugins/nothing.wasm"]);
    assert!(finished.code == 1 && finished.stderr.contains("nothing.wasm"), "{finished:?}");
}

#[test]
fn list_says_why_a_file_is_no_plugin_and_lists_the_others() {
    let site =
        broken().into_iter().fold(Site::with(&["greeter-v1"]), |site, (name, bytes, _)| site.plugin(name, &bytes));
    let finished = site.run(&["list"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.stdout.contains("greeter_v1_greet  Greet somebody, version 1"), "{}", finished.stdout);
    let listed = site.run(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["tools"].as_array().unwrap().len(), 2, "{listed}");
    for (name, _, reason) in broken() {
        assert!(finished.stdout.contains(&format!("{name}.wasm  not loaded: {reason}")), "{name}: {}", finished.stdout);
        let plugins = listed["plugins"].as_array().unwrap();
        let plugin = plugins.iter().find(|plugin| plugin["file"] == format!("{name}.wasm")).unwrap();
        assert!(plugin["problem"].as_str().unwrap().contains(reason), "{plugin}");
    }
}

#[test]
fn call_prints_what_the_tool_gives() {
    let site = Site::with(&["echo"]);
    let finished = site.run(&["call", "echo_echo_list_list", r#"{"value": [[1], []]}"#]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "[[1],[]]\n"), "{finished:?}");
    let finished = site.run(&["call", "plugins/echo.wasm", "echo_answer"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "42\n"), "{finished:?}");
}

#[test]
fn call_tells_people_of_nothing_and_programs_nothing() {
    let site = Site::with(&["echo"]);
    for (arguments, stdout, told) in [
        (&["call", "echo_nothing", r#"{"value": "a"}"#][..], "", "done"),
        (&["call", "echo_echo_string", r#"{"value": ""}"#], "\n", "(empty)"),
    ] {
        let finished = site.run(arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (0, stdout), "{finished:?}");
        assert_eq!(finished.stderr.lines().last(), Some(told), "{finished:?}");
    }
}

#[test]
fn call_fails_where_the_tool_does() {
    let site = Site::with(&["echo", "hostile"]).config("[limits]\ntimeout = \"1s\"\n");
    for (arguments, said) in [
        (&["call", "echo_outcome", r#"{"value": {"err": "no luck"}}"#][..], "no luck"),
        (&["call", "echo_echo_u8", r#"{"value": 256}"#], "argument `$.value`: expected an integer from 0 to 255"),
        (&["call", "hostile_trap"], "the tool crashed (wasm trap: wasm `unreachable` instruction executed)"),
        (
            &["call", "hostile_recurse"],
            "the tool recursed too deeply and was stopped (wasm trap: call stack exhausted)",
        ),
        (&["call", "hostile_spin"], "the tool did not finish within 1s"),
        (&["call", "echo_anser"], "did you mean `echo_answer`?"),
    ] {
        let finished = site.run(arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains(said), "{arguments:?}: {finished:?}");
    }
    for json in ["{", "[]", "5"] {
        assert_eq!(site.run(&["call", "echo_answer", json]).code, 2, "{json}");
    }
}

#[test]
fn call_shows_where_a_tool_trapped_one_frame_a_line() {
    let text = r#"(component
        (core module $module
            (func $open_drawer (result i32) unreachable)
            (func $outer (export "outer") (result i32) call $open_drawer))
        (core instance $instance (instantiate $module))
        (func (export "trapping") (result u32) (canon lift (core func $instance "outer"))))"#;
    let site = Site::new().plugin("trapping", &from_text(text));
    for arguments in [&["call", "trapping"][..], &["call", "plugins/trapping.wasm", "trapping"]] {
        let finished = site.run(arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{finished:?}");
        let lines: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("error:")).collect();
        let [outcome, inner, outer] = lines[..] else { panic!("{finished:#?}") };
        assert_eq!(outcome, "error: the tool crashed (wasm trap: wasm `unreachable` instruction executed)");
        assert!(inner.contains("0: ") && inner.ends_with("open_drawer"), "{inner}");
        assert!(outer.contains("1: ") && outer.ends_with("outer"), "{outer}");
        assert!(!finished.stderr.contains("WASMTIME"), "no advice that cannot be followed: {finished:?}");
    }
}

#[tokio::test]
async fn commands_work_beside_a_running_server() {
    let server = Server::with(&["greeter-v1"]).await;
    let site = server.site();
    assert!(site.run(&["list"]).stdout.contains("greeter_v1_greet"));
    assert_eq!(site.run(&["call", "greeter_v1_greet", r#"{"name": "Ada"}"#]).stdout, "v1 greets Ada\n");
    assert_eq!(site.run(&["check"]).code, 0);
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[test]
fn commands_leave_no_state_behind() {
    let site = Site::with(&["greeter-v1"]);
    site.run(&["list"]);
    site.run(&["call", "greeter_v1_greet", r#"{"name": "Ada"}"#]);
    site.run(&["inspect", "plugins/greeter-v1.wasm"]);
    assert!(!site.path().join(".tinymcp").exists());
}

#[test]
fn connect_prints_what_clients_take() {
    let site = Site::new().config("[server]\nlisten = \"127.0.0.1:9000\"\n");
    for client in ["cursor", "claude-code", "vscode"] {
        let finished = site.run(&["connect", client]);
        assert_eq!(finished.code, 0, "{client}: {finished:?}");
        assert!(finished.stdout.contains(":9000/mcp"), "{client}: {}", finished.stdout);
    }
}

#[test]
fn new_refuses_names_that_cannot_be_built_and_directories_that_are_there() {
    let site = Site::new();
    for name in ["Weather", "2fast", "my_tool", "list", "../x", ""] {
        let finished = site.run(&["new", name]);
        assert!(finished.code != 0 && finished.stderr.contains("error:"), "{name}: {finished:?}");
    }
    assert_eq!(site.run(&["new", "weather"]).code, 0);
    let finished = site.run(&["new", "weather"]);
    assert!(finished.code != 0 && finished.stderr.contains("weather"), "{finished:?}");
}
