//! `tinymcp connect`: what to put into a client's configuration.

use super::{ConfigArguments, Failure, output};
use crate::clients::Client;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The client
    client: Client,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.look()?;
    output::note(&output::dim(&format!("for {}:", arguments.client.place())));
    output::line(&arguments.client.snippet(&config.server.base_url.endpoint()));
    Ok(())
}
