//! What commands say: JSON for programs, and to people the thing and the cure.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::local;

/// The outcome of a command that fails: its words.
fn refused(site: &Site, arguments: &[&str], code: i32) -> String {
    let finished = site.run(arguments);
    assert_eq!(finished.code, code, "{arguments:?}: {finished:#?}");
    finished.stderr
}

fn json(site: &Site, arguments: &[&str]) -> Value {
    let finished = site.run(arguments);
    assert_eq!(finished.code, 0, "{arguments:?}: {finished:#?}");
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {finished:#?}"))
}

#[test]
fn a_call_compiles_the_plugin_of_its_tool_alone() {
    let site = Site::with(&["greeter-v1", "echo"]);
    let called = site.run(&["call", "greeter_v1_greet", "name=Ada"]);
    assert!(called.code == 0 && called.stdout.contains("v1 greets Ada"), "{called:#?}");
    assert!(called.stderr.contains("`greeter_v1`") && !called.stderr.contains("`echo`"), "{called:#?}");
    // Names that no file begins with are looked for everywhere.
    let site = Site::with(&["greeter-v1", "echo"])
        .config("[plugin.echo]\nprefix = \"other\"\n[plugin.greeter-v1.tool.greet]\nname = \"hello\"\n");
    let called = site.run(&["call", "hello", "name=Ada"]);
    assert!(called.code == 0 && called.stdout.contains("v1 greets Ada"), "{called:#?}");
    assert!(!called.stderr.contains("`echo`"), "{called:#?}");
    let unknown = refused(&site, &["call", "hello_there"], 1);
    assert!(unknown.contains("unknown tool `hello_there`") && unknown.contains("`tinymcp list`"), "{unknown}");
}

#[test]
fn sources_that_are_not_built_are_named() {
    let site = Site::new();
    assert_eq!(site.run(&["new", "dice"]).code, 0);
    let unknown = refused(&site, &["call", "dice_roll"], 1);
    assert!(unknown.contains("`dice` is not built: `tinymcp build dice`"), "{unknown}");
    site.put("greeter.wasm", &guest("greeter-v1"));
    let near = refused(&site, &["call", "greeter_gret", "name=x"], 1);
    assert!(near.contains("did you mean `greeter_greet`?"), "{near}");
    let far = refused(&site, &["call", "weather"], 1);
    assert!(!far.contains("did you mean") && far.contains("tinymcp build dice"), "{far}");
}

#[test]
fn values_of_another_type_are_told_as_they_were_typed() {
    let site = Site::with(&["greeter-v1"]);
    let wrong = refused(&site, &["call", "greeter_v1_wait", "ms=soon"], 1);
    assert!(wrong.contains("`ms` takes a whole number, and `soon` is none") && !wrong.contains("quotes"), "{wrong}");
}

#[test]
fn what_is_done_and_listed_is_json_for_programs() {
    let site = Site::new();
    let made = json(&site, &["init", "mine", "--json"]);
    assert!(made["plugin"] == "hello" && made["files"].as_array().unwrap().len() == 5, "{made}");
    let new = json(&site, &["new", "dice", "--template", "http", "--json"]);
    assert!(new["plugin"] == "dice" && new["needsGrant"] == true, "{new}");
    let clients = json(&site, &["connect", "--json"]);
    assert!(clients.as_array().unwrap().len() > 15 && clients[0]["name"].is_string(), "{clients}");
    let cursor = json(&site, &["connect", "cursor", "--json"]);
    assert!(cursor["entry"].as_str().unwrap().contains("mcpServers"), "{cursor}");
    fs::create_dir(site.path().join("home")).unwrap();
    let written = json(&site, &["connect", "cursor", "--file", "home/mcp.json", "--write", "--yes", "--json"]);
    assert!(written["changed"] == true && site.path().join("home/mcp.json").is_file(), "{written}");
    site.put("greeter.wasm", &guest("greeter-v1"));
    let plugins = json(&site, &["plugin", "list", "--json"]);
    assert_eq!(plugins[0]["state"], "on", "{plugins}");
    let grant = json(&site, &["grant", "greeter", "--json"]);
    assert_eq!(grant["plugin"], "greeter", "{grant}");
    // No server has run, and nobody made a token.
    let site = local();
    assert_eq!(json(&site, &["token", "list", "--json"]), serde_json::json!([]));
    assert!(!site.path().join(".tinymcp").exists());
    assert_eq!(json(&Site::new(), &["token", "list", "--json"]), serde_json::json!([]));
    assert_eq!(site.run(&["token", "new", "ci", "--scopes", "", "--expires", "1d"]).code, 0);
    let off = json(&site, &["keys", "--json"]);
    assert_eq!(off.as_array().unwrap().len(), 1, "{off}");
    let saved = json(&site, &["backup", "state.tar", "--json"]);
    assert!(saved["hasRootKey"] == true && saved["whileServing"] == false, "{saved}");
}

#[test]
fn a_backup_replaces_nothing_and_is_no_part_of_what_it_saves() {
    let site = local();
    assert_eq!(site.run(&["token", "new", "ci", "--scopes", "", "--expires", "1d"]).code, 0);
    let inside = refused(&site, &["backup", ".tinymcp/state.tar"], 2);
    assert!(inside.contains("is in the state directory"), "{inside}");
    assert_eq!(site.run(&["backup", "state.tar"]).code, 0);
    let twice = refused(&site, &["backup", "state.tar"], 2);
    assert!(twice.contains("is there already") && twice.contains("--force"), "{twice}");
    assert_eq!(site.run(&["backup", "state.tar", "--force"]).code, 0);
    let long = refused(&site, &["token", "new", "long", "--scopes", "", "--expires", "3651d"], 2);
    assert!(long.contains("ten years at most"), "{long}");
}

#[test]
fn places_that_cannot_be_used_are_named_with_the_cure() {
    let site = Site::new();
    fs::write(site.path().join("file"), "mine").unwrap();
    let init = refused(&site, &["init", "file"], 2);
    assert!(init.contains("`file` is a file: name a directory"), "{init}");
    let stdio = refused(&site, &["connect", "stdio", "--write", "--yes"], 2);
    assert!(stdio.contains("--file FILE"), "{stdio}");
    for (text, expected) in [
        ("[]", "no table of names and values"),
        ("{\"mcpServers\": []}", "`mcpServers` in it is no table"),
        ("{\"mcpServers\": {\"tinymcp\": {\"url\": 1, \"url\": 2}}}", "`url` is in one object of it twice"),
    ] {
        fs::write(site.path().join("mcp.json"), text).unwrap();
        let said = refused(&site, &["connect", "cursor", "--file", "mcp.json", "--write", "--yes"], 1);
        assert!(said.contains(expected), "{text}: {said}");
        assert_eq!(fs::read_to_string(site.path().join("mcp.json")).unwrap(), text);
    }
    // What replacing it means is said before it is done.
    fs::write(site.path().join("one.json"), "{}").unwrap();
    fs::hard_link(site.path().join("one.json"), site.path().join("two.json")).unwrap();
    let cautious = site.run(&["connect", "cursor", "--file", "one.json", "--write", "--yes"]);
    assert!(cautious.code == 0 && cautious.stderr.contains("a hard link"), "{cautious:#?}");
    fs::write(site.path().join("closed.json"), "{}").unwrap();
    fs::set_permissions(site.path().join("closed.json"), fs::Permissions::from_mode(0o444)).unwrap();
    let cautious = site.run(&["connect", "cursor", "--file", "closed.json", "--write", "--yes"]);
    assert!(cautious.code == 0 && cautious.stderr.contains("read-only"), "{cautious:#?}");
}

#[tokio::test]
async fn a_socket_in_somebody_elses_directory_is_said_to_be_that() {
    let site = Site::new();
    let open = site.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let config = format!("[state]\nsocket = \"{}\"\n", open.join("socket").display());
    let server = local().config(&config).start().await;
    for command in [&["sessions"][..], &["token", "list"]] {
        let said = refused(server.site(), command, 1);
        assert!(said.contains("control socket") && said.contains("mode 0700"), "{said}");
    }
}

#[test]
fn a_list_of_a_file_that_is_refused_has_no_other_version_without_a_server() {
    let site = Site::new().config(&format!("[plugin.greeter]\ntrust = {{ sha256 = \"{}\" }}\n", "0".repeat(64)));
    site.put("greeter.wasm", &guest("greeter-v1"));
    let listed = json(&site, &["list", "--json"]);
    assert!(listed["plugins"][0]["servedMeanwhile"].is_null(), "{listed}");
}
