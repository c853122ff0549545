//! `tinymcp test`: calls with nothing of this machine behind them, and what is said when one is not as it should be.

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::command::{CommandOutput, finish, tinymcp};
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::server::Site;

/// A directory with a guest and its cases.
fn site(guest: &str, cases: &str) -> Site {
    let site = Site::with(&[guest]);
    write(&site, guest, "first.toml", cases);
    site
}

fn write(site: &Site, plugin: &str, file: &str, cases: &str) {
    let folder = site.plugin_path(plugin).join("tests");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(file), cases).unwrap();
}

fn case(name: &str, tool: &str, rest: &str) -> String {
    format!("[[case]]\nname = \"{name}\"\ntool = \"{tool}\"\n{rest}\n")
}

/// All cases of a directory, which are to pass.
fn pass(site: &Site) -> String {
    let tested = site.run(&["test"]);
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.stdout
}

/// All cases of a directory, some of which are to fail, with the texts that are to be said.
fn fail(site: &Site, said: &[&str]) -> CommandOutput {
    let tested = site.run(&["test"]);
    assert_eq!(tested.code, 1, "{tested:#?}");
    for said in said {
        assert!(tested.stdout.contains(said), "{said}\n{}", tested.stdout);
    }
    tested
}

fn get(url: &str, rest: &str) -> String {
    let arguments = format!("arguments = {{ method = \"GET\", url = \"{url}\", headers = [] }}");
    case("asks", "fetch", &format!("{arguments}\n{rest}"))
}

#[test]
fn a_case_is_one_line_and_a_difference_is_shown() {
    let cases = [
        case("greets", "greet", "arguments = { name = \"Ada\" }\nresult = \"v1 greets Ada\""),
        case("greets by the tool's name", "greeter_v1_greet", "arguments = '{\"name\": \"Bo\"}'\ncontains = \"Bo\""),
        case("refuses a number", "greet", "arguments = { name = 1 }\nerror = \"expected a string\""),
    ];
    let site = site("greeter-v1", &cases.concat());
    let lines = pass(&site);
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert!(lines.starts_with("passed greeter-v1: greets (") && lines.ends_with("all 3 passed\n"), "{lines}");
    let wrong = [
        case("another name", "greet", "arguments = { name = \"Ada\" }\nresult = \"v1 greets Bo\""),
        case("no error", "greet", "arguments = { name = \"Ada\" }\nerror = \"\""),
        case("no result", "greet", "result = \"\""),
        case("no tool", "gret", "result = \"\""),
    ];
    write(&site, "greeter-v1", "second.toml", &wrong.concat());
    let lines = [
        "failed greeter-v1: another name",
        "$: expected \"v1 greets Bo\"\n          got      \"v1 greets Ada\"",
        "expected an error with \"\" in it, got the result \"v1 greets Ada\"",
        "the tool failed: argument `$.name`: missing",
        "unknown tool `gret`",
        "4 of 7 failed",
    ];
    fail(&site, &lines);
    let chosen = site.run(&["test", "greeter-v1/", "--filter", "greets", "--json"]);
    let chosen: Value = serde_json::from_str(&chosen.stdout).unwrap();
    assert_eq!(chosen.as_array().unwrap().len(), 2, "{chosen}");
    assert_eq!((&chosen[0]["case"], &chosen[0]["outcome"]), (&json!("greets"), &json!("passed")), "{chosen}");
    assert!(chosen[0]["file"].as_str().is_some_and(|file| file.ends_with("greeter-v1/tests/first.toml")), "{chosen}");
    assert_eq!(site.run(&["test", "--filter", "no such"]).code, 1);
}

