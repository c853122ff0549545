//! `tinymcp keys`: the root keys, and a new one.

use serde_json::json;

use super::operator::reached;
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::operator::{Answer, Request};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make a new root key, for everything that is written from now on; those before it still read
    #[command(after_help = "Example:\n  tinymcp keys rotate")]
    Rotate,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, json, what } = arguments;
    runtime()?.block_on(reached(config, async |reached| {
        let request = match what {
            None => Request::Keys,
            Some(What::Rotate) => Request::Rotate,
        };
        let take = |answer| match answer {
            Answer::Keys(keys) => Some(keys),
            _ => None,
        };
        let keys = reached.expect(request, take).await?;
        if json {
            output::json(&json!(keys));
            return Ok(());
        }
        for key in keys {
            let standing = if key.is_current { output::good("current") } else { output::dim("reads") };
            output::line(&format!("{}  {}  {standing}", output::bold(&key.name), key.source));
        }
        Ok(())
    }))
}
