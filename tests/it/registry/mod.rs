//! Plugins from registries: a real one, with a login and without, and one that lies.

mod hostile;
mod keyless;
mod locked;
mod logins;
mod published;
mod signed;
mod sigstore;

use std::fs;
use std::path::Path;

use serde_json::Value;
use tinymcp_tests::command::{CommandOutput, finish, tinymcp};
use tinymcp_tests::guests::exporting;
use tinymcp_tests::server::Site;

const V1: [&str; 1] = ["weather_now"];
const V2: [&str; 2] = ["weather_now", "weather_soon"];

/// A component with one tool.
fn first() -> Vec<u8> {
    exporting(&[("", "now")], "")
}

/// Its next version.
fn second() -> Vec<u8> {
    exporting(&[("", "now"), ("", "soon")], "")
}

/// Runs a command with the logins of a directory, and with no others.
fn run_as(site: &Site, docker: &Path, arguments: &[&str]) -> CommandOutput {
    finish(tinymcp(site.path()).args(arguments).env("DOCKER_CONFIG", docker))
}

fn run(site: &Site, arguments: &[&str]) -> CommandOutput {
    run_as(site, &site.path().join("no-docker"), arguments)
}

/// Runs a command that succeeds, and gives all that it says.
fn done(site: &Site, arguments: &[&str]) -> String {
    let output = run(site, arguments);
    assert_eq!(output.code, 0, "{output:#?}");
    format!("{}{}", output.stdout, output.stderr)
}

/// Runs a command that fails, and gives its error.
fn refused(site: &Site, arguments: &[&str]) -> String {
    let output = run(site, arguments);
    assert_ne!(output.code, 0, "{output:#?}");
    output.stderr
}

/// The reason why the only plugin is not served.
fn problem(site: &Site) -> String {
    let listed: Value = serde_json::from_str(&done_json(site)).unwrap();
    listed["plugins"][0]["problem"].as_str().unwrap_or_default().to_owned()
}

fn done_json(site: &Site) -> String {
    run(site, &["list", "--json"]).stdout
}

fn from(reference: &str) -> String {
    format!("[plugin.weather]\nfrom = \"{reference}\"\n")
}

fn lock_of(site: &Site) -> String {
    fs::read_to_string(site.path().join("tinymcp.lock")).unwrap_or_default()
}
