//! `tinymcp connect`: prints the entry for a client's configuration.

use super::{ConfigArguments, Failure, output};
use crate::clients::Client;
use crate::config::provider::NONE;
use crate::view::View;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The client
    client: Client,
    /// The view to connect to, instead of the whole server
    #[arg(long, value_name = "NAME")]
    view: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.look()?;
    let view = match arguments.view.as_deref() {
        Some(name) if !config.view.contains_key(name) => {
            return Err(Failure::start(format!("there is no view `{name}`: declare it as `[view.{name}]`")));
        }
        name => name.map_or_else(View::default, View::named),
    };
    let url = format!("{}{view}", config.server.base_url.as_str());
    output::note(&output::dim(&format!("for {}:", arguments.client.place())));
    let has_login = config.auth.provider.as_str() != NONE;
    output::line(&arguments.client.snippet(&url, has_login));
    Ok(())
}
