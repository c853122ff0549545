//! Identity providers as data: the files under `host/providers/`, and `[auth.providers.NAME]` over them.
//!
//! Only the chosen provider's variables are resolved. The tables of all others are only checked for unknown keys.

mod keys;
mod values;
mod variables;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use url::Url;

pub use self::keys::{Hint, ProviderKeys};
pub use self::values::{BasicEncoding, ClientAuth, DiscoveryUrl, Endpoint, Method, Presence, Revocation, Secret};
use super::address::BaseUrl;
use super::document::{self, Node, Value};
use super::effective::{Line, ProviderUrls};
use super::key::Key;
use super::keys::Config;
use super::problem::{Fault, Source, nearest};
use super::reader::{Reader, Setting};
use crate::algorithms::ALGORITHMS;
use crate::loopback::is_loopback_url;

/// The provider that lets in everybody without a login.
pub(crate) const NONE: &str = "none";

/// The built-in login page, for development.
pub(crate) const LOCAL: &str = "local";

/// The providers that ship, by name.
pub(super) const BUILT_IN: [(&str, &str); 11] = [
    ("auth0", include_str!("../../providers/auth0.toml")),
    ("clerk", include_str!("../../providers/clerk.toml")),
    ("cognito", include_str!("../../providers/cognito.toml")),
    ("discord", include_str!("../../providers/discord.toml")),
    ("entra", include_str!("../../providers/entra.toml")),
    ("github", include_str!("../../providers/github.toml")),
    ("google", include_str!("../../providers/google.toml")),
    ("keycloak", include_str!("../../providers/keycloak.toml")),
    ("oidc", include_str!("../../providers/oidc.toml")),
    ("okta", include_str!("../../providers/okta.toml")),
    ("workos", include_str!("../../providers/workos.toml")),
];

/// The providers of the quick start.
const QUICK_START: [&str; 2] = ["auth0", "clerk"];

/// An identity provider: its keys, all variables replaced, checked against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    name: String,
    keys: ProviderKeys,
    /// The variable that sets a key, where one does.
    variables: BTreeMap<String, String>,
}

impl Provider {
    /// The name under which it was chosen, such as `auth0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name for people, such as `Auth0`.
    pub fn display_name(&self) -> &str {
        self.keys.display_name.as_deref().unwrap_or(&self.name)
    }

    /// The client's secret, unless it is a public client.
    pub fn secret(&self) -> Option<&Secret> {
        self.keys.client_secret.as_ref().filter(|_| self.keys.client_auth != ClientAuth::None)
    }

    /// The name of a token endpoint's error in RFC 6749 §5.2.
    pub fn standard_error<'e>(&'e self, error: &'e str) -> &'e str {
        self.keys.token_errors.get(error).map_or(error, String::as_str)
    }

    /// The variable that sets a key, if one does.
    pub fn variable(&self, key: &str) -> Option<&str> {
        self.variables.get(key).map(String::as_str)
    }

    /// The name of the setting behind a key, for operators: a variable, or the key itself.
    pub fn setting(&self, key: &str) -> String {
        match self.variable(key) {
            Some(variable) => variable.to_owned(),
            None => format!("`{}`", self.key().child(key)),
        }
    }

    /// The provider that a configuration chooses.
    #[cfg(test)]
    pub(crate) fn for_tests(text: &str, variables: &[(&str, &str)]) -> Self {
        let environment = super::Environment::from_iter(variables.iter().copied());
        let invocation = super::Invocation::new(super::Purpose::Serve);
        let loaded = Config::parse(text, &invocation, &environment).unwrap_or_else(|error| panic!("{error}"));
        loaded.provider.expect("a provider with keys")
    }

    fn key(&self) -> Key {
        key_of(&self.name)
    }

    /// Removes empty values: an empty variable counts as not set.
    fn without_empty_values(mut self) -> Self {
        let filled = |text: &String| !text.is_empty();
        self.keys.audience = self.keys.audience.filter(filled);
        self.keys.issuer = self.keys.issuer.filter(filled);
        self.keys.scope_prefix = self.keys.scope_prefix.filter(filled);
        self.keys.client_secret = self.keys.client_secret.filter(|secret| !secret.reveal().is_empty());
        self
    }

    /// The URL of the discovery document; none if the endpoints are given instead.
    pub fn discovery(&self) -> Option<DiscoveryUrl> {
        let has_endpoints = self.keys.authorization_endpoint.is_some() && self.keys.token_endpoint.is_some();
        let of_issuer = || self.keys.issuer.as_ref().filter(|_| !has_endpoints)?.parse().ok();
        self.keys.discovery.clone().or_else(of_issuer)
    }

    pub(super) fn urls_to_compare(&self, base_url: &BaseUrl) -> ProviderUrls {
        let discovery = self.discovery().map(|discovery| discovery.to_string());
        ProviderUrls { name: self.display_name().to_owned(), discovery, callback: base_url.callback() }
    }

