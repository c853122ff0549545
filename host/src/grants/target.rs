//! The request of a guest as it is decided on: scheme, host, port and path, parsed and never guessed.

use std::fmt;

use super::host::{Host, HostError, InvalidPort, split_port};
use super::path::{InvalidPath, RequestPath};
use super::scheme::Scheme;

/// The place that a request goes to. What is sent and dialled is made from this, never from the guest's own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    host: Host,
    port: u16,
    path: RequestPath,
}

/// The reason that a request goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is no scheme: an entry has one, and nothing is assumed.
    #[error("the request has no scheme")]
    NoScheme,
    /// A scheme that is not served.
    #[error("the scheme of the request is neither http nor https")]
    OtherScheme,
    /// There is no authority.
    #[error("the request names no host")]
    NoHost,
    /// The host cannot be read.
    #[error("the host of the request cannot be used: {0}")]
    Host(#[from] HostError),
    /// The port cannot be read.
    #[error("the port of the request cannot be used: {0}")]
    Port(#[from] InvalidPort),
    /// The path cannot be read.
    #[error("the path of the request cannot be used: {0}")]
    Path(#[from] InvalidPath),
}

impl Target {
    /// Reads the parts of a request as `wasi:http` has them.
    ///
    /// # Errors
    /// One of them is missing or cannot be read in one way alone.
    pub fn parse(scheme: Option<&str>, authority: Option<&str>, path: Option<&str>) -> Result<Self, TargetError> {
        let scheme = Scheme::parse(scheme.ok_or(TargetError::NoScheme)?).ok_or(TargetError::OtherScheme)?;
        let authority = authority.filter(|text| !text.is_empty()).ok_or(TargetError::NoHost)?;
        if authority.contains('@') {
            return Err(HostError::UserInfo.into());
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host)?;
        let path = RequestPath::parse(path.unwrap_or_default())?;
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.port()), path })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, also where the request left it to the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query.
    pub fn path(&self) -> &RequestPath {
        &self.path
    }

    /// Host and port for the `Host` header: without a port that is the scheme's own.
    pub fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Scheme, host and port: never the path or the query, which may hold somebody's secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_in_one_way() {
        for (scheme, authority, path, expected) in [
            (Some("https"), Some("API.example.com:443"), Some("/x?q"), Ok("https://api.example.com")),
            (Some("HTTP"), Some("api.example.com:443"), None, Ok("http://api.example.com:443")),
            (Some("http"), Some("0x7f.1"), None, Ok("http://127.0.0.1")),
            (Some("http"), Some("[::ffff:a9fe:a9fe]:80"), None, Ok("http://169.254.169.254")),
            (None, Some("api.example.com"), None, Err(TargetError::NoScheme)),
            (Some("ftp"), Some("api.example.com"), None, Err(TargetError::OtherScheme)),
            (Some("https"), None, None, Err(TargetError::NoHost)),
            (Some("https"), Some(""), None, Err(TargetError::NoHost)),
            (Some("https"), Some(":443"), None, Err(TargetError::Host(HostError::Missing))),
            (Some("https"), Some("a@api.example.com"), None, Err(TargetError::Host(HostError::UserInfo))),
            (
                Some("https"),
                Some("api.example.com:443@evil.example"),
                None,
                Err(TargetError::Host(HostError::UserInfo)),
            ),
            (Some("https"), Some("api.example.com:x"), None, Err(TargetError::Port(InvalidPort))),
            (Some("https"), Some("api.example.com"), Some("https://b.example/"), Err(TargetError::Path(InvalidPath))),
            (Some("https"), Some("api.example.com"), Some("/a b"), Err(TargetError::Path(InvalidPath))),
        ] {
            let shown = Target::parse(scheme, authority, path).map(|target| target.to_string());
            assert_eq!(shown.as_deref().map_err(Clone::clone), expected, "{authority:?} {path:?}");
        }
    }
}
