//! What an operator does by commands: to sessions, people, plugins and keys, beside a running server and without one.

mod keys;
mod people;
mod plugins;
mod saved;
mod sessions;

use std::time::Duration;

use serde_json::Value;
use tinymcp_tests::command::{CommandOutput, finish};
use tinymcp_tests::server::Site;

/// What is ended is out within two seconds; busy machines look later.
const SOON: Duration = Duration::from_secs(60);

/// The JSON that a command prints.
fn json(site: &Site, arguments: &[&str]) -> Value {
    let finished = site.run(arguments);
    assert_eq!(finished.code, 0, "{arguments:?}: {finished:#?}");
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {finished:#?}"))
}

/// A command that does what it says.
fn done(site: &Site, arguments: &[&str]) -> CommandOutput {
    let finished = site.run(arguments);
    assert_eq!(finished.code, 0, "{arguments:?}: {finished:#?}");
    finished
}

/// A command that fails, and what it says.
fn refused(site: &Site, arguments: &[&str]) -> String {
    let finished = site.run(arguments);
    assert_ne!(finished.code, 0, "{arguments:?}: {finished:#?}");
    finished.stderr
}

/// Unpacks parts of an archive, or all of it, into the state directory, as the documents say.
fn unpack(site: &Site, archive: &str, parts: &[&str]) {
    let mut tar = std::process::Command::new("tar");
    let unpacked = finish(tar.current_dir(site.path()).args(["-xf", archive, "-C", ".tinymcp"]).args(parts));
    assert_eq!(unpacked.code, 0, "{unpacked:?}");
}
