//! Entries of `http`: scheme, host, port and path, `https://*.example.com:8443/v1/`.
//!
//! - A scheme is required, and without a port it is that scheme's own port only.
//! - `*.` stands for one or more labels, never for the bare domain, and not before a public suffix, below which every
//!   host is somebody else's.
//! - An address is itself; with a length, `http://10.0.0.0/8:9200`, it is every address of that network that a request
//!   names as an address. Names that resolve into it are not meant.
//! - A path is that path and all below it, see [`PathPrefix`].

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use public_suffix::DEFAULT_PROVIDER;

use super::host::{Host, HostError, InvalidPort, is_below, split_port};
use super::path::{PathPrefix, PrefixError};
use super::scheme::Scheme;
use super::target::Target;
use crate::address::{self, Class};

/// The hosts that an entry grants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostRule {
    /// This one.
    Host(Host),
    /// Every name below this domain.
    Below(String),
    /// Every address of this network.
    Network(IpNet),
}

/// One entry of `http`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: HostRule,
    port: u16,
    path: PathPrefix,
    /// True for a path that may hold a secret: it is not shown.
    is_path_hidden: bool,
}

/// The reason that a text is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Host without scheme.
    #[error("a scheme is required: write `https://{0}`")]
    NoScheme(String),
    /// Another scheme.
    #[error("only `https://` and `http://` can be granted")]
    OtherScheme,
    /// The host cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The port cannot be read.
    #[error(transparent)]
    Port(#[from] InvalidPort),
    /// The path cannot be read.
    #[error(transparent)]
    Path(#[from] PrefixError),
    /// A query or fragment.
    #[error("a query or fragment cannot be granted; leave out what follows `{0}`")]
    Query(char),
    /// A wildcard that stands for strangers' hosts.
    #[error("`*.{0}` would grant the hosts of everybody under `{0}`; write a domain of one owner")]
    PublicSuffix(String),
    /// A path behind a network.
    #[error("a network has no path; leave out what follows `{0}`, or grant hosts with their paths")]
    NetworkPath(String),
    /// A wildcard before an address.
    #[error("`*.` cannot stand before an address; write a network such as `http://10.0.0.0/8`")]
    WildcardAddress,
    /// The length of a network is too large.
    #[error("the length of a network is at most {0}")]
    NetworkLength(u8),
    /// A network with bits after its prefix.
    #[error("the network has bits beyond its prefix; write `{0}`")]
    NetworkBits(HostRule),
    /// An address to which nothing is sent.
    #[error("`{host}` cannot be granted: it is {what}")]
    Special {
        /// The address or network.
        host: String,
        /// What it is.
        what: &'static str,
    },
}

impl Origin {
    /// The entry for exactly the scheme, host and port of a request, on every path.
    pub fn of(target: &Target) -> Self {
        Self {
            scheme: target.scheme(),
            host: HostRule::Host(target.host().clone()),
            port: target.port(),
            path: PathPrefix::any(),
            is_path_hidden: false,
        }
    }

    /// The same with a path that is shown as `/…`, since a variable is in it.
    #[must_use]
    pub fn with_hidden_path(self) -> Self {
        Self { is_path_hidden: true, ..self }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The hosts.
    pub fn host(&self) -> &HostRule {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path.
    pub fn path(&self) -> &PathPrefix {
        &self.path
    }

    /// True for a request of this scheme, host and port, whatever its path.
    pub fn has_origin_of(&self, target: &Target) -> bool {
        self.scheme == target.scheme() && self.port == target.port() && self.host.matches(target.host())
    }

    /// True if every request that matches `other` matches here too.
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.port == other.port
            && self.host.covers(&other.host)
            && self.path.covers(&other.path)
    }

    /// The more specific of two entries that match one request is the greater one: a host before a network, a network
    /// before a wildcard, the longer of two networks or domains, and then the longer path.
    pub(super) fn specificity(&self) -> (u8, usize, usize) {
        let (kind, length) = match &self.host {
            HostRule::Host(_) => (2, 0),
            HostRule::Network(network) => (1, usize::from(network.prefix_len())),
            HostRule::Below(domain) => (0, domain.len()),
        };
        (kind, length, self.path.length())
    }

    /// The class of the addresses that the entry itself names; none for names, `localhost` aside.
    pub fn class(&self) -> Option<Class> {
        match &self.host {
            HostRule::Host(host) if host.is_loopback() => Some(Class::Loopback),
            HostRule::Host(Host::Address(address)) => Some(address::class(*address, &[])),
            HostRule::Network(network) => Some(network_class(*network)),
            HostRule::Host(Host::Name(_)) | HostRule::Below(_) => None,
        }
    }
}

impl HostRule {
    /// True for a host that is granted.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Host(granted), host) => granted == host,
            (Self::Below(domain), Host::Name(name)) => is_below(name, domain),
            (Self::Network(network), Host::Address(address)) => network.contains(address),
            (Self::Below(_), Host::Address(_)) | (Self::Network(_), Host::Name(_)) => false,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (rule, Self::Host(host)) => rule.matches(host),
            (Self::Below(domain), Self::Below(other)) => other == domain || is_below(other, domain),
            (Self::Network(network), Self::Network(other)) => network.contains(other),
            (Self::Host(_) | Self::Network(_), Self::Below(_)) | (Self::Host(_) | Self::Below(_), Self::Network(_)) => {
                false
            }
        }
    }

    fn parse(text: &str) -> Result<Self, OriginError> {
        let Some(domain) = text.strip_prefix("*.") else { return Ok(Self::Host(Host::parse_written(text)?)) };
        match Host::parse(domain)? {
            Host::Address(_) => Err(OriginError::WildcardAddress),
            Host::Name(domain) if is_public_suffix(&domain) => Err(OriginError::PublicSuffix(domain)),
            Host::Name(domain) => Ok(Self::Below(domain)),
        }
    }
}

