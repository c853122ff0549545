//! The `tinymcp` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tinymcp::cli::main()
}
