//! `tinymcp plugin`: switches a plugin off and on in a running server, whatever its configuration says.

use super::operator::reached;
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::operator::{Answer, Request};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Take a plugin's tools away at once, and end its calls; it stays so over restarts
    Disable {
        /// The plugin, by the name of its file
        name: String,
    },
    /// Serve it again
    Enable {
        /// The plugin, by the name of its file
        name: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let (name, is_on) = match arguments.what {
        What::Disable { name } => (name, false),
        What::Enable { name } => (name, true),
    };
    runtime()?.block_on(reached(arguments.config, async |reached| {
        let take = |answer| match answer {
            Answer::Changed { is_other } => Some(is_other),
            _ => None,
        };
        let is_other = reached.expect(Request::SwitchPlugin { name: name.clone(), is_on }, take).await?;
        let said = match (is_on, is_other) {
            (false, true) => "is switched off, until `tinymcp plugin enable`",
            (false, false) => "was switched off already",
            (true, true) => "is switched on again, as far as the configuration has it",
            (true, false) => "was not switched off by a command",
        };
        output::note(&format!("plugin `{name}` {said}"));
        Ok(())
    }))
}