    /// Every URL that the keys give, with its key.
    fn urls(&self) -> Vec<(&'static str, &Url)> {
        let keys = &self.keys;
        let endpoints = [
            ("authorization_endpoint", &keys.authorization_endpoint),
            ("token_endpoint", &keys.token_endpoint),
            ("jwks_uri", &keys.jwks_uri),
            ("userinfo_endpoint", &keys.userinfo_endpoint),
            ("introspection_endpoint", &keys.introspection_endpoint),
            ("token_info_endpoint", &keys.token_info_endpoint),
            ("revocation_endpoint", &keys.revocation_endpoint),
        ];
        let endpoints = endpoints.into_iter().filter_map(|(key, endpoint)| Some((key, endpoint.as_ref()?.url())));
        let documents = keys.documents.values().map(|document| ("documents", document.url.url()));
        let discovery = keys.discovery.iter().map(|discovery| ("discovery", discovery.url()));
        discovery.chain(endpoints).chain(documents).collect()
    }
}

impl Deref for Provider {
    type Target = ProviderKeys;

    fn deref(&self) -> &ProviderKeys {
        &self.keys
    }
}

/// Looks for keys that do not exist, in every table of providers.
pub(super) fn check_keys(root: &Node, reader: &mut Reader<'_>) {
    let Some(Node { value: Value::Table(tables), .. }) = declared(root) else { return };
    let known = ProviderKeys::keys();
    for (name, node) in tables.iter().filter(|(_, node)| matches!(node.value, Value::Table(_))) {
        reader.expect_table(node, &key_of(name), &known);
    }
}

/// Reads the provider that the configuration chooses; none for those without keys, and where there are problems.
pub(super) fn choose(config: &Config, root: &Node, reader: &mut Reader<'_>) -> Option<Provider> {
    let name = config.auth.provider.as_str();
    let chosen = Key::from("auth.provider");
    if [NONE, LOCAL].contains(&name) || reader.is_wrong(&chosen) {
        return None;
    }
    let own = declared(root).and_then(|providers| providers.get(name));
    let tree = match (built_in(name), own) {
        (None, None) => {
            let message = unknown(name, config);
            reader.conflict(&[chosen], message);
            return None;
        }
        (Some(built_in), None) => built_in,
        (Some(built_in), Some(own)) => merged(built_in, own),
        (None, Some(own)) => own.clone(),
    };
    let (provider, is_whole) = read(name, &tree, reader);
    require_allow(name, &tree, provider.as_ref(), config, reader);
    if !is_whole {
        point_to_other_providers(name, reader);
    }
    // A value that could not be read is not missing.
    let provider = provider.filter(|_| is_whole)?;
    check(&provider, config, reader);
    warn(&provider, &tree, config, reader);
    Some(provider)
}

fn key_of(name: &str) -> Key {
    Key::from("auth.providers").child(name)
}

fn declared(root: &Node) -> Option<&Node> {
    root.get("auth")?.get("providers")
}

fn built_in(name: &str) -> Option<Node> {
    let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    let file: Arc<str> = format!("providers/{name}.toml").into();
    Some(document::parse(&file, text).expect("a test reads every built-in file"))
}

/// The keys of `over`, and those of `base` that it does not give; tables key by key.
fn merged(base: Node, over: &Node) -> Node {
    match (base.value, &over.value) {
        (Value::Table(mut base), Value::Table(table)) => {
            for (name, node) in table {
                let node = match base.remove(name) {
                    Some(beneath) => merged(beneath, node),
                    None => node.clone(),
                };
                base.insert(name.clone(), node);
            }
            Node::new(Value::Table(base), over.source.clone())
        }
        _ => over.clone(),
    }
}

fn unknown(name: &str, config: &Config) -> String {
    let declared = config.auth.providers.keys().map(|name| name.as_str());
    let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).chain([LOCAL, NONE]).chain(declared).collect();
    match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("unknown provider `{name}`; did you mean `{nearest}`?"),
        None => format!("unknown provider `{name}`; known are {}", known.join(", ")),
    }
}

/// Reads a provider's tree. Its values, except for the texts that ship, take the place of the file's own among the
/// effective ones. The second value tells if all of it could be read.
fn read(name: &str, tree: &Node, reader: &mut Reader<'_>) -> (Option<Provider>, bool) {
    let key = key_of(name);
    let others = std::mem::take(&mut reader.problems);
    reader.lines.retain(|line| !line.key.is_within(&key));
    let (resolved, variables) = variables::resolve(tree, name, reader.environment);
    let keys = ProviderKeys::read(&resolved, &key, reader);
    let shipped_texts = [key.child("hints"), key.child("variables")];
    let is_shipped_text = |line: &Line| {
        shipped_texts.iter().any(|table| line.key.is_within(table)) && variables::is_built_in(&line.source, name)
    };
    reader.lines.retain(|line| !is_shipped_text(line));
    reader.lines.iter_mut().filter(|line| line.key.is_within(&key)).for_each(variables::redact);
    let found = std::mem::replace(&mut reader.problems, others);
    let is_whole = found.is_empty();
    for problem in found.into_iter().map(|problem| variables.rewrite(problem)) {
        if !reader.problems.contains(&problem) {
            reader.problems.push(problem);
        }
    }
    let provider = |keys| Provider { name: name.to_owned(), keys, variables: variables::by_key(tree) };
    (keys.map(provider).map(Provider::without_empty_values), is_whole)
}

