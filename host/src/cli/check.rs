//! `tinymcp check` and `tinymcp schema`.

use super::{ConfigArguments, Failure, load, output};
use crate::config::{Config, Purpose};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let loaded = load(&arguments.config.invocation(Purpose::Serve, Vec::new()))?;
    for warning in &loaded.warnings {
        output::warning(&warning.to_string());
    }
    output::line(loaded.in_force.to_string().trim_end());
    Ok(())
}

pub(super) fn schema() -> Result<(), Failure> {
    output::json(&Config::schema().to_value());
    Ok(())
}
