//! Acts of operators in the audit: of commands beside a server and without one, and what is refused when no line can be
//! written.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, local};

use super::{AUDIT, audit_file, lines};

const TOKEN: [&str; 7] = ["token", "new", "ci", "--scopes", "read", "--expires", "1d"];

fn done(site: &Site, arguments: &[&str]) -> String {
    let done = site.run(arguments);
    assert_eq!(done.code, 0, "{arguments:?}: {done:#?}");
    done.stdout
}

/// The acts of the file: what, about what, and how it ended.
fn acts(site: &Site) -> Vec<(String, String, String)> {
    let acts = lines(&audit_file(site)).into_iter().filter(|line| line["event"] == "operator");
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let of = |line: Value| {
        assert!(line["user"].is_u64(), "{line}");
        let about = if line.get("whom").is_some() { "whom" } else { "about" };
        (text(&line, "act"), text(&line, about), text(&line, "outcome"))
    };
    acts.map(of).collect()
}

fn expected(acts: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    acts.iter().map(|(act, about, outcome)| ((*act).into(), (*about).into(), (*outcome).into())).collect()
}

#[tokio::test]
async fn acts_leave_the_same_lines_with_a_server_and_without_one() {
    let world = World::of(local().plugin("greeter-v1", &guest("greeter-v1")).config(AUDIT)).await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    let commands: &[&[&str]] = &[
        &TOKEN,
        &["token", "revoke", "ci"],
        &["plugin", "disable", "greeter-v1"],
        &["plugin", "enable", "greeter-v1"],
        &["people", "export", "alice"],
        &["people", "block", "alice"],
        &["people", "unblock", "alice"],
        &["keys", "rotate"],
        &["sessions", "end", "--all"],
    ];
    let name = |site: &Site| -> Vec<(String, String, String)> {
        let before = acts(site).len();
        for command in commands {
            done(site, command);
        }
        // What only looks is no act.
        for looks in [&["people"][..], &["sessions"], &["keys"], &["token", "list"], &["plugin", "list"]] {
            done(site, looks);
        }
        acts(site).split_off(before)
    };
    let beside = name(world.server.site());
    let alice = lines(&audit_file(world.server.site())).into_iter().find(|line| line["event"] == "login").unwrap();
    let alice = alice["person"].as_str().unwrap().to_owned();
    let all = expected(&[
        ("token new", "ci", "ok"),
        ("token revoke", "ci", "ok"),
        ("plugin disable", "greeter-v1", "ok"),
        ("plugin enable", "greeter-v1", "ok"),
        ("people export", &alice, "ok"),
        ("people block", &alice, "ok"),
        ("people unblock", &alice, "ok"),
        ("keys rotate", "", "ok"),
        ("sessions end", "all", "ok"),
    ]);
    assert_eq!(beside, all);
    // A session that is there when nobody serves it.
    world.log_in(Kind::ClaudeCode, "alice").await;
    let site = world.server.kill();
    assert_eq!(name(&site), all);
    let failed = site.run(&["token", "revoke", "nobody"]);
    assert_eq!(failed.code, 1, "{failed:#?}");
    assert_eq!(acts(&site).pop(), Some(("token revoke".to_owned(), "nobody".to_owned(), "failed".to_owned())));
    assert_eq!(fs::metadata(audit_file(&site)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn nothing_is_done_whose_line_cannot_be_written() {
    let refuse = format!("{AUDIT}on_error = \"refuse\"\n");
    let site = local().config(&refuse);
    fs::create_dir(audit_file(&site)).unwrap();
    let refused = site.run(&TOKEN);
    assert!(refused.code == 1 && refused.stderr.contains("not done: cannot write the audit"), "{refused:#?}");
    assert!(refused.stdout.is_empty(), "{refused:#?}");
    assert!(done(&site, &["token", "list", "--json"]).contains("[]"));
    // With `continue` it is done, and said.
    site.configure(AUDIT);
    let warned = site.run(&TOKEN);
    assert!(warned.code == 0 && warned.stderr.contains("this act has no line there"), "{warned:#?}");
    fs::remove_dir(audit_file(&site)).unwrap();
    // Standard output is the server's.
    site.configure("[audit]\nstdout = true\non_error = \"refuse\"\n");
    let refused = site.run(&["token", "revoke", "ci"]);
    assert!(refused.code == 1 && refused.stderr.contains("no server is running"), "{refused:#?}");
    site.configure(&refuse);
    done(&site, &["token", "revoke", "ci"]);
    assert_eq!(acts(&site), expected(&[("token revoke", "ci", "ok")]));
}

#[tokio::test]
async fn a_running_server_does_nothing_either() {
    let world = World::of(local().config(&format!("{AUDIT}on_error = \"refuse\"\n"))).await;
    let site = world.server.site();
    let path = audit_file(site);
    done(site, &TOKEN);
    fs::rename(&path, site.path().join("before")).unwrap();
    fs::create_dir(&path).unwrap();
    // It is noticed with the first line.
    let mut tries = 0;
    let refused = loop {
        let tried = site.run(&["plugin", "disable", "nobody"]);
        if tried.stderr.contains("not done") {
            break tried;
        }
        tries += 1;
        assert!(tries < 50, "{tried:#?}");
    };
    assert!(refused.code == 1 && refused.stderr.contains("cannot write its audit"), "{refused:#?}");
    let kept = site.run(&["token", "revoke", "ci"]);
    assert!(kept.code == 1 && done(site, &["token", "list"]).contains("ci"), "{kept:#?}");
}
