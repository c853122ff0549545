//! Rules about the tables of callers without a browser, and what they need from outside the file.

use std::collections::BTreeMap;

use url::Url;

use super::{ClientGrant, Credentials, WebUrl};
use crate::config::certificates;
use crate::config::environment::Environment;
use crate::config::key::Key;
use crate::config::keys::{Client, Config, Workload};
use crate::config::problem::Fault;
use crate::config::provider::NONE;
use crate::config::reader::Reader;
use crate::jwks::Keys;
use crate::loopback::is_loopback_url;
use crate::secret::Secret;

/// Claims that name one workload for good where each is required exactly, in each of these combinations.
const IDENTITIES: [&[&str]; 4] =
    [&["sub"], &["repository_id"], &["project_id"], &["kubernetes.io/namespace", "kubernetes.io/serviceaccount/name"]];

impl Client {
    /// True if the table says that the client gets tokens in this way.
    pub fn may(&self, grant: ClientGrant) -> bool {
        self.grants.contains(&grant)
    }

    /// True if the client has keys of its own.
    pub fn has_keys(&self) -> bool {
        self.public_key.is_some() || self.jwks.is_some() || self.jwks_uri.is_some()
    }

    /// The keys that stand in the table, if they do.
    ///
    /// # Errors
    /// They cannot be read.
    fn written_keys(&self) -> Option<Result<Keys, &'static str>> {
        if let Some(pem) = &self.public_key {
            return Some(Keys::of_pem(pem).ok_or("expected a public key in PEM (`-----BEGIN PUBLIC KEY-----`): RSA of 2048 bits or more, P-256, P-384 or Ed25519"));
        }
        self.jwks.as_ref().map(|set| keys_of(set.as_str()))
    }
}

impl Workload {
    /// The keys that stand in the table, if they do.
    ///
    /// # Errors
    /// They cannot be read.
    fn written_keys(&self) -> Option<Result<Keys, &'static str>> {
        self.jwks.as_ref().map(|set| keys_of(set.as_str()))
    }
}

fn keys_of(set: &str) -> Result<Keys, &'static str> {
    Keys::read(set.as_bytes()).ok_or("expected a set of public keys (`{ keys = […] }`, RFC 7517) with at least one that can be used: RSA of 2048 bits or more, P-256, P-384 or Ed25519")
}

/// Runs every check of these tables.
pub(in crate::config) fn check(config: &Config, reader: &mut Reader<'_>) {
    for (id, client) in &config.auth.clients {
        check_client(config, &Key::from("auth.clients").child(id), client, reader);
    }
    for (name, workload) in &config.auth.workloads {
        check_workload(config, &Key::from("auth.workloads").child(name), workload, reader);
    }
    let mut clients = config.auth.clients.values();
    if config.auth.device_flow && !clients.any(|client| client.may(ClientGrant::DeviceCode)) {
        let message = "no client has `device_code` in its `grants`, so nobody can use it";
        reader.warn(&"auth.device_flow".into(), Fault::Conflict(message.to_owned()));
    }
    if config.auth.provider.as_str() == NONE && !config.auth.workloads.is_empty() {
        let message = "with provider `none` nobody needs a token, and everybody is the same caller";
        reader.warn(&"auth.workloads".into(), Fault::Conflict(message.to_owned()));
    }
}

fn check_client(config: &Config, key: &Key, client: &Client, reader: &mut Reader<'_>) {
    let child = |name: &str| key.child(name);
    if client.grants.is_empty() {
        reader.conflict(&[child("grants")], "a client without any way to get a token is of no use");
    }
    let places = [client.public_key.is_some(), client.jwks.is_some(), client.jwks_uri.is_some()];
    if places.into_iter().filter(|is_given| *is_given).count() > 1 {
        let message = "a client's keys are in one place: `public_key`, `jwks` or `jwks_uri`";
        reader.conflict(std::slice::from_ref(key), message);
    }
    if client.has_keys() && client.secret.is_some() {
        let message = "a client has a secret, or keys of its own, and not both";
        reader.conflict(&[child("secret")], message);
    }
    if let Some(Err(reason)) = client.written_keys() {
        let name = if client.public_key.is_some() { "public_key" } else { "jwks" };
        reader.conflict(&[child(name)], reason);
    }
    if let Some(url) = &client.jwks_uri {
        check_url(config, &child("jwks_uri"), url, client.private, reader);
    }
    if client.may(ClientGrant::ClientCredentials) {
        if !client.has_keys() && client.secret.is_none() {
            let message = "a client that calls for itself must prove who it is: give it a `secret`, `public_key`, `jwks` or `jwks_uri`";
            reader.conflict(&[child("grants")], message);
        }
    } else if !client.scopes.is_empty() {
        let message = "scopes of its own are for a client with `client_credentials` in its `grants`; a person's are in `[auth.scopes]`";
        reader.warn(&child("scopes"), Fault::Conflict(message.to_owned()));
    }
    if client.may(ClientGrant::DeviceCode) && !config.auth.device_flow {
        let message = "the device flow is off: `auth.device_flow = true` turns it on";
        reader.warn(&child("grants"), Fault::Conflict(message.to_owned()));
    }
    if !client.may(ClientGrant::AuthorizationCode) && !client.redirect_uris.is_empty() {
        let message = "redirect URIs are for a client with `authorization_code` in its `grants`";
        reader.warn(&child("redirect_uris"), Fault::Conflict(message.to_owned()));
    }
}

