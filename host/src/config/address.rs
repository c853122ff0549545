//! Addresses: of the listener, of the server as clients name it, and of trusted proxies.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::str::FromStr;

use ipnet::IpNet;
use url::{Host, Url};

use super::text::{InvalidValue, Text, name, text_schema};
use crate::loopback::{is_loopback, is_loopback_url};

/// An address to listen on: `127.0.0.1:8000`, `[::1]:8000`, or `localhost:8000` for both loopback addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// One address; port 0 lets the system choose.
    Address(SocketAddr),
    /// This port of 127.0.0.1 and of ::1.
    Localhost(u16),
}

impl Listen {
    /// The addresses to bind, in this order.
    pub fn addresses(self) -> Vec<SocketAddr> {
        match self {
            Self::Address(address) => vec![address],
            Self::Localhost(port) => {
                vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
            }
        }
    }

    /// The port; 0 lets the system choose.
    pub fn port(self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Localhost(port) => port,
        }
    }

    /// True if only this machine can connect.
    pub fn is_loopback(self) -> bool {
        match self {
            Self::Address(address) => is_loopback(address.ip()),
            Self::Localhost(_) => true,
        }
    }
}

impl FromStr for Listen {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match text.rsplit_once(':') {
            Some(("localhost", port)) => match port.parse() {
                Ok(port) => Ok(Self::Localhost(port)),
                Err(_) => Err("the port must be between 0 and 65535".into()),
            },
            Some((name, _)) if name.contains(|c: char| c.is_ascii_alphabetic()) && !name.contains([':', '/']) => {
                Err("only `localhost` may be a name; give the address of a network interface".into())
            }
            _ => Err("expected an address and a port, such as \"127.0.0.1:8000\"".into()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
        }
    }
}

impl Text for Listen {
    const WHAT: &'static str = "an address with a port";
    const EXAMPLE: &'static str = "127.0.0.1:8000";
    const PATTERN: &'static str = r"(localhost|[0-9.]+|\[[0-9a-fA-F:.%]+\]):[0-9]+";
}

/// The public URL of the server: scheme, host and port, without a path and without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The server on this machine.
    pub fn localhost(port: u16) -> Self {
        let text = format!("http://localhost:{port}");
        Self(text.parse().expect("scheme, host and port are a URL"))
    }

    /// The same, with the port that the system chose in place of port 0.
    #[must_use]
    pub fn with_bound_port(mut self, port: u16) -> Self {
        if self.0.port() == Some(0) {
            self.0.set_port(Some(port)).expect("a URL that has a port can have another");
        }
        self
    }

    /// The URL, as every published document spells it.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The MCP endpoint.
    pub fn endpoint(&self) -> String {
        format!("{}/mcp", self.as_str())
    }

    /// The callback URL, to which the identity provider sends people back.
    pub fn callback(&self) -> String {
        format!("{}/auth/callback", self.as_str())
    }

    /// True if clients speak TLS, to this server or to a proxy in front of it.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// True for a URL of this machine: `localhost`, 127.0.0.0/8 or ::1.
    pub fn is_loopback(&self) -> bool {
        is_loopback_url(&self.0)
    }
}

impl Deref for BaseUrl {
    type Target = Url;

    fn deref(&self) -> &Url {
        &self.0
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if !text.contains("://") {
            return Err("it must begin with http:// or https://".into());
        }
        let url = bare_url(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the scheme must be https or http".into());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Text for BaseUrl {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "https://mcp.example.com";
    const PATTERN: &'static str = "https?://[^/?#]+/?";
}

name! {
    /// A web origin as browsers send it: scheme, host, and the port unless it is the scheme's default.
    pub struct Origin = origin, "an origin", "https://app.example.com", "[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+/?"
}
name! {
    /// A host by which clients may call the server, in lower case and without a port: every port of it counts.
    pub struct HostName = host_name, "a host", "mcp.example.com", r"[^/@?#*:]+|\[[0-9a-fA-F:.]+\]"
}

impl Origin {
    /// True for an origin that is reached through TLS.
    pub fn is_https(&self) -> bool {
        self.starts_with("https://")
    }
}

fn origin(text: &str) -> Result<String, InvalidValue> {
    let url = bare_url(text)?;
    Ok(format!("{}://{}", url.scheme(), url.authority()))
}

fn host_name(text: &str) -> Result<String, InvalidValue> {
    let host = Host::parse(text).ok().filter(|_| !text.contains('*'));
    let host = host.ok_or("expected a host alone, without scheme, port, path or wildcard")?;
    Ok(host.to_string())
}

/// An address, or all addresses with the same first bits: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// True for an address in the network. An IPv4 address that is mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr =
            address.parse().map_err(|_| "expected an IP address, or a network such as \"10.0.0.0/8\"")?;
        let single = IpNet::from(address);
        let network = prefix.map_or(Some(single), |prefix| IpNet::new(address, prefix.parse().ok()?).ok());
        let too_long = || format!("the prefix must be between 0 and {}", single.max_prefix_len());
        Ok(Self(network.ok_or_else(too_long)?))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Text for Network {
    const WHAT: &'static str = "an address or a network";
    const EXAMPLE: &'static str = "10.0.0.0/8";
    const PATTERN: &'static str = "[0-9a-fA-F:.]+(/[0-9]+)?";
}

/// A host by which clients may call the server: a name, an address, or any address of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// One host.
    Name(HostName),
    /// All addresses in it, where a request calls the server by its address.
    Network(Network),
}

impl FromStr for AllowedHost {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.rsplit_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => text.parse().map(Self::Network),
            _ => text.parse().map(Self::Name).map_err(|InvalidValue(why)| {
                format!("{why}; or a network of addresses, such as \"10.0.0.0/8\"").into()
            }),
        }
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl Text for AllowedHost {
    const WHAT: &'static str = "a host or a network";
    const EXAMPLE: &'static str = "mcp.example.com";
    const PATTERN: &'static str = r"[^/@?#*:]+|\[[0-9a-fA-F:.]+\]|[0-9a-fA-F:.]+/[0-9]+";
}

text_schema!(Listen, BaseUrl, AllowedHost, Network);

/// A URL of nothing but scheme, host and port; one slash at the end is forgiven.
fn bare_url(text: &str) -> Result<Url, InvalidValue> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("no host".into());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("nothing may follow host and port".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("no user name or password may stand before the host".into());
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
