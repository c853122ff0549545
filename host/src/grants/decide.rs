//! The decision: a request, and the entry that allows it, or none.
//!
//! An entry matches by scheme, host, port, path and method. Of several the most specific decides, so that a credential
//! for one path is not sent to another: an exact host before a network, a network before a wildcard, then the longer
//! path, then a list of methods before none. Entries that are equal in all of that are a mistake, see [`ties`](super::rule::ties).

use std::fmt;

use http::Method;

use super::host::is_below;
use super::origin::{HostRule, Origin};
use super::path::Doubt;
use super::rule::{Rule, is_never};
use super::scheme::Scheme;
use super::target::Target;

/// The reason that a request is not allowed. Guest and caller are not told which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A method that is never allowed.
    #[error("{0} is never allowed")]
    Method(Method),
    /// No entry matches.
    #[error("no entry of `http` matches{}", .0.as_ref().map_or_else(String::new, |miss| format!("; {miss}")))]
    NotGranted(Option<Miss>),
    /// An entry would match, were the path not readable in two ways.
    #[error("the path has {0}, and an entry with a path would have to decide")]
    Path(Doubt),
    /// The operator grants it, and the component does not say that it needs it.
    #[error("it is granted, and not among what the component declares to need")]
    Undeclared,
}

/// Finds the entry that decides on a request: its place in the list.
///
/// # Errors
/// No entry allows the request.
pub fn decide<'r>(
    rules: impl IntoIterator<Item = &'r Rule>,
    method: &Method,
    target: &Target,
) -> Result<usize, Denial> {
    if is_never(method) {
        return Err(Denial::Method(method.clone()));
    }
    let mut found: Option<(usize, &Rule)> = None;
    let mut doubt = None;
    let mut miss = None;
    for (place, rule) in rules.into_iter().enumerate() {
        match rule.matches(method, target) {
            Ok(true) if found.is_none_or(|(_, best)| rule.specificity() > best.specificity()) => {
                found = Some((place, rule));
            }
            Ok(true) => {}
            Ok(false) => miss = miss.max(Miss::of(rule, method, target)),
            Err(reason) => doubt = Some(reason),
        }
    }
    match (found, doubt) {
        (Some((place, _)), _) => Ok(place),
        (None, Some(doubt)) => Err(Denial::Path(doubt)),
        (None, None) => Err(Denial::NotGranted(miss)),
    }
}

/// The path and query to send. Where a path decides, it is the normal form that was compared: what was sent could
/// otherwise be read as another one.
pub fn sent_path(rule: &Rule, target: &Target) -> String {
    let path = match target.path().normal() {
        Ok(normal) if !rule.to.path().is_any() => normal,
        _ => target.path().raw(),
    };
    match target.path().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// The way in which an entry nearly matched, the nearest last; for the operator, who most likely meant the request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// Another port.
    Port(Origin),
    /// Another scheme.
    Scheme(Origin),
    /// The bare domain of a wildcard.
    BareDomain(Origin),
    /// A name below that of an entry without wildcard.
    Subdomain(Origin),
    /// Another path.
    Path(Origin),
    /// Another method.
    Method(Origin),
}

impl Miss {
    fn of(rule: &Rule, method: &Method, target: &Target) -> Option<Self> {
        let (to, entry) = (&rule.to, rule.to.clone());
        if to.has_origin_of(target) {
            let fits = to.path().matches(target.path()).unwrap_or_default();
            return Some(if fits && !rule.methods.contains(method) { Self::Method(entry) } else { Self::Path(entry) });
        }
        let (is_scheme, is_port) = (to.scheme() == target.scheme(), to.port() == target.port());
        if to.host().matches(target.host()) {
            // A port that follows from the scheme is no further difference.
            return Some(if is_scheme { Self::Port(entry) } else { Self::Scheme(entry) });
        }
        let name = target.host().name()?;
        match to.host() {
            HostRule::Below(domain) if name == domain && is_scheme && is_port => Some(Self::BareDomain(entry)),
            HostRule::Host(host) if is_scheme && is_port && is_below(name, host.name()?) => {
                Some(Self::Subdomain(entry))
            }
            HostRule::Host(_) | HostRule::Below(_) | HostRule::Network(_) => None,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(entry) => write!(f, "`{entry}` has port {}", entry.port()),
            Self::Scheme(entry) if entry.scheme() == Scheme::Https => write!(f, "`{entry}` is for https only"),
            Self::Scheme(entry) => write!(f, "`{entry}` is for plain http only"),
            Self::BareDomain(entry) => write!(f, "`{entry}` is not the bare domain, which takes an entry of its own"),
            Self::Subdomain(entry) => write!(f, "`{entry}` is no name below it"),
            Self::Path(entry) => write!(f, "`{entry}` has another path"),
            Self::Method(entry) => write!(f, "`{entry}` has other methods"),
        }
    }
}

#[cfg(test)]
mod tests;
