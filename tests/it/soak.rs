//! `tests/soak` itself: a run that is too short to judge growth, with a server that answers everything.

use std::fs;
use std::process::Command;

use tinymcp_tests::command::{built, finish, program};
use tinymcp_tests::guests::shipped;

#[test]
fn a_short_soak_has_no_failures_and_says_what_it_did_not_judge() {
    let plugins = tempfile::tempdir().unwrap();
    for name in ["hello", "add"] {
        fs::write(plugins.path().join(format!("{name}.wasm")), shipped(name)).unwrap();
    }
    let mut soak = Command::new(built("soak"));
    soak.args(["--minutes", "0.4", "--binary"]).arg(program()).arg("--plugins").arg(plugins.path());
    let finished = finish(&mut soak);
    assert_eq!(finished.code, 0, "{finished:#?}");
    for text in
        ["Python   NOT CALLED: not at hand", "JS       NOT CALLED", "not judged: takes 10 minutes", "failed       0"]
    {
        assert!(finished.stdout.contains(text), "no `{text}`: {finished:#?}");
    }
    // The line below the names of the columns.
    let line = finished.stdout.lines().skip_while(|line| !line.starts_with("minute")).nth(1).unwrap();
    let counts: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // Memory, descriptors, threads, rows, disk, calls, logins.
    assert!(counts[1..8].iter().all(|count| *count > 0.0), "{line}");
}
