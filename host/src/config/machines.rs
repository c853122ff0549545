//! The types of callers without a browser: `grants` of declared clients, and `[auth.workloads]`. [`tables`] has the rules
//! about them.

pub(super) mod tables;

use std::collections::BTreeMap;

use url::Url;

use super::text::{InvalidValue, choice, name};
use crate::loopback::is_loopback_url;
use crate::secret::Secret;

name! {
    /// The name of a workload, or of an operator's token.
    pub struct MachineName = machine_name, "a machine's name", "ci", "[A-Za-z0-9_-]{1,64}"
}
name! {
    /// A URL of an issuer or of its keys: https, or http on this machine.
    pub struct WebUrl = web_url, "a URL", "https://token.actions.githubusercontent.com", "https?://[^?#]+"
}

choice! {
    /// A way by which a declared client gets tokens.
    pub enum ClientGrant {
        /// A person logs in through a browser (RFC 6749 §4.1).
        AuthorizationCode = "authorization_code",
        /// It calls for itself, and nobody logs in (RFC 6749 §4.4).
        ClientCredentials = "client_credentials",
        /// A person logs in with a browser on another device (RFC 8628).
        DeviceCode = "device_code",
    }
}

choice! {
    /// An algorithm of signatures (RFC 7518): asymmetric ones only.
    pub enum SigningAlgorithm {
        /// RSA with SHA-256.
        Rs256 = "RS256",
        /// RSA with SHA-384.
        Rs384 = "RS384",
        /// RSA with SHA-512.
        Rs512 = "RS512",
        /// RSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// RSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// ECDSA with P-256.
        Es256 = "ES256",
        /// ECDSA with P-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

/// The longest name of a machine: it stands in logs, and in keys of state.
const NAME_MAX: usize = 64;

/// What declared clients and workloads need beside the file: variables, and files that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The secrets of declared clients, by their ids.
    pub secrets: BTreeMap<String, Secret>,
    /// The certificates (PEM) of the authorities of `ca_file`, by the names of workloads.
    pub authorities: BTreeMap<String, Vec<u8>>,
}

fn machine_name(text: &str) -> Result<String, InvalidValue> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(fits) {
        return Err("a name has 1 to 64 letters, digits, `_` and `-`".into());
    }
    Ok(text.to_owned())
}

fn web_url(text: &str) -> Result<String, InvalidValue> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    let is_secure = url.scheme() == "https" || url.scheme() == "http" && is_loopback_url(&url);
    if !is_secure || url.host().is_none() {
        return Err("expected https://…; http is for this machine only".into());
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("a URL of an issuer or of keys has no user, query or fragment".into());
    }
    // As it was written: issuers are compared byte by byte.
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