#[test]
fn a_mistake_in_a_file_is_told_before_anything_is_called() {
    let site = site("greeter-v1", &case("greets", "greet", "argumnets = {}\nresult = \"\""));
    write(&site, "greeter-v1", "second.toml", "name = \n");
    let tested = site.run(&["test"]);
    assert!(tested.code == 2 && tested.stdout.is_empty(), "{tested:?}");
    let first = "greeter-v1/tests/first.toml:4: case.argumnets: unknown key; did you mean `arguments`?";
    assert!(tested.stderr.contains(first) && tested.stderr.contains("second.toml:1: not valid TOML"), "{tested:?}");
    let unknown = site.run(&["test", "greeter-v2"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("did you mean `greeter-v1`?"), "{unknown:?}");
    // Nothing to do is no mistake.
    let nothing = Site::with(&["greeter-v1"]).run(&["test"]);
    assert!(nothing.code == 0 && nothing.stderr.contains("NAME/tests/*.toml"), "{nothing:?}");
}

#[test]
fn a_plugin_without_component_fails() {
    let site = site("greeter-v1", &case("greets", "greet", "result = \"\""));
    site.remove("greeter-v1.wasm");
    fail(&site, &["greeter-v1.wasm` is not there"]);
    site.put("greeter-v1.wasm", b"no component");
    fail(&site, &["not loaded: "]);
}

#[tokio::test]
async fn requests_are_answered_by_stand_ins_and_by_nobody_else() {
    let peer = Peer::start(|_| Script::text("real")).await;
    let granted = "https://api.example.com/a?b=c";
    let site = site("fetch", "").config(&format!(
        "[plugin.fetch]\nhttp = [\"{}\", {{ to = \"{granted_by}\", headers = {{ Authorization = \"Bearer ${{KEY}}\" }}, query = {{ k = \"literal\" }} }}]\n",
        peer.url(""),
        granted_by = "https://keyed.example.com",
    ));
    let put = |text: &str| write(&site, "fetch", "first.toml", text);

    // Without any grant of the configuration.
    put(&get(
        granted,
        &format!(
            "contains = 'x-of-the-service'\n[[case.http]]\nurl = \"{granted}\"\nheaders = {{ host = \"api.example.com\" }}\n[case.http.answer]\nstatus = 201\nheaders = {{ x-of-the-service = \"yes\" }}\njson = {{ a = [1] }}"
        ),
    ));
    pass(&site);

    // A request that nobody stands in for fails the case, whatever the plugin makes of it, and so does an unused one.
    put(&get(&peer.url("/real?x=1"), "error = \"\""));
    fail(&site, &[&format!("no stand-in for GET {}", peer.url("/real?x=1"))]);
    put(&get("https://elsewhere.example/y?z", "error = \"ask the operator\""));
    fail(&site, &["no stand-in for GET https://elsewhere.example/y?z, and no grant"]);
    put(&case(
        "asks nobody",
        "fetch-all",
        "arguments = { urls = [] }\nresult = []\n[[case.http]]\nmethod = \"POST\"\nurl = \"https://api.example.com/\"",
    ));
    fail(&site, &["nobody asked for POST https://api.example.com/"]);
    assert_eq!(peer.connections(), 0);

    // Credentials of the configuration are put in, by other values, and are scrubbed from the answer.
    put(&get(
        "https://keyed.example.com/",
        "contains = 'you are *'\n[[case.http]]\nurl = \"https://keyed.example.com/?k=stand-in-for-k\"\nheaders = { authorization = \"Bearer stand-in-for-KEY\" }\nanswer = { body = \"you are stand-in-for-KEY\" }",
    ));
    let tested = finish(tinymcp(site.path()).arg("test").env("KEY", "the-operators-own-key"));
    let scrubbed = tested.stdout.contains("passed") || tested.stdout.contains("you are ");
    assert!(scrubbed && !tested.stdout.contains("the-operators-own-key"), "{tested:#?}");
    put(&get(
        "https://keyed.example.com/",
        "contains = '200'\nsecrets = { KEY = \"mine\", k = \"v\" }\n[[case.http]]\nurl = \"https://keyed.example.com/?k=v\"\nheaders = { authorization = \"Bearer yours\" }",
    ));
    fail(&site, &["header `authorization`: expected \"Bearer yours\", got \"Bearer mine\""]);
}

#[test]
fn a_body_is_compared_and_each_stand_in_answers_once() {
    let arguments =
        "arguments = { method = \"POST\", url = \"http://10.0.0.7:9200/x\", headers = [], body = '{\"n\": 2}' }";
    let stand_in = "[[case.http]]\nmethod = \"POST\"\nurl = \"http://10.0.0.7:9200/x\"\n";
    let cases = [
        case(
            "sends",
            "fetch",
            &format!("{arguments}\ncontains = 'seen'\n{stand_in}json = {{ n = 2.0 }}\nanswer = {{ body = \"seen\" }}"),
        ),
        case("sends what it should not", "fetch", &format!("{arguments}\ncontains = ''\n{stand_in}json = {{ n = 3 }}")),
    ];
    let site = site("fetch", &cases.concat());
    fail(
        &site,
        &["passed fetch: sends (", "POST http://10.0.0.7:9200/x: body: $.n: expected 3, got 2", "1 of 2 failed"],
    );
    // The two requests are sent at the same time: which of them is the first is not decided.
    let url = "https://a.example/";
    let twice = format!("arguments = {{ urls = [\"{url}\", \"{url}\"] }}\ncontains = '\"500\"'\n");
    let two = format!("[[case.http]]\nurl = \"{url}\"\n[[case.http]]\nurl = \"{url}\"\nanswer = {{ status = 500 }}\n");
    write(&site, "fetch", "first.toml", &case("twice", "fetch-all", &(twice + &two)));
    pass(&site);
}

/// What the operator grants, of which a case has the names alone.
const GRANTED: &str = r#"
[plugin.names]
secrets = { KEPT = "${KEPT}", PLAIN = "hunter22" }
env = { TZ = "UTC", TOKEN = "${KEPT}" }
settings = { greeting = "real" }

[plugin.files]
dirs = [{ host = "journal", guest = "/real" }]
"#;

#[test]
fn a_case_has_state_secrets_settings_and_folders_of_its_own() {
    let counts = |name: &str| case(name, "increment", "arguments = { key = \"a\", delta = 1 }\nresult = 1");
    let site = site("state", &[counts("first"), counts("second")].concat()).config(GRANTED);
    fs::create_dir(site.path().join("journal")).unwrap();
    let site = site
        .plugin("names", &tinymcp_tests::guests::guest("names"))
        .plugin("files", &tinymcp_tests::guests::guest("files"));
    let secret = |name: &str, rest: &str| case(name, "secret", &format!("arguments = {{ name = \"{name}\" }}\n{rest}"));
    let names = [
        secret("KEPT", "result = \"stand-in-for-KEPT\""),
        secret("PLAIN", "result = \"mine\"\nsecrets = { PLAIN = \"mine\" }"),
        secret("NEW", "result = \"n\"\nsecrets = { NEW = \"n\" }"),
        secret("NONE", "result_json = \"null\""),
        case(
            "has settings of its own",
            "newer",
            "arguments = { name = \"greeting\" }\nresult = \"hi\"\nsettings = { greeting = \"hi\" }",
        ),
        case("has none of the operator's", "newer", "arguments = { name = \"greeting\" }\nresult_json = \"null\""),
        case("has an environment", "env", "result = [[\"TOKEN\", \"stand-in-for-KEPT\"], [\"TZ\", \"UTC\"]]"),
    ];
    write(&site, "names", "first.toml", &names.concat());
    let files = [
        case(
            "reads",
            "read-file",
            "arguments = { path = \"/data/a.txt\" }\nresult = \"of the case\"\ndirs = { \"/data\" = \"data\" }",
        ),
        case(
            "changes nothing",
            "create",
            "arguments = { path = \"/data/b.txt\" }\nerror = \"\"\ndirs = { \"/data\" = \"data\" }",
        ),
        case("sees nothing else", "names", "arguments = { path = \"/real\" }\nerror = \"\""),
    ];
    write(&site, "files", "first.toml", &files.concat());
    fs::create_dir(site.plugin_path("files/tests/data")).unwrap();
    fs::write(site.plugin_path("files/tests/data/a.txt"), "of the case").unwrap();
    let tested = finish(tinymcp(site.path()).arg("test").env("KEPT", "the-operators-own-key"));
    assert!(tested.code == 0 && tested.stdout.contains("all 12 passed"), "{tested:#?}");
    assert!(!site.path().join(".tinymcp").exists(), "nothing is kept");
    // A case comes with its plugin, and gives it nothing of its operator's.
    let outside =
        case("reads", "read-file", "arguments = { path = \"/x\" }\nerror = \"\"\ndirs = { \"/x\" = \"../../..\" }");
    write(&site, "files", "first.toml", &outside);
    fail(&site, &["`dirs`: ", " is no folder within `"]);
}

#[test]
fn a_case_is_somebodys() {
    let config = "[plugin.everything]\nprefix = \"\"\nscopes = [\"everything:use\"]\n";
    let cases = [
        case("of alice", "who-am-i", "as = \"Alice@example.com\"\ncontains = \"alice@example.com\""),
        case("of nobody", "who_am_i", "contains = \"\""),
        case("without the scope", "who_am_i", "as = \"bob\"\nscopes = [\"other\"]\nerror = \"everything:use\""),
    ];
    let site = site("everything", &cases.concat()).config(config);
    pass(&site);
    // Who is switched off is not tested, unless they are meant.
    site.configure(&format!("{config}enabled = false\n"));
    assert_eq!(site.run(&["test"]).stdout, "");
    assert!(site.run(&["test", "everything"]).stdout.contains("all 3 passed"));
}