/// True for a name below which anybody may have one: `com`, `co.uk`, `github.io`, and every top-level name that the
/// list (publicsuffix.org) does not have.
fn is_public_suffix(domain: &str) -> bool {
    DEFAULT_PROVIDER.is_effective_tld(domain)
}

/// The strictest class of a network's addresses, as far as that can be told from its ends.
fn network_class(network: IpNet) -> Class {
    let ends = [network.network(), network.broadcast()];
    ends.into_iter().map(|address| address::class(address, &[])).max().unwrap_or(Class::Public)
}

/// `10.0.0.0/8`, and the rest of an entry, if the text begins with a network: with an address, and a length at the end
/// of which is a port or nothing. A path that is a number is written `/8/`.
fn network(text: &str) -> Result<Option<(IpNet, Option<u16>)>, OriginError> {
    let Some((host, rest)) = text.split_once('/') else { return Ok(None) };
    let length = rest.split_once(':').map_or(rest, |(length, _)| length);
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || !matches!(Host::parse(host), Ok(Host::Address(_))) {
        return Ok(None);
    }
    let Host::Address(address) = Host::parse_written(host)? else { return Ok(None) };
    if let Some((network, _)) = rest.split_once('/') {
        return Err(OriginError::NetworkPath(format!("{host}/{network}")));
    }
    let (_, port) = split_port(rest)?;
    let max = IpNet::from(address).max_prefix_len();
    let length = length.parse().ok().filter(|length| *length <= max).ok_or(OriginError::NetworkLength(max))?;
    let network = IpNet::new(address, length).map_err(|_| OriginError::NetworkLength(max))?;
    if network.addr() != network.network() {
        return Err(OriginError::NetworkBits(HostRule::Network(network.trunc())));
    }
    Ok(Some((network, port)))
}

fn expect_dialable(origin: Origin) -> Result<Origin, OriginError> {
    let written = match &origin.host {
        HostRule::Network(network) => network.to_string(),
        HostRule::Host(host) => host.to_string(),
        HostRule::Below(_) => return Ok(origin),
    };
    match origin.class() {
        Some(Class::Special(what)) => Err(OriginError::Special { host: written, what }),
        _ => Ok(origin),
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            let is_scheme = text.split_once(':').is_some_and(|(scheme, _)| Scheme::parse(scheme).is_some());
            return Err(if is_scheme || text.is_empty() {
                OriginError::OtherScheme
            } else {
                OriginError::NoScheme(text.trim_start_matches('/').to_owned())
            });
        };
        let scheme = Scheme::parse(scheme).ok_or(OriginError::OtherScheme)?;
        if let Some(sign) = rest.chars().find(|char| matches!(char, '?' | '#')) {
            return Err(OriginError::Query(sign));
        }
        if let Some((network, port)) = network(rest)? {
            let (host, path) = (HostRule::Network(network), PathPrefix::any());
            return expect_dialable(Self {
                scheme,
                host,
                port: port.unwrap_or(scheme.port()),
                path,
                is_path_hidden: false,
            });
        }
        let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(HostError::UserInfo.into());
        }
        let (host, port) = split_port(authority)?;
        let host = HostRule::parse(host)?;
        let path = PathPrefix::parse(path)?;
        expect_dialable(Self { scheme, host, port: port.unwrap_or(scheme.port()), path, is_path_hidden: false })
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Network(IpNet::V4(network)) => network.fmt(f),
            Self::Network(IpNet::V6(network)) => write!(f, "[{}]/{}", network.addr(), network.prefix_len()),
        }
    }
}

