//! The operator's proxy: who goes through it, and the tunnel that it makes (RFC 9110 §9.3.6).
//!
//! Every request goes through a tunnel, plain http too: what a proxy is asked for then is a place, which was judged here,
//! and never a request that it could read differently.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use url::Url;

use super::dial::Stream;
use super::failure::Failure;
use crate::grants::host::Host;

/// A proxy, and those who do not need it.
#[derive(Clone)]
pub struct Proxy {
    /// Its URL, user name and password included.
    pub url: Url,
    /// It is asked for names, and not for addresses.
    pub resolves: bool,
    /// Hosts that are reached without it.
    pub direct: Direct,
}

/// Shows no password.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("host", &self.url.host_str()).field("resolves", &self.resolves).finish()
    }
}

/// Hosts that are reached without the proxy, as `NO_PROXY` lists them: addresses, networks, and domains with all below
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Direct {
    networks: Vec<IpNet>,
    domains: Vec<String>,
    all: bool,
}

impl Direct {
    /// Reads a list, separated by commas or spaces. What is neither an address nor a name is nobody.
    pub fn parse(list: &str) -> Self {
        let mut direct = Self::default();
        for entry in list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let bare = entry.trim_start_matches('[').trim_end_matches(']');
            match (entry, entry.parse::<IpNet>(), bare.parse::<IpAddr>()) {
                ("*", ..) => direct.all = true,
                (_, Ok(network), _) => direct.networks.push(network),
                (_, _, Ok(address)) => direct.networks.push(address.into()),
                _ => {
                    let domain = entry.trim_start_matches("*.").trim_start_matches('.');
                    direct.domains.push(domain.trim_end_matches('.').to_ascii_lowercase());
                }
            }
        }
        direct
    }

    pub(super) fn contains(&self, host: &Host) -> bool {
        self.all
            || match host {
                Host::Address(address) => self.networks.iter().any(|network| network.contains(address)),
                Host::Name(name) => self.domains.iter().any(|domain| {
                    let labels = name.strip_suffix(domain.as_str());
                    labels.is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
                }),
            }
    }
}

impl Proxy {
    /// Asks for a tunnel to a place, `host:port`, over a connection to the proxy.
    ///
    /// # Errors
    /// [`Failure::Proxy`].
    pub(super) async fn tunnel(&self, stream: Stream, place: &str) -> Result<TokioIo<Upgraded>, Failure> {
        let failed = |error: hyper::Error| Failure::Proxy(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let uri: Uri = place.parse().map_err(|_| Failure::Proxy("the place has no form".to_owned()))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = uri;
        let host = HeaderValue::from_str(place).map_err(|_| Failure::Proxy("the place has no form".to_owned()))?;
        request.headers_mut().insert(HOST, host);
        if let Some(credentials) = self.authorization() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials);
        }
        // Nothing but the answer is waited for: the connection ends with the tunnel, or with this future.
        let connection = connection.with_upgrades();
        let asked = async {
            let answer = sender.send_request(request).await.map_err(failed)?;
            match answer.status() {
                status if status.is_success() => hyper::upgrade::on(answer).await.map_err(failed),
                status if status == http::StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                    Err(Failure::Proxy("it wants a user name and password, or others (status 407)".to_owned()))
                }
                status => Err(Failure::Proxy(format!("status {}", status.as_u16()))),
            }
        };
        let served = async {
            match connection.await {
                Ok(()) => std::future::pending().await,
                Err(error) => Err(failed(error)),
            }
        };
        tokio::select! {
            biased;
            tunnel = asked => tunnel.map(TokioIo::new),
            failure = served => failure,
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = (self.url.username(), self.url.password().unwrap_or_default());
        if user.is_empty() && password.is_empty() {
            return None;
        }
        let plain = format!("{}:{}", decoded(user), decoded(password));
        let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A part of a URL without its escapes.
fn decoded(text: &str) -> String {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_go_direct_are_named_as_elsewhere() {
        let direct = Direct::parse("intern.example, .corp.example,10.0.0.0/8 [::1] *.x.example");
        for (host, expected) in [
            ("intern.example", true),
            ("a.intern.example", true),
            ("notintern.example", false),
            ("corp.example", true),
            ("a.corp.example", true),
            ("a.x.example", true),
            ("10.1.2.3", true),
            ("11.1.2.3", false),
            ("[::1]", true),
            ("example", false),
        ] {
            assert_eq!(direct.contains(&Host::parse(host).unwrap()), expected, "{host}");
        }
        assert!(Direct::parse("a.example, *").contains(&Host::parse("b.example").unwrap()));
        assert!(!Direct::default().contains(&Host::parse("b.example").unwrap()));
    }

    #[test]
    fn a_password_is_sent_as_it_is_meant_and_never_shown() {
        let url = Url::parse("http://user:a%20b%2Bc+d@proxy.example:3128").unwrap();
        let proxy = Proxy { url, resolves: false, direct: Direct::default() };
        let expected = format!("Basic {}", STANDARD.encode("user:a b+c+d"));
        assert_eq!(proxy.authorization().unwrap().to_str().unwrap(), expected);
        assert!(!format!("{proxy:?}").contains("a%20b"));
    }
}
