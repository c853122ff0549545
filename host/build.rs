//! Records the commit that a release is built from, for `tinymcp --version`.
//!
//! `TINYMCP_COMMIT` says it where sources are no checkout of git, such as in a packager's build. A build for development
//! names none: it would be made anew at every commit, or name one that it is not.

use std::env;
use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "a build is told everything by variables")]
fn main() {
    println!("cargo::rerun-if-env-changed=TINYMCP_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let told = env::var("TINYMCP_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = told.or_else(|| is_release.then(checked_out).flatten());
    let plain = |commit: &String| commit.chars().all(|char| char.is_ascii_alphanumeric() || "-.+".contains(char));
    if let Some(commit) = commit.map(|commit| commit.trim().to_owned()).filter(plain) {
        println!("cargo::rustc-env=BUILT_FROM={commit}");
    }
}

/// The commit that is checked out, with `+` if sources were changed since. None where git is not there, or this is no
/// checkout of it.
fn checked_out() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    for file in ["HEAD", "index"] {
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", file])?;
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    Some(if is_changed { format!("{commit}+") } else { commit })
}
