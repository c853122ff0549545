//! The first steps: `init`, `new` in each language, and calls that are typed.

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::command::run;
use tinymcp_tests::server::Site;

#[test]
fn a_directory_to_begin_with_is_made_by_the_program_alone() {
    let site = Site::new();
    let made = site.run(&["init", "mine", "--lang", "python", "--plugin", "first"]);
    assert_eq!(made.code, 0, "{made:?}");
    let dir = site.path().join("mine");
    for file in [
        "tinymcp.toml",
        ".env.example",
        ".gitignore",
        "plugins/first/wit/world.wit",
        "plugins/first/app.py",
        "plugins/first/tests/first.toml",
    ] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    // The configuration is one to begin with, whatever login it is for.
    let listed = run(&dir, &["list"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    // A beginner's plugin has nothing of the host in its way.
    assert!(!dir.join("plugins/first/wit/deps").exists());
    let again = run(&dir, &["init"]);
    assert!(again.code == 2 && again.stderr.contains("tinymcp new"), "{again:?}");
    let refused = site.run(&["init", "other", "--plugin", "Dice_2"]);
    assert!(refused.code == 2 && refused.stderr.contains("did you mean `dice-2`?"), "{refused:?}");
    assert!(!site.path().join("other").exists());
}

#[test]
fn a_file_of_ones_own_is_not_replaced() {
    let site = Site::new();
    let dir = site.path().join("mine");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(".gitignore"), "mine\n").unwrap();
    assert_eq!(site.run(&["init", "mine"]).code, 0);
    assert_eq!(fs::read_to_string(dir.join(".gitignore")).unwrap(), "mine\n");
}

#[test]
fn arguments_are_typed_read_and_checked() {
    let site = Site::with(&["greeter-v1", "echo"]);
    let call = |arguments: &[&str]| {
        let called = site.run(&[&["call"], arguments].concat());
        (called.code, called.stdout.trim_end().to_owned(), called.stderr)
    };
    assert_eq!(call(&["greeter_v1_greet", "name=1"]).1, "v1 greets 1");
    assert_eq!(call(&["greeter_v1_wait", "ms=1"]).0, 0);
    fs::write(site.path().join("a.json"), "{\"name\": \"Bo\"}\n").unwrap();
    assert_eq!(call(&["greeter_v1_greet", "@a.json"]).1, "v1 greets Bo");
    let whole: Value = serde_json::from_str(&call(&["greeter_v1_greet", "name=Ada", "--json"]).1).unwrap();
    assert_eq!(whole["content"], json!([{ "type": "text", "text": "v1 greets Ada" }]));
    let (code, said, _) = call(&["greeter_v1_wait", "ms=soon", "--json"]);
    assert!(code == 1 && said.contains("\"isError\": true"), "{said}");
    for wrong in [
        &["greeter_v1_greet", "Ada"][..],
        &["greeter_v1_greet", "name=a", "name=b"],
        &["greeter_v1_greet", "@nowhere.json"],
        &["greeter_v1_greet", "name=a", "--answers", "nowhere.json"],
        &["greeter_v1_greet", "name=a", "--scopes", "x"],
    ] {
        assert_eq!(call(wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn a_call_can_be_somebodys() {
    let site =
        Site::with(&["everything"]).config("[plugin.everything]\nprefix = \"\"\nscopes = [\"everything:use\"]\n");
    let who = |arguments: &[&str]| site.run(&[&["call", "who_am_i"], arguments].concat());
    let called = who(&["--as", "Alice@example.com"]);
    assert!(called.code == 0 && called.stdout.contains("alice@example.com"), "{called:?}");
    let lacking = who(&["--as", "alice", "--scopes", "other"]);
    assert!(lacking.code == 1 && lacking.stderr.contains("everything:use"), "{lacking:?}");
}

/// Makes plugins of a language from its templates, builds them, and uses them.
fn templates_work(tongue: &str) {
    let (keeps, asks) = (format!("{tongue}-keeps"), format!("{tongue}-asks-2"));
    let site = Site::new().config(&format!("[plugin.{keeps}]\nkv = {{}}\n"));
    for (name, template) in [(&keeps, "kv"), (&asks, "ask")] {
        let made = site.run(&["new", name, "--lang", tongue, "--template", template]);
        assert_eq!(made.code, 0, "{made:?}");
    }
    let built = site.run(&["build", &keeps, &asks]);
    assert_eq!(built.code, 0, "{built:?}");
    let tested = site.run(&["test"]);
    assert!(tested.code == 0 && tested.stdout.contains("all 3 passed"), "{tested:?}");
    fs::write(site.path().join("answers.json"), "{\"who\": {\"name\": \"Ada\"}}").unwrap();
    let tool = |name: &str| name.replace('-', "_");
    let kept = site.run(&["call", &tool(&keeps), "name=Ada"]);
    assert_eq!(kept.stdout, "Hello, Ada! That was number 1.\n", "{kept:?}");
    let asked = site.run(&["call", &tool(&asks), "greeting=Hi", "--answers", "answers.json"]);
    assert_eq!(asked.stdout, "Hi, Ada!\n", "{asked:?}");
    let unasked = site.run(&["call", &tool(&asks), "greeting=Hi"]);
    assert!(unasked.code == 1 && unasked.stderr.contains("`who`"), "{unasked:?}");
}

#[test]
fn templates_work_in_rust() {
    templates_work("rust");
}

#[test]
fn templates_work_in_python() {
    templates_work("python");
}

#[test]
fn templates_work_in_javascript() {
    templates_work("javascript");
}
