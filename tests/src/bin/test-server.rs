//! The server with a clock that tests move ([`tinymcp_tests::server::Site::with_clock`]); everything else is `tinymcp`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tinymcp_tests::server::CLOCK;

fn main() -> ExitCode {
    tinymcp::clock::install(moved);
    tinymcp::cli::main()
}

/// The time of day, later by the milliseconds in the file that the environment names.
fn moved() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the clock is no setting of the program's")]
    let file = std::env::var_os(CLOCK).expect("the harness names a file");
    let offset = std::fs::read_to_string(file).expect("the harness has written it");
    SystemTime::now() + Duration::from_millis(offset.trim().parse().expect("a number"))
}
