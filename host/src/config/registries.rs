//! `from` of `[plugin.NAME]`, and `[registry."HOST"]`: plugins that come from registries.

use super::text::{InvalidValue, name};
use crate::oci::reference::{self, Source};

name! {
    /// A plugin in a registry, by reference or as a package.
    pub struct PluginSource = plugin_source, "a plugin in a registry", "oci://registry.example/org/weather:1.2", "oci://.+|[a-z][a-z0-9-]*:[a-z][a-z0-9-]*@[0-9].*"
}

name! {
    /// The host of a registry, with a port if it needs one.
    pub struct RegistryHost = registry_host, "the host of a registry", "registry.example:5000", r"[^/@?#]+"
}

name! {
    /// The first part of packages' names.
    pub struct PackageNamespace = package_namespace, "a namespace of packages", "acme", "[a-z][a-z0-9-]*"
}

fn plugin_source(text: &str) -> Result<String, InvalidValue> {
    let source: Source =
        text.parse().map_err(|error: reference::InvalidSource| InvalidValue::from(error.to_string()))?;
    Ok(source.to_string())
}

fn registry_host(text: &str) -> Result<String, InvalidValue> {
    if text.contains("://") {
        return Err("a registry is named by its host alone, without `https://`".into());
    }
    reference::host_of(text).map_err(|error| error.to_string().into())
}

fn package_namespace(text: &str) -> Result<String, InvalidValue> {
    match reference::is_name_part(text) {
        true => Ok(text.to_owned()),
        false => Err("a namespace is made of small letters, digits and single `-`".into()),
    }
}
