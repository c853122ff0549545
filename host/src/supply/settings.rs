//! What the configuration says of registries, for who talks to them.

use std::path::PathBuf;

use crate::config::{Config, Egress};
use crate::fetch::{FetchError, RegistryHttp};
use crate::oci::client::Client;
use crate::oci::credentials::Credentials;
use crate::oci::registries::{Registries, Registry};

/// The plugins that come from elsewhere, with their origins.
pub(crate) fn wanted(config: &Config) -> Vec<(String, String)> {
    let of = config.plugin.iter().filter(|(_, plugin)| plugin.enabled);
    of.filter_map(|(name, plugin)| Some((name.to_string(), plugin.from.as_ref()?.to_string()))).collect()
}

/// A client with the rules of the configuration.
///
/// # Errors
/// There is no TLS to be had.
pub(crate) fn client(config: &Config, egress: &Egress, docker: Option<PathBuf>) -> Result<Client, FetchError> {
    let http = RegistryHttp::through(egress)?;
    Ok(Client::new(http, registries(config), Credentials::of_directory(docker)))
}

fn registries(config: &Config) -> Registries {
    let of = |registry: &crate::config::keys::Registry| Registry {
        mirror: registry.mirror.as_ref().map(ToString::to_string),
        realms: registry.realms.iter().map(ToString::to_string).collect(),
        is_plain: registry.plain,
        packages: registry.packages.iter().map(ToString::to_string).collect(),
    };
    Registries(config.registry.iter().map(|(host, registry)| (host.to_string(), of(registry))).collect())
}