/// Points to other providers if the variables of one in the quick start are missing: it may not have been wanted, or
/// there may be no account yet.
fn point_to_other_providers(name: &str, reader: &mut Reader<'_>) {
    let lacks_variables = reader.problems.iter().any(|problem| matches!(problem.fault, Fault::MissingVariable { .. }));
    if !lacks_variables || !QUICK_START.contains(&name) {
        return;
    }
    let key = Key::from("auth.provider");
    let message = match reader.source_of(&key) {
        Source::Default => {
            format!("`{name}` is only the default; `AUTH_PROVIDER` chooses another, and `tinymcp dev` needs none")
        }
        _ => format!(
            "`{name}` was chosen; `tinymcp dev` needs no account at a provider, and neither does `AUTH_PROVIDER=none tinymcp serve`, for this machine alone"
        ),
    };
    reader.problem(&Source::Default, &key, Fault::Conflict(message));
}

/// Requires a list of people where anybody can get an account: an empty one would let anybody in.
fn require_allow(name: &str, tree: &Node, provider: Option<&Provider>, config: &Config, reader: &mut Reader<'_>) {
    let by_url = |provider: &Provider| {
        let url = provider.discovery()?.url().to_string();
        Some(provider.open_signup_at.iter().any(|start| url.starts_with(start.as_str())))
    };
    let is_open = match provider {
        Some(provider) => provider.open_signup || by_url(provider).unwrap_or(false),
        None => matches!(tree.get("open_signup").map(|node| &node.value), Some(Value::Boolean(true))),
    };
    if is_open && config.auth.allow.is_empty() {
        let message = format!(
            "anybody can have an account at `{name}`, so this list must say who may log in: `allow = [\"*@example.com\"]`, \"alice@example.com\", \"sub:…\" or \"org:…\""
        );
        reader.conflict(&["auth.allow".into()], message);
    }
}

fn check(provider: &Provider, config: &Config, reader: &mut Reader<'_>) {
    let key = provider.key();
    if provider.discovery().is_none()
        && (provider.authorization_endpoint.is_none() || provider.token_endpoint.is_none())
    {
        let message =
            "`discovery` is missing; without it, `issuer`, `authorization_endpoint` and `token_endpoint` are needed";
        reader.conflict(std::slice::from_ref(&key), message);
    }
    if provider.discovery().is_none() && provider.issuer.is_none() {
        reader.conflict(std::slice::from_ref(&key), "without `discovery`, `issuer` is needed");
    }
    let issuer = provider.issuer.as_ref().and_then(|issuer| Url::parse(issuer).ok());
    for (name, url) in provider.urls().into_iter().chain(issuer.iter().map(|issuer| ("issuer", issuer))) {
        if url.scheme() != "https" && !(is_loopback_url(url) && config.server.base_url.is_loopback()) {
            let message = format!(
                "{url}: plain http is taken only where the provider and `server.base_url` are both on loopback; write https"
            );
            reader.conflict(&[key.child(name)], message);
        }
    }
    if provider.client_auth != ClientAuth::None
        && provider.client_auth != ClientAuth::Auto
        && provider.secret().is_none()
    {
        reader.conflict(&[key.child("client_auth")], "needs a `client_secret`");
    }
    let verify = key.child("verify");
    for algorithm in provider.verify.algorithms.iter() {
        let names = ALGORITHMS.map(|algorithm| format!("{algorithm:?}"));
        if !names.contains(algorithm) {
            let message = format!("`{algorithm}` is none of {}", names.join(", "));
            reader.conflict(&[verify.child("algorithms")], message);
        }
    }
    if provider.verify.leeway.duration().as_secs() > 60 {
        reader.conflict(&[verify.child("leeway")], "more than a minute");
    }
}

/// Warns of settings that work, and probably not as meant.
fn warn(provider: &Provider, tree: &Node, config: &Config, reader: &mut Reader<'_>) {
    let key = provider.key();
    if provider.verify.id_token && !provider.scopes.has("openid") {
        let message = format!(
            "every login needs an id_token ({}), and `openid` is not among the scopes ({}), so none will come and every login will fail: add it to both the provider's application and the scopes",
            provider.setting("verify.id_token"),
            provider.setting("scopes")
        );
        reader.warn(&key.child("verify").child("id_token"), Fault::Conflict(message));
    }
    let asks_for_scopes = config.plugin.values().any(|plugin| !plugin.scopes.is_empty());
    if tree.get("audience").is_some() && provider.audience.is_none() && asks_for_scopes {
        let message = format!(
            "{} is not set, so {}'s tokens carry no permissions; scopes of plugins are held only by those whom `auth.scopes` names",
            provider.setting("audience"),
            provider.display_name()
        );
        reader.warn(&key.child("audience"), Fault::Conflict(message));
    }
}

#[cfg(test)]
mod tests;
