//! The server with what no user of it can ask for: a clock that tests move ([`tinymcp_tests::server::Site::with_clock`]), or the
//! formats of a later version ([`tinymcp_tests::server::Site::of_later_version`]). Everything else is `tinymcp`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tinymcp_tests::server::{CLOCK, FORMAT};

fn main() -> ExitCode {
    if variable(CLOCK).is_some() {
        tinymcp::clock::install(moved);
    }
    if let Some(latest) = variable(FORMAT) {
        tinymcp::redis::read_formats_up_to(latest.parse().expect("a number"));
    }
    tinymcp::cli::main()
}

/// The time of day, later by the milliseconds in the file that the environment names.
fn moved() -> SystemTime {
    let offset = std::fs::read_to_string(variable(CLOCK).expect("it was there")).expect("the harness has written it");
    SystemTime::now() + Duration::from_millis(offset.trim().parse().expect("a number"))
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "none of it is a setting of the program's")]
    std::env::var(name).ok()
}
