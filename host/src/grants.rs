//! What a plugin may touch outside itself, as data, and the decisions about it. Pure: nothing here reads a file, looks up
//! a name or opens a connection, and nothing knows of WebAssembly or of `tinymcp.toml`.
//!
//! - `scheme`, `host`, `origin`, `endpoint`, `path`: the parts of an entry of `http` or `tcp`, each read into its one form.
//! - `rule`: an entry's terms. `target`: a request. `decide`: the entry that allows it.
//! - `address`: the addresses that an entry leads to, after the one look-up, and the way through a proxy.
//! - `headers`, `query`, `credentials`: what is taken from a request, and what is put in. `secret`: a text that nobody
//!   sees; `scrub` finds it in answers.
//! - `needs`: what a component declares, which can only narrow. `snippet`: the lines that would grant something, for the
//!   operator alone.
//! - `words`: grants as operators read them. `in_force`: the grants of now, beside those that a call began with.
//!
//! `docs/grants.md` has the rules in words.

pub mod address;
pub mod credentials;
pub mod decide;
pub mod endpoint;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod headers;
pub mod host;
pub mod in_force;
pub mod needs;
pub mod origin;
pub mod path;
mod query;
pub mod rule;
pub mod scheme;
pub mod scrub;
pub mod snippet;
pub mod target;
pub mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::Method;

use self::address::Reach;
use self::credentials::Credentials;
use self::decide::{Denial, decide};
use self::endpoint::Endpoint;
use self::host::Host;
use self::needs::{Need, Needs};
use self::rule::Rule;
use self::target::Target;
use crate::secret::Secret;

/// All that one plugin may touch. Empty means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Requests.
    pub http: Vec<HttpGrant>,
    /// Sockets.
    pub tcp: Vec<TcpGrant>,
    /// Secrets that the plugin may read, by name.
    pub secrets: BTreeMap<String, SecretGrant>,
    /// Variables of its environment.
    pub env: BTreeMap<String, Secret>,
    /// State that it keeps.
    pub kv: Option<KvGrant>,
    /// Folders.
    pub dirs: Vec<DirGrant>,
    /// What it declares to need.
    pub needs: Needs,
}

/// One entry of `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// Where, and how.
    pub rule: Rule,
    /// What is put in.
    pub credentials: Credentials,
}

impl HttpGrant {
    /// True where a header could make a server do something else than was decided on.
    pub fn must_stand(&self) -> bool {
        self.rule.is_narrow() || !self.credentials.is_none()
    }
}

/// One entry of `tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpGrant {
    /// Host and port.
    pub to: Endpoint,
    /// True if the host may have a private address.
    pub is_private: bool,
}

/// One entry of `secrets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretGrant {
    /// The secret.
    pub value: Secret,
    /// True if it is a value of the plugin's configuration too.
    pub in_config: bool,
}

/// State that a plugin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGrant {
    /// Bytes of keys and values, for each owner.
    pub quota_bytes: u64,
    /// Whose it is.
    pub per: KvOwner,
}

/// The owner of a plugin's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvOwner {
    /// The plugin: all callers share it.
    Plugin,
    /// Each person who calls.
    Person,
}

/// A folder of this machine that a plugin sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirGrant {
    /// The folder here.
    pub host: PathBuf,
    /// Its name in the guest.
    pub guest: String,
    /// True if files may be changed.
    pub is_writable: bool,
    /// Bytes that the plugin may add, if there is a limit.
    pub quota_bytes: Option<u64>,
}

/// The grants of every plugin, by its name in snake case. A plugin that is not among them may touch nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginGrants(BTreeMap<String, Arc<Grants>>);

impl FromIterator<(String, Grants)> for PluginGrants {
    fn from_iter<I: IntoIterator<Item = (String, Grants)>>(all: I) -> Self {
        Self(all.into_iter().map(|(name, grants)| (name, Arc::new(grants))).collect())
    }
}

