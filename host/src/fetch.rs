//! Requests that this server makes: to URLs that strangers name, to the provider, to registries of plugins, and with telemetry.
//!
//! Four clients with the same rules: TLS by rustls with aws-lc-rs (the one provider that is compiled in) and the
//! system's root certificates, no redirects, no proxy, no decompression, a limit on size that counts while bytes
//! arrive, and a deadline. URLs of strangers are fetched from public addresses only, see [`Strangers`]; those of issuers
//! that the operator has declared too, unless the operator says otherwise, see [`IssuerHttp`].

mod gate;
mod issuer;
mod provider;
mod registry;
mod resolver;
#[cfg(test)]
pub(crate) mod site;
mod strangers;
mod telemetry;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use url::{Host, Url};

use crate::address;

pub use issuer::IssuerHttp;
pub use provider::ProviderHttp;
pub use registry::{RegistryAnswer, RegistryHttp};
pub use strangers::Strangers;
pub use telemetry::TelemetryHttp;

/// Time for name, connection and TLS with a client's host, which may be far away and behind a cold cache.
const STRANGER_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The same with the provider.
const PROVIDER_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for a whole exchange, body included: a person is waiting for it in front of a browser.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Something that fetches documents: the two clients here, and fakes in tests.
#[async_trait::async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// Fetches the document at a URL.
    async fn fetch(&self, url: &Url) -> Result<Document, FetchError>;

    /// Fetches it for somebody at this address, whom a limit may count it against.
    async fn fetch_for(&self, _asker: IpAddr, url: &Url) -> Result<Document, FetchError> {
        self.fetch(url).await
    }
}

/// The document at a URL.
#[derive(Debug, Clone)]
pub struct Document {
    /// The bytes, as many as the fetcher allows.
    pub body: Bytes,
    /// The time for which the server lets it be kept; zero if it must not be.
    pub max_age: Option<Duration>,
}

/// The reason that nothing was fetched. The texts are for the log; strangers get [`FetchError::OUTWARD`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// A rule forbids the request.
    #[error("not allowed: {0}")]
    Refused(&'static str),
    /// There were too many requests lately.
    #[error("too many fetches")]
    Limited,
    /// No connection, no TLS, or it broke off: the cause in words.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("timed out")]
    Timeout,
    /// The answer is larger than it may be.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is not 200.
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
    /// The proxy of `[egress]` wants a user name and password, or others.
    #[error("the proxy refuses it (status 407): compare user and password in `egress.proxy`")]
    ProxyRefused,
    /// The client could not be made, at the start.
    #[error("no TLS client: {0}")]
    Setup(String),
}

/// The HTTP client's words for a proxy that answers CONNECT with 407; its error has no other mark.
const PROXY_REFUSED: &str = "proxy authorization required";

impl FetchError {
    /// The only text for strangers: more would make this server a means to explore its network.
    pub const OUTWARD: &'static str = "the document could not be fetched";

    /// Names the cure for [`Self::is_untrusted`].
    pub const TRUST: &'static str = "If an authority of your own issued the certificate, set SSL_CERT_FILE to a file with all authorities to trust (PEM), that one among them, for the server and for this command. Otherwise let the other side send its whole chain, for this name, and renew it in time.";

    /// The same for the provider.
    const TRUST_PROVIDER: &'static str = "If an authority of your own issued the certificate, or a proxy that looks into TLS, name a file with that authority in `egress.ca_file` (PEM). Otherwise let the provider send its whole chain, for this name, and renew it in time.";

    /// The cure where the provider cannot be reached, if one is known.
    pub fn cure_at_provider(&self) -> Option<&'static str> {
        self.is_untrusted().then_some(Self::TRUST_PROVIDER)
    }

    /// True if the other side does not speak TLS.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Unreachable(cause) if cause.contains("InvalidContentType"))
    }

    /// True if the server's certificate is that of an authority itself.
    pub fn is_of_an_authority(&self) -> bool {
        matches!(self, Self::Unreachable(cause) if cause.contains("CaUsedAsEndEntity"))
    }

    /// True if the other side has a certificate that this machine does not trust.
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Self::Unreachable(cause) if cause.contains("certificate"))
    }

    fn of(error: reqwest::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<resolver::NotPublic>() {
                return Self::Refused("only hosts with public addresses");
            }
            cause = error.source();
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        match causes(&error.without_url()) {
            words if words.contains(PROXY_REFUSED) => Self::ProxyRefused,
            words => Self::Unreachable(words),
        }
    }
}

impl Document {
    /// The document in an answer.
    ///
    /// # Errors
    /// [`FetchError::Status`] if the answer is not 200.
    pub(crate) fn of(answer: http::Response<Bytes>) -> Result<Self, FetchError> {
        match answer.status() {
            StatusCode::OK => Ok(Self { max_age: max_age(answer.headers()), body: answer.into_body() }),
            status => Err(FetchError::Status(status)),
        }
    }
}

/// Tells whether all addresses of a URL's host, as this machine resolves it, are public.
///
/// # Errors
/// The host has no address.
pub async fn is_public(url: &Url) -> io::Result<bool> {
    let addresses: Vec<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => tokio::net::lookup_host((name, 443)).await?.map(|found| found.ip()).collect(),
        None => Vec::new(),
    };
    match addresses.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(addresses.into_iter().all(address::is_global)),
    }
}

fn builder(connect_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("TinyMCP/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(connect_timeout)
        .timeout(TOTAL_TIMEOUT)
}

/// Counts the certificates in a PEM text.
///
/// # Errors
/// The reason that one of them cannot be read.
pub fn certificates(pem: &[u8]) -> Result<usize, String> {
    authorities(pem).map(|found| found.len())
}

fn authorities(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, String> {
    reqwest::Certificate::from_pem_bundle(pem).map_err(|error| causes(&error))
}

fn built(builder: ClientBuilder) -> Result<Client, FetchError> {
    builder.build().map_err(|error| FetchError::Setup(causes(&error)))
}

/// Reads the whole answer, unless it is larger than it may be.
async fn answer(mut response: reqwest::Response, max_bytes: usize) -> Result<http::Response<Bytes>, FetchError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(FetchError::of)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let mut answer = http::Response::new(body.freeze());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}

/// `max-age` of `Cache-Control` (RFC 9111 §5.2.2); `no-store` and `no-cache` count as zero.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let directives = lines.flat_map(|line| line.split(',')).map(str::trim);
    let mut found = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => found = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs).or(found),
            _ => {}
        }
    }
    found
}

/// An error and all that caused it, in one line. The most telling part is the innermost one.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