/// The entry in its one spelling, which reads back as the same, unless its path is not to be shown.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        match self.is_path_hidden {
            _ if self.path.is_any() => Ok(()),
            true => f.write_str("/…"),
            false => self.path.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[(&str, Result<&str, &str>)]) {
        for (text, expected) in cases {
            let shown = text.parse::<Origin>().map(|origin| origin.to_string()).map_err(|error| error.to_string());
            assert_eq!(shown.as_deref().map_err(String::as_str), *expected, "{text}");
            if let Ok(shown) = shown {
                assert_eq!(shown.parse::<Origin>().unwrap(), text.parse().unwrap(), "{text}");
            }
        }
    }

    #[test]
    fn entries_have_one_form() {
        check(&[
            ("https://api.example.com", Ok("https://api.example.com")),
            ("HTTPS://API.Example.com.:443/", Ok("https://api.example.com")),
            ("http://api.example.com:443", Ok("http://api.example.com:443")),
            ("https://*.example.com:8443/v1/", Ok("https://*.example.com:8443/v1/")),
            ("https://bücher.example/%76%31", Ok("https://xn--bcher-kva.example/v1")),
            ("http://localhost:9200", Ok("http://localhost:9200")),
            ("http://127.0.0.1:9200", Ok("http://127.0.0.1:9200")),
            ("http://[::1]:9200/x", Ok("http://[::1]:9200/x")),
            ("http://10.0.0.0/8", Ok("http://10.0.0.0/8")),
            ("http://10.0.0.0/8:9200", Ok("http://10.0.0.0/8:9200")),
            ("http://10.0.0.1/8/", Ok("http://10.0.0.1/8/")),
            ("https://[fd00::]/8", Ok("https://[fd00::]/8")),
            ("https://8.8.8.8", Ok("https://8.8.8.8")),
            ("https://*.corp.internal", Ok("https://*.corp.internal")),
        ]);
    }

    #[test]
    fn a_hidden_path_is_not_shown() {
        for (text, expected) in [
            ("https://a.example:8443/hooks/hunter2", "https://a.example:8443/…"),
            ("https://a.example/", "https://a.example"),
        ] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!(origin.clone().with_hidden_path().to_string(), expected);
            assert!(origin.with_hidden_path().covers(&text.parse().unwrap()));
        }
    }

    #[test]
    fn a_mistake_names_its_cure() {
        check(&[
            ("api.example.com", Err("a scheme is required: write `https://api.example.com`")),
            ("//api.example.com", Err("a scheme is required: write `https://api.example.com`")),
            ("api.example.com:443", Err("a scheme is required: write `https://api.example.com:443`")),
            ("*", Err("a scheme is required: write `https://*`")),
            ("", Err("only `https://` and `http://` can be granted")),
            ("https:api.example.com", Err("only `https://` and `http://` can be granted")),
            ("ftp://api.example.com", Err("only `https://` and `http://` can be granted")),
            ("*://api.example.com", Err("only `https://` and `http://` can be granted")),
            (
                "http://10.0.0.0/8:9/path",
                Err("a network has no path; leave out what follows `10.0.0.0/8:9`, or grant hosts with their paths"),
            ),
            ("https://", Err("there is no host")),
            ("https:///v1", Err("there is no host")),
            (
                "https://user:pass@api.example.com",
                Err("a user name or password has no place before a host; put it into `basic`"),
            ),
            ("https://api.example.com?x", Err("a query or fragment cannot be granted; leave out what follows `?`")),
            ("https://api.example.com/#x", Err("a query or fragment cannot be granted; leave out what follows `#`")),
            ("https://api.example.com:", Err("a port is a number from 1 to 65535")),
            ("https://api.example.com:*", Err("a port is a number from 1 to 65535")),
            ("https://api.example.com:0", Err("a port is a number from 1 to 65535")),
            ("https://api.example.com:0443", Err("a port is a number from 1 to 65535")),
            ("https://api.example.com/v1/*", Err("`*` is no wildcard in a path: all below it is granted anyway")),
            ("https://api.example.com/a/../b", Err("the path has `.` or `..` in it; write the path that is meant")),
            ("https://api.example.com/a%2fb", Err("the path has an escaped slash or backslash; write it without")),
            ("https://api.example.com\\a", Err("a path is made of visible ASCII characters; write others as `%..`")),
            ("https://*", Err("`*.` can stand at the beginning of a name, once, and nowhere else")),
            ("https://*.*.example.com", Err("`*.` can stand at the beginning of a name, once, and nowhere else")),
            ("https://api.*.example.com", Err("`*.` can stand at the beginning of a name, once, and nowhere else")),
            ("https://*example.com", Err("`*.` can stand at the beginning of a name, once, and nowhere else")),
            ("https://*.", Err("there is no host")),
            (
                "https://*.com",
                Err("`*.com` would grant the hosts of everybody under `com`; write a domain of one owner"),
            ),
            (
                "https://*.co.uk",
                Err("`*.co.uk` would grant the hosts of everybody under `co.uk`; write a domain of one owner"),
            ),
            (
                "https://*.CO.UK.",
                Err("`*.co.uk` would grant the hosts of everybody under `co.uk`; write a domain of one owner"),
            ),
            (
                "https://*.github.io",
                Err("`*.github.io` would grant the hosts of everybody under `github.io`; write a domain of one owner"),
            ),
            (
                "https://*.internal",
                Err("`*.internal` would grant the hosts of everybody under `internal`; write a domain of one owner"),
            ),
            (
                "https://*.公司.cn",
                Err(
                    "`*.xn--55qx5d.cn` would grant the hosts of everybody under `xn--55qx5d.cn`; write a domain of one owner",
                ),
            ),
            (
                "https://*.10.0.0.1",
                Err("`*.` cannot stand before an address; write a network such as `http://10.0.0.0/8`"),
            ),
            ("http://127.1:80", Err("it is an odd spelling of an address; write `127.0.0.1`")),
            ("http://0x7f000001", Err("it is an odd spelling of an address; write `127.0.0.1`")),
            ("http://10.0.0.1/8", Err("the network has bits beyond its prefix; write `10.0.0.0/8`")),
            ("http://10.0.0.0/33", Err("the length of a network is at most 32")),
            (
                "http://169.254.169.254",
                Err("`169.254.169.254` cannot be granted: it is a cloud's own service for its machines"),
            ),
            ("http://169.254.0.0/16", Err("`169.254.0.0/16` cannot be granted: it is link-local")),
            ("http://0.0.0.0:80", Err("`0.0.0.0` cannot be granted: it is unspecified")),
            ("http://0.0.0.0/0", Err("`0.0.0.0/0` cannot be granted: it is unspecified")),
            ("http://[fe80::1]", Err("`[fe80::1]` cannot be granted: it is link-local")),
            ("http://[2002:a00:1::]", Err("`[2002:a00:1::]` cannot be granted: it is 6to4")),
        ]);
    }

    #[test]
    fn an_entry_covers_what_it_grants() {
        let covers = |one: &str, other: &str| one.parse::<Origin>().unwrap().covers(&other.parse().unwrap());
        for (one, other, expected) in [
            ("https://a.example.com", "https://a.example.com/v1", true),
            ("https://a.example.com/v1", "https://a.example.com", false),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://*.a.example.com", true),
            ("https://*.example.com", "https://*.example.com/x", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.a.example.com", "https://*.example.com", false),
            ("https://a.example.com", "http://a.example.com", false),
            ("https://a.example.com", "https://a.example.com:8443", false),
            ("http://10.0.0.0/8", "http://10.1.0.0/16", true),
            ("http://10.0.0.0/8", "http://10.1.2.3", true),
            ("http://10.1.0.0/16", "http://10.0.0.0/8", false),
        ] {
            assert_eq!(covers(one, other), expected, "{one} {other}");
        }
    }
}