impl PluginGrants {
    /// Those of each plugin that is named, by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Grants)> {
        self.0.iter().map(|(name, grants)| (name.as_str(), &**grants))
    }

    /// Those of one plugin.
    pub fn of(&self, plugin: &str) -> Arc<Grants> {
        self.0.get(plugin).cloned().unwrap_or_default()
    }
}

impl Grants {
    /// Finds the entry that decides on a request.
    ///
    /// # Errors
    /// It is not granted, or not declared.
    pub fn decide(&self, method: &Method, target: &Target) -> Result<&HttpGrant, Denial> {
        let place = decide(self.http.iter().map(|grant| &grant.rule), method, target)?;
        match self.http.get(place) {
            Some(grant) if self.needs.allow_http(target) => Ok(grant),
            _ => Err(Denial::Undeclared),
        }
    }

    /// The entries for whose sockets this name may be looked up.
    pub fn sockets(&self, host: &Host) -> impl Iterator<Item = &TcpGrant> {
        let is_declared = |grant: &&TcpGrant| self.needs.allow_socket(host, grant.to.port());
        self.tcp.iter().filter(|grant| grant.to.is_host(host)).filter(is_declared)
    }

    /// A secret of this name. One that is not granted and one that is not declared are not there.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secret_grant(name).map(|grant| &grant.value)
    }

    /// A secret of this name that is a value of the plugin's configuration.
    pub fn config_secret(&self, name: &str) -> Option<&Secret> {
        self.secret_grant(name).filter(|grant| grant.in_config).map(|grant| &grant.value)
    }

    fn secret_grant(&self, name: &str) -> Option<&SecretGrant> {
        let is_it = |need: &Need| matches!(need, Need::Secret(declared) if declared == name);
        self.secrets.get(name).filter(|_| self.needs.allow(is_it))
    }

    /// The same without the values of `secrets` and `env`, for work that nobody has asked for and whose outcome everybody
    /// sees: making lists. An `env` may hold a secret as well as a time zone, and nobody can tell which.
    #[must_use]
    pub fn without_values(self: &Arc<Self>) -> Arc<Self> {
        if self.secrets.is_empty() && self.env.is_empty() {
            return Arc::clone(self);
        }
        Arc::new(Self { secrets: BTreeMap::new(), env: BTreeMap::new(), ..Self::clone(self) })
    }

    /// The environment.
    pub fn env(&self) -> impl Iterator<Item = (&str, &Secret)> {
        let is_declared = |name: &str| self.needs.allow(|need| matches!(need, Need::Env(declared) if declared == name));
        self.env.iter().map(|(name, value)| (name.as_str(), value)).filter(move |(name, _)| is_declared(name))
    }

    /// State.
    pub fn kv(&self) -> Option<KvGrant> {
        self.kv.filter(|_| self.needs.allow(|need| *need == Need::Kv))
    }

    /// Folders.
    pub fn dirs(&self) -> impl Iterator<Item = &DirGrant> {
        let is_declared =
            |dir: &&DirGrant| self.needs.allow(|need| matches!(need, Need::Dir(declared) if *declared == dir.guest));
        self.dirs.iter().filter(is_declared)
    }

    /// True for grants that a component in the same file inherits with all that was entrusted to the one before: a pin
    /// says which may.
    pub fn are_worth_a_pin(&self) -> bool {
        !self.entrusted().is_empty()
    }
}

impl Rule {
    /// What the entry says of the addresses behind its host.
    pub fn reach(&self) -> Reach<'_> {
        Reach { host: self.to.host(), is_private: self.is_private }
    }
}

impl TcpGrant {
    /// What the entry says of the addresses behind its host.
    pub fn reach(&self) -> Reach<'_> {
        Reach { host: self.to.host(), is_private: self.is_private }
    }
}

/// The one text about a refused request for the caller. It is the same for what is not granted, what is private and what
/// does not exist, so that nobody explores a network by it.
pub fn outward(what: impl fmt::Display) -> String {
    format!("no grant for {what}: ask the operator")
}

#[cfg(test)]
mod tests;
