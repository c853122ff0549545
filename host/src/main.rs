//! The `tinymcp` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The memory of a burst goes back to the system soon after it. With glibc's allocator hundreds of megabytes stay.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    tinymcp::cli::main()
}
