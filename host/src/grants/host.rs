//! Hosts, as an operator grants them and as a guest names them: one form for each, so that two spellings are one host.
//!
//! Both go through the host parser of the URL Standard: lower case, IDNA to A-labels, addresses in any spelling. An
//! operator must write that form for an address, since `0177.0.0.1` is more likely a mistake than a wish.

use std::fmt;
use std::net::IpAddr;

use url::Host as UrlHost;

/// The longest name that the DNS has (RFC 1035 §2.3.4), without the dot of the root.
const MAX_NAME: usize = 253;

/// The longest label of a name.
const MAX_LABEL: usize = 63;

/// A host: a name of the DNS in lower case and A-labels without the dot of the root, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address; an IPv4 one that is mapped into IPv6 is an IPv4 one.
    Address(IpAddr),
}

/// The reason that a text is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is none.
    #[error("there is no host")]
    Missing,
    /// A user name or a password stands before it.
    #[error("a user name or password has no place before a host; put it into `basic`")]
    UserInfo,
    /// It has characters that no host has.
    #[error("it is no host")]
    Invalid,
    /// It is a wildcard where there cannot be one.
    #[error("`*.` can stand at the beginning of a name, once, and nowhere else")]
    Wildcard,
    /// An address in a spelling that few people read as that address.
    #[error("it is an odd spelling of an address; write `{0}`")]
    OddAddress(Host),
}

impl Host {
    /// Reads a host as a guest names it: every spelling that a URL parser takes, but for `%` and user names.
    ///
    /// # Errors
    /// It is no host.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Missing);
        }
        if text.contains('@') {
            return Err(HostError::UserInfo);
        }
        if text.contains('*') {
            return Err(HostError::Wildcard);
        }
        // The parser decodes escapes, and a zone is no part of an address that is compared.
        if text.contains('%') {
            return Err(HostError::Invalid);
        }
        match UrlHost::parse(text).map_err(|_| HostError::Invalid)? {
            UrlHost::Domain(name) => name_of(&name).map(Self::Name).ok_or(HostError::Invalid),
            UrlHost::Ipv4(address) => Ok(Self::Address(address.into())),
            UrlHost::Ipv6(address) => Ok(Self::Address(IpAddr::from(address).to_canonical())),
        }
    }

    /// Reads a host as an operator writes it.
    ///
    /// # Errors
    /// It is no host, or an address that is not written as addresses are.
    pub fn parse_written(text: &str) -> Result<Self, HostError> {
        let host = Self::parse(text)?;
        match &host {
            Self::Name(_) => Ok(host),
            Self::Address(address) => {
                let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
                // IPv6 has many usual spellings, and its own parser takes no others.
                match bare.parse::<IpAddr>() {
                    Ok(written) if written == *address => Ok(host),
                    _ => Err(HostError::OddAddress(host)),
                }
            }
        }
    }

    /// The name, unless it is an address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// True for a name or an address of this machine itself: `localhost` and what is below it (RFC 6761 §6.3), and
    /// loopback addresses.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => is_below(name, "localhost") || name == "localhost",
            Self::Address(address) => crate::loopback::is_loopback(*address),
        }
    }
}

/// The host as a URL has it: an IPv6 address in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// True for a name with one or more labels before this domain.
pub(super) fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

/// A name that the parser gave, without the dot of the root, if the DNS could have it.
fn name_of(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let is_label = |label: &str| !label.is_empty() && label.len() <= MAX_LABEL && label.chars().all(fits);
    (name.len() <= MAX_NAME && name.split('.').all(is_label)).then(|| name.to_owned())
}

/// Splits a port from an authority, which may be an address in brackets. A port is written in decimal digits, without
/// leading zeros, and is not 0.
///
/// # Errors
/// There is a colon, and no such port after it.
pub(super) fn split_port(authority: &str) -> Result<(&str, Option<u16>), InvalidPort> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => return Ok((authority, None)),
        Some((host, port)) => (host, port),
        None => return Ok((authority, None)),
    };
    let is_plain = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_plain).ok_or(InvalidPort)?;
    Ok((host, Some(port)))
}