fn check_workload(config: &Config, key: &Key, workload: &Workload, reader: &mut Reader<'_>) {
    let is_exact = |claim: &&str| workload.claims.get(*claim).is_some_and(|rule| rule.is_exact());
    if !IDENTITIES.iter().any(|claims| claims.iter().all(is_exact)) {
        let message = "the issuer vouches for everybody who uses it, so one workload must be named without a `*`: require `sub`, `repository_id` (GitHub), `project_id` (GitLab), or `\"kubernetes.io/namespace\"` and `\"kubernetes.io/serviceaccount/name\"`";
        reader.conflict(&[key.child("claims")], message);
    }
    if workload.algorithms.is_empty() {
        reader.conflict(&[key.child("algorithms")], "without an algorithm no token is accepted");
    }
    if workload.jwks.is_some() && workload.jwks_uri.is_some() {
        reader.conflict(&[key.child("jwks")], "the issuer's keys are in one place: `jwks` or `jwks_uri`");
    }
    if let Some(Err(reason)) = workload.written_keys() {
        reader.conflict(&[key.child("jwks")], reason);
    }
    if workload.jwks.is_none() {
        let (name, url) = workload.jwks_uri.as_ref().map_or(("issuer", &workload.issuer), |url| ("jwks_uri", url));
        check_url(config, &key.child(name), url, workload.private, reader);
    }
}

/// A URL that the server fetches leads to a public address, or is said to be `private`.
fn check_url(config: &Config, key: &Key, url: &WebUrl, is_private: bool, reader: &mut Reader<'_>) {
    let Ok(url) = Url::parse(url) else { return };
    if url.scheme() == "http" && !config.server.base_url.is_loopback() {
        reader.conflict(
            std::slice::from_ref(key),
            "plain http only where this server's `base_url` is on this machine too",
        );
    }
    let is_address = matches!(url.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_))) || is_loopback_url(&url);
    if is_address && !is_private {
        reader.conflict(
            std::slice::from_ref(key),
            "this address is in a network of your own: say so with `private = true` in this table",
        );
    }
}

/// Reads what the tables name outside the file.
pub(in crate::config) fn credentials(
    config: &Config,
    environment: &Environment,
    reader: &mut Reader<'_>,
) -> Credentials {
    Credentials { secrets: secrets(config, environment, reader), authorities: authorities(config, reader) }
}

/// The secrets of declared clients, their variables replaced.
fn secrets(config: &Config, environment: &Environment, reader: &mut Reader<'_>) -> BTreeMap<String, Secret> {
    let mut secrets = BTreeMap::new();
    for (id, client) in &config.auth.clients {
        let Some(template) = &client.secret else { continue };
        let key = Key::from("auth.clients").child(id).child("secret");
        match template.resolve(|name| environment.lookup(name)) {
            Ok(secret) if secret.trim().is_empty() => {
                let message = "an empty secret proves nothing; leave the key out for a public client";
                reader.conflict(&[key], message);
            }
            Ok(secret) => {
                secrets.insert(id.clone(), Secret::new(secret));
            }
            Err(errors) => {
                let source = reader.source_of(&key);
                errors.into_iter().for_each(|error| reader.problem(&source, &key, error.into()));
            }
        }
    }
    secrets
}

fn authorities(config: &Config, reader: &mut Reader<'_>) -> BTreeMap<String, Vec<u8>> {
    let mut authorities = BTreeMap::new();
    for (name, workload) in &config.auth.workloads {
        let Some(path) = &workload.ca_file else { continue };
        let key = Key::from("auth.workloads").child(name).child("ca_file");
        match certificates::read(path) {
            Ok(pem) => {
                authorities.insert(name.to_string(), pem);
            }
            Err(reason) => reader.conflict(&[key], format!("`{}`: {reason}", path.display())),
        }
    }
    authorities
}
