//! `tinymcp completions`: a script by which a shell completes commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Failure, help, output};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run<C: CommandFactory>(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut help::with_groups(C::command()), "tinymcp", &mut script);
    output::plain(&String::from_utf8_lossy(&script));
    Ok(())
}
