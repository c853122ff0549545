//! Entries of `tcp`: host and port, `db.example.com:5432`.

use std::fmt;
use std::str::FromStr;

use super::host::{Host, HostError, InvalidPort, split_port};
use super::origin::HostRule;
use crate::address::{self, Class};

/// One entry of `tcp`. The host is one name or one address: a name that is looked up is a name that is granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    host: HostRule,
    port: u16,
}

/// The reason that a text is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// A URL.
    #[error("a socket has no scheme and no path; write host and port: `db.example.com:5432`")]
    Url,
    /// No port.
    #[error("a port is required: `{0}:5432`")]
    NoPort(Host),
    /// The host cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The port cannot be read.
    #[error(transparent)]
    Port(#[from] InvalidPort),
    /// A wildcard.
    #[error("a socket is granted to one host; `*` is none")]
    Wildcard,
    /// An address to which nothing is sent.
    #[error("`{0}` cannot be granted: it is {1}")]
    Special(Host, &'static str),
}

impl Endpoint {
    /// The host, as what is behind it is judged by.
    pub fn host(&self) -> &HostRule {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// True if this name may be looked up for it.
    pub fn is_host(&self, host: &Host) -> bool {
        self.host.matches(host)
    }

    /// The class of the address that the entry names; none for names, `localhost` aside.
    pub fn class(&self) -> Option<Class> {
        match &self.host {
            HostRule::Host(host) if host.is_loopback() => Some(Class::Loopback),
            HostRule::Host(Host::Address(address)) => Some(address::class(*address, &[])),
            HostRule::Host(Host::Name(_)) | HostRule::Below(_) | HostRule::Network(_) => None,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.contains('/') {
            return Err(EndpointError::Url);
        }
        if text.contains('*') {
            return Err(EndpointError::Wildcard);
        }
        let (host, port) = split_port(text)?;
        let host = Host::parse_written(host)?;
        let Some(port) = port else { return Err(EndpointError::NoPort(host)) };
        let endpoint = Self { host: HostRule::Host(host.clone()), port };
        match endpoint.class() {
            Some(Class::Special(what)) => Err(EndpointError::Special(host, what)),
            _ => Ok(endpoint),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_goes_to_one_host_and_port() {
        for (text, expected) in [
            ("db.example.com:5432", Ok("db.example.com:5432")),
            ("DB.example.com.:5432", Ok("db.example.com:5432")),
            ("10.0.0.1:5432", Ok("10.0.0.1:5432")),
            ("[::1]:6379", Ok("[::1]:6379")),
            ("localhost:6379", Ok("localhost:6379")),
            ("db.example.com", Err("a port is required: `db.example.com:5432`")),
            (
                "tcp://db.example.com:5432",
                Err("a socket has no scheme and no path; write host and port: `db.example.com:5432`"),
            ),
            ("10.0.0.0/8:5432", Err("a socket has no scheme and no path; write host and port: `db.example.com:5432`")),
            ("*.example.com:5432", Err("a socket is granted to one host; `*` is none")),
            ("db.example.com:*", Err("a socket is granted to one host; `*` is none")),
            ("db.example.com:0", Err("a port is a number from 1 to 65535")),
            ("127.1:6379", Err("it is an odd spelling of an address; write `127.0.0.1`")),
            ("::1:6379", Err("it is no host")),
            (
                "169.254.169.254:80",
                Err("`169.254.169.254` cannot be granted: it is a cloud's own service for its machines"),
            ),
            ("", Err("there is no host")),
        ] {
            let shown = text.parse::<Endpoint>().map(|it| it.to_string()).map_err(|error| error.to_string());
            assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }
}
