//! Grants in words, for operators: each thing by its name, and no value.

use std::fmt;

use super::needs::Need;
use super::origin::Origin;
use super::rule::Methods;
use super::{Grants, HttpGrant, KvOwner};

/// How much of a need is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Have {
    /// All of it; of `http`, perhaps by some methods only.
    All,
    /// Of `http`, some hosts or paths.
    Part,
    /// Nothing.
    Nothing,
}

impl fmt::Display for Have {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "granted",
            Self::Part => "granted in part",
            Self::Nothing => "not granted",
        })
    }
}

impl Grants {
    /// True if nothing is granted, whatever is declared.
    pub fn are_none(&self) -> bool {
        let has_places = !self.http.is_empty() || !self.tcp.is_empty() || !self.dirs.is_empty();
        !has_places && self.secrets.is_empty() && self.env.is_empty() && self.kv.is_none()
    }

    /// The places that get the token of whoever calls.
    pub fn places_of_callers(&self) -> impl Iterator<Item = &Origin> {
        self.http.iter().filter(|grant| grant.credentials.identity().is_some()).map(|grant| &grant.rule.to)
    }

    /// Everything that is granted and declared, a phrase each.
    pub fn in_words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.declared_http().map(http).collect();
        let is_declared = |grant: &&super::TcpGrant| {
            self.needs.allow(|need| matches!(need, Need::Tcp(endpoint) if *endpoint == grant.to))
        };
        words.extend(
            self.tcp.iter().filter(is_declared).map(|grant| format!("tcp {}{}", grant.to, private(grant.is_private))),
        );
        let secrets = self.secrets.keys().filter(|name| self.secret(name).is_some());
        words.extend(secrets.map(|name| format!("secret {name}")));
        words.extend(self.env().map(|(name, _)| format!("env {name}")));
        words.extend(self.kv().map(|kv| match kv.per {
            KvOwner::Plugin => "kv".to_owned(),
            KvOwner::Person => "kv for each person".to_owned(),
        }));
        words.extend(self.dirs().map(|dir| {
            let mode = if dir.is_writable { "to read and write" } else { "to read" };
            format!("dir {} ({mode})", dir.guest)
        }));
        words
    }

    /// What is entrusted to whatever file the plugin is loaded from: that is worth a pin.
    pub fn entrusted(&self) -> Vec<String> {
        let credentials = self.declared_http().filter(|grant| !grant.credentials.is_none());
        let mut words: Vec<String> = credentials.map(|grant| format!("credentials for {}", grant.rule.to)).collect();
        let secrets = self.secrets.keys().filter(|name| self.secret(name).is_some());
        words.extend(secrets.map(|name| format!("secret {name}")));
        words.extend(self.kv().map(|_| "its state".to_owned()));
        words.extend(self.dirs().filter(|dir| dir.is_writable).map(|dir| format!("the files of {}", dir.guest)));
        words
    }

    /// How much of a need is granted.
    pub fn have(&self, need: &Need) -> Have {
        let is_there = match need {
            Need::Http(origin) if self.http.iter().any(|grant| grant.rule.to.covers(origin)) => true,
            Need::Http(origin) if self.http.iter().any(|grant| origin.covers(&grant.rule.to)) => return Have::Part,
            Need::Http(_) => false,
            Need::Tcp(endpoint) => self.tcp.iter().any(|grant| grant.to == *endpoint),
            Need::Secret(name) => self.secrets.contains_key(name),
            Need::Env(name) => self.env.contains_key(name),
            Need::Kv => self.kv.is_some(),
            Need::Dir(folder) => self.dirs.iter().any(|dir| dir.guest == *folder),
        };
        if is_there { Have::All } else { Have::Nothing }
    }

    /// Entries of `http` of which something is declared.
    fn declared_http(&self) -> impl Iterator<Item = &HttpGrant> {
        let meets = |grant: &HttpGrant, need: &Need| match need {
            Need::Http(origin) => origin.covers(&grant.rule.to) || grant.rule.to.covers(origin),
            _ => false,
        };
        self.http.iter().filter(move |grant| self.needs.allow(|need| meets(grant, need)))
    }
}

fn http(grant: &HttpGrant) -> String {
    let rule = &grant.rule;
    let methods = if rule.methods.is_any() { String::new() } else { format!(" by {}", rule.methods) };
    let credential = match (grant.credentials.identity(), grant.credentials.is_none()) {
        (Some(_), _) => " as the caller",
        (None, false) => " with a credential",
        (None, true) => "",
    };
    format!("http {}{methods}{credential}{}", rule.to, private(rule.is_private))
}

fn private(is_private: bool) -> &'static str {
    if is_private { " (private)" } else { "" }
}

/// `GET, POST`; nothing where every method is allowed.
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<&str> = self.iter().map(http::Method::as_str).collect();
        f.write_str(&methods.join(", "))
    }
}
