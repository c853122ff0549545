//! `tinymcp connect`: prints the entry for a client's configuration.

use super::{ConfigArguments, Failure, output};
use crate::clients::Client;
use crate::config::provider::NONE;

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
    let has_login = config.auth.provider.as_str() != NONE;
    output::line(&arguments.client.snippet(&config.server.base_url.endpoint(), has_login));
    Ok(())
}