/// There is a colon after a host, and no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a port is a number from 1 to 65535")]
pub struct InvalidPort;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_host_are_one() {
        for (text, expected) in [
            ("api.example.com", Ok("api.example.com")),
            ("API.Example.COM.", Ok("api.example.com")),
            ("bücher.example", Ok("xn--bcher-kva.example")),
            ("BÜCHER.example", Ok("xn--bcher-kva.example")),
            ("api。example。com", Ok("api.example.com")),
            ("ａpi.example.com", Ok("api.example.com")),
            ("api_1.example.com", Ok("api_1.example.com")),
            ("localhost", Ok("localhost")),
            ("127.0.0.1", Ok("127.0.0.1")),
            ("127.1", Ok("127.0.0.1")),
            ("0x7f.0.0.1", Ok("127.0.0.1")),
            ("0177.0.0.1", Ok("127.0.0.1")),
            ("2130706433", Ok("127.0.0.1")),
            ("127.0.0.1.", Ok("127.0.0.1")),
            ("１２７.0.0.1", Ok("127.0.0.1")),
            ("[::1]", Ok("[::1]")),
            ("[0:0::0:1]", Ok("[::1]")),
            ("[::ffff:127.0.0.1]", Ok("127.0.0.1")),
            ("", Err(HostError::Missing)),
            (".", Err(HostError::Invalid)),
            ("user@api.example.com", Err(HostError::UserInfo)),
            ("user:pass@api.example.com", Err(HostError::UserInfo)),
            ("%61pi.example.com", Err(HostError::Invalid)),
            ("[fe80::1%eth0]", Err(HostError::Invalid)),
            ("api..example.com", Err(HostError::Invalid)),
            (".example.com", Err(HostError::Invalid)),
            ("api.example.com..", Err(HostError::Invalid)),
            ("*.example.com", Err(HostError::Wildcard)),
            ("a b", Err(HostError::Invalid)),
            ("a\\b", Err(HostError::Invalid)),
            ("a/b", Err(HostError::Invalid)),
            ("a\r\nb", Err(HostError::Invalid)),
            ("a!b", Err(HostError::Invalid)),
            ("1.2.3.4.5", Err(HostError::Invalid)),
            ("256.0.0.1", Err(HostError::Invalid)),
            ("::1", Err(HostError::Invalid)),
        ] {
            let shown = Host::parse(text).map(|host| host.to_string());
            assert_eq!(shown.as_deref(), expected.as_ref().copied(), "{text}");
        }
        assert_eq!(Host::parse(&format!("{}.example", "a".repeat(64))), Err(HostError::Invalid));
        assert_eq!(Host::parse(&["a"; 128].join(".")), Err(HostError::Invalid));
    }

    #[test]
    fn an_operator_writes_addresses_as_addresses() {
        for (text, expected) in [
            ("127.0.0.1", Ok(())),
            ("[::1]", Ok(())),
            ("[2A00:0:0::1]", Ok(())),
            ("localhost.", Ok(())),
            ("127.1", Err("it is an odd spelling of an address; write `127.0.0.1`")),
            ("0177.0.0.1", Err("it is an odd spelling of an address; write `127.0.0.1`")),
            ("2130706433", Err("it is an odd spelling of an address; write `127.0.0.1`")),
            ("[::ffff:10.0.0.1]", Err("it is an odd spelling of an address; write `10.0.0.1`")),
        ] {
            let found = Host::parse_written(text).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text), "{text}");
        }
    }

    #[test]
    fn ports_have_one_spelling() {
        for (text, expected) in [
            ("a", Ok(("a", None))),
            ("a:80", Ok(("a", Some(80)))),
            ("[::1]", Ok(("[::1]", None))),
            ("[::1]:65535", Ok(("[::1]", Some(65535)))),
            ("a:", Err(InvalidPort)),
            ("a:0", Err(InvalidPort)),
            ("a:080", Err(InvalidPort)),
            ("a:+80", Err(InvalidPort)),
            ("a:65536", Err(InvalidPort)),
            ("a:8o", Err(InvalidPort)),
            ("[::1]:", Err(InvalidPort)),
        ] {
            assert_eq!(split_port(text), expected, "{text}");
        }
    }

    #[test]
    fn below_a_domain_is_not_the_domain() {
        assert!(is_below("a.example.com", "example.com") && is_below("a.b.example.com", "example.com"));
        for name in ["example.com", ".example.com", "anexample.com", "com"] {
            assert!(!is_below(name, "example.com"), "{name}");
        }
    }
}
