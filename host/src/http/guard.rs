//! Checks of Host and Origin (MCP 2026-07-28, basic/transports/streamable-http, Security Warning).
//!
//! A page in a person's browser can send requests to loopback, and with a name that it controls can read the answers
//! (DNS rebinding). The Host check stops the second, the Origin check both.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_ENCODING, HOST, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::Url;

use super::missing::Refusal;
use super::reply;
use crate::config::address::{AllowedHost, BaseUrl, Network};
use crate::config::{self, Server};
use crate::log_limiter::LogLimiter;
use crate::mcp;
use crate::sanitize;
use crate::view::View;

/// Time for which a browser may remember a preflight's answer.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// Longest path and query. Authorization requests of real clients have some 2 KiB.
const MAX_TARGET_BYTES: usize = 16 * 1024;

/// Bytes of a refused header that are logged.
const LOGGED_BYTES: usize = 256;

static OTHER_HOST: LogLimiter = LogLimiter::new("requests for another host");
static OTHER_ORIGIN: LogLimiter = LogLimiter::new("requests of another origin");

/// Names that `base_url` and the configuration allow.
pub(super) struct Guard {
    /// Lower case, without ports: another port is no other host.
    hosts: Vec<String>,
    /// Networks whose addresses are allowed in the place of a name.
    networks: Vec<Network>,
    origins: Vec<Origin>,
    allows_loopback: bool,
    base_url: BaseUrl,
}

#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads the `Origin` header's form, `scheme://host[:port]` (RFC 6454 §7); `null` is none.
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?.to_ascii_lowercase();
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default() })
    }
}

impl Guard {
    pub(super) fn new(server: &Server) -> Self {
        let base = &server.base_url;
        let host = base.host_str().unwrap_or_default().to_ascii_lowercase();
        let allows_loopback = is_loopback_as_written(&host);
        let (mut hosts, mut networks) = (vec![host], Vec::new());
        for allowed in &server.allowed_hosts {
            match allowed {
                AllowedHost::Name(name) => hosts.push(name.as_str().to_ascii_lowercase()),
                AllowedHost::Network(network) => networks.push(*network),
            }
        }
        let origins =
            std::iter::once(base.as_str()).chain(server.allowed_origins.iter().map(config::address::Origin::as_str));
        Self {
            hosts,
            networks,
            origins: origins.filter_map(Origin::parse).collect(),
            allows_loopback,
            base_url: base.clone(),
        }
    }

    fn allows_host(&self, uri: &Uri, host_header: Option<&HeaderValue>) -> bool {
        // Nearly all requests: one of our names, and nothing that would have to be read.
        if uri.authority().is_none() && host_header.is_some_and(|host| self.has_name(host)) {
            return true;
        }
        // HTTP/2, and requests in absolute form, have the authority in their target (RFC 9112 §3.2.2): it counts too.
        let target = uri.authority().cloned().map(Some);
        let header = host_header.map(|host| Authority::try_from(host.as_bytes()).ok());
        let mut authorities = target.into_iter().chain(header).peekable();
        authorities.peek().is_some() && authorities.all(|authority| authority.is_some_and(|it| self.is_ours(&it)))
    }

    /// True for a name as it stands in [`Self::hosts`], with a port or none.
    fn has_name(&self, host: &HeaderValue) -> bool {
        let host = host.as_bytes();
        let name = match host.iter().rposition(|byte| *byte == b':') {
            Some(colon) if is_port(&host[colon + 1..]) => &host[..colon],
            _ => host,
        };
        self.hosts.iter().any(|ours| ours.as_bytes() == name)
    }

    fn is_ours(&self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().to_ascii_lowercase();
        self.hosts.contains(&host)
            || (self.allows_loopback && is_loopback_as_written(&host))
            || literal(&host).is_some_and(|address| self.networks.iter().any(|network| network.contains(address)))
    }

    fn allows_origin(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().ok().and_then(Origin::parse);
        origin.is_some_and(|origin| {
            self.origins.contains(&origin)
                || (self.allows_loopback
                    && matches!(origin.scheme.as_str(), "http" | "https")
                    && is_loopback_as_written(&origin.host))
        })
    }

    /// CORS for pages of allowed origins. It stands before everything else: a browser shows a page no answer,
    /// not even a refusal, that lacks these headers.
    pub(super) fn cors(self: &Arc<Self>) -> CorsLayer {
        let guard = Arc::clone(self);
        let exposed = ["mcp-session-id", "mcp-protocol-version"].map(HeaderName::from_static);
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| guard.allows_origin(origin)))
            .allow_methods([Method::GET, Method::POST, Method::DELETE, Method::OPTIONS])
            // Clients send `Mcp-Param-*` headers that only the tools know.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER].into_iter().chain(exposed).collect::<Vec<_>>())
            .max_age(PREFLIGHT_AGE)
    }
}

/// CORS for routes that every page may call and read: metadata, registration, tokens. No cookie counts there, and the
/// check of Host stands before it.
pub(super) async fn open_to_every_page(request: Request<Body>, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = if is_preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate, Retry-After"));
    if is_preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Authorization, Content-Type, Accept, MCP-Protocol-Version"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_AGE.as_secs()));
    }
    response
}

fn is_port(digits: &[u8]) -> bool {
    (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// `localhost`, 127.0.0.0/8 or ::1, as written in a URL or a Host header. Other spellings of these addresses are
/// refused.
fn is_loopback_as_written(host: &str) -> bool {
    host == "localhost" || literal(host).is_some_and(|address| address.is_loopback())
}

/// The address that stands in the place of a host, in its usual spelling. Names are never looked up.
fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Lets requests for this server through, and forbids browsers to guess the type of an answer.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request<Body>, next: Next) -> Response {
    match guard.refuse(&request) {
        Some(refusal) => marked(refusal),
        None => marked(next.run(request).await),
    }
}

/// Forbids browsers to guess the type of an answer.
pub(super) async fn mark(request: Request<Body>, next: Next) -> Response {
    marked(next.run(request).await)
}

pub(super) fn marked(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl Guard {
    pub(super) fn refuse(&self, request: &Request<Body>) -> Option<Response> {
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
            let message = format!("the request's path and query are longer than {MAX_TARGET_BYTES} bytes");
            return Some(reply::error(StatusCode::URI_TOO_LONG, "uri_too_long", &message));
        }
        // RFC 9112 §3.2: somebody on the way may have believed the other one.
        if request.headers().get_all(HOST).iter().nth(1).is_some() {
            return Some(reply::error(StatusCode::BAD_REQUEST, "bad_request", "the request has more than one Host"));
        }
        let (host, origin) = (request.headers().get(HOST), request.headers().get(ORIGIN));
        if !self.allows_host(request.uri(), host) {
            let host = host.map_or_else(String::new, logged);
            OTHER_HOST.log(|| tracing::warn!(host, "refused a request for another host"));
            let message = "this server does not answer for that Host: set `server.base_url` to the URL that clients use, or add the name to `server.allowed_hosts`";
            // It says no more of this server to whoever has only found its address.
            let refusal = Refusal {
                status: StatusCode::FORBIDDEN,
                error: "host_not_allowed",
                title: "This server has another name",
                message,
                leads_home: false,
            };
            return Some(refusal.answer(request.headers(), &self.base_url));
        }
        if let Some(origin) = origin.filter(|origin| is_mcp(request.uri()) && !self.allows_origin(origin)) {
            let origin = logged(origin);
            OTHER_ORIGIN.log(|| tracing::warn!(origin, "refused a request of another origin"));
            let message = "pages of that Origin may not use this server: add it to `server.allowed_origins`";
            return Some(mcp::error_response(StatusCode::FORBIDDEN, message));
        }
        if is_encoded(request) {
            return Some(not_encoded(request.uri()));
        }
        None
    }
}

/// True if the headers name a compression. No body is ever unpacked: a few bytes could become any number.
fn is_encoded(request: &Request<Body>) -> bool {
    let codings = request.headers().get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// The answer to a compressed body, which names the coding that is taken (RFC 9110 §15.5.16).
fn not_encoded(uri: &Uri) -> Response {
    let message = "the request's body has a Content-Encoding: send it as it is, without compression";
    let mut response = match is_mcp(uri) {
        true => mcp::error_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, message),
        false => reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", message),
    };
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// A stranger's header, fit for the log.
fn logged(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2 * LOGGED_BYTES)]);
    sanitize::cut(&sanitize::escape(&text), LOGGED_BYTES)
}

/// True at the endpoint, and where its views are. Elsewhere there are pages for people, and a link from another site to
/// these is no attack.
pub(super) fn is_mcp(uri: &Uri) -> bool {
    View::in_path(uri.path()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(base_url: &str) -> Guard {
        let mut server = crate::config::Config::default().server;
        server.base_url = base_url.parse().unwrap();
        server.allowed_hosts =
            ["extra.example", "10.0.0.0/8", "fd00::/8", "192.0.2.7"].map(|host| host.parse().unwrap()).to_vec();
        server.allowed_origins = vec!["https://app.example:8443".parse().unwrap()];
        Guard::new(&server)
    }

    #[test]
    fn hosts() {
        let cases = [
            ("http://localhost:8000", "localhost:8000", true),
            ("http://localhost:8000", "localhost", true),
            ("http://localhost:8000", "127.0.0.1:9", true),
            ("http://localhost:8000", "[::1]:8000", true),
            ("http://localhost:8000", "LOCALHOST", true),
            ("http://localhost:8000", "evil.example", false),
            ("http://localhost:8000", "localhost.evil.example", false),
            ("http://localhost:8000", "extra.example:1", true),
            ("http://localhost:8000", "not a host", false),
            ("http://localhost:8000", "evil@localhost:8000", false),
            ("https://mcp.example", "mcp.example", true),
            ("https://mcp.example", "10.1.2.3:8000", true),
            ("https://mcp.example", "[fd00::1]", true),
            ("https://mcp.example", "192.0.2.7", true),
            // Names are names, whatever they look like, and addresses have one spelling.
            ("https://mcp.example", "10.1.2.3.nip.io", false),
            ("https://mcp.example", "10.1", false),
            ("https://mcp.example", "0x0a010203", false),
            ("https://mcp.example", "[::ffff:11.0.0.1]", false),
            ("https://mcp.example", "fd00::1", false),
            ("https://mcp.example", "11.1.2.3", false),
            ("https://mcp.example", "localhost", false),
            ("https://mcp.example", "127.0.0.1", false),
        ];
        for (base_url, host, expected) in cases {
            let header = HeaderValue::from_str(host).unwrap();
            assert_eq!(
                guard(base_url).allows_host(&Uri::from_static("/"), Some(&header)),
                expected,
                "{base_url} {host}"
            );
        }
    }

    #[test]
    fn what_is_logged_of_a_header_is_short_and_on_one_line() {
        let bytes = [b"x\xe2\x80\xae\xe2\x80\xa8".as_slice(), &[b'y'; 60_000]].concat();
        let text = logged(&HeaderValue::from_bytes(&bytes).unwrap());
        assert!(text.starts_with("x\\u{202e}\\u{2028}y") && text.len() <= LOGGED_BYTES, "{text}");
    }

    #[test]
    fn compressed_bodies_are_told_from_plain_ones() {
        for (coding, expected) in
            [("", false), ("identity", false), ("Identity, ", false), ("gzip", true), ("identity, br", true)]
        {
            let request = Request::post("/mcp").header(CONTENT_ENCODING, coding).body(Body::empty()).unwrap();
            assert_eq!(is_encoded(&request), expected, "{coding}");
        }
    }

    #[test]
    fn a_host_in_the_target_counts_too() {
        let guard = guard("http://localhost:8000");
        let (ours, others) = (HeaderValue::from_static("localhost:8000"), HeaderValue::from_static("evil.example"));
        for (target, header, expected) in [
            ("http://localhost:8000/", None, true),
            ("http://evil.example/", Some(&ours), false),
            ("http://localhost:8000/", Some(&others), false),
            ("http://localhost:8000/", Some(&ours), true),
            ("/", None, false),
        ] {
            assert_eq!(guard.allows_host(&target.parse().unwrap(), header), expected, "{target} {header:?}");
        }
    }

    #[test]
    fn origins() {
        let cases = [
            ("http://localhost:8000", "http://localhost:8000", true),
            ("http://localhost:8000", "http://127.0.0.1:6274", true),
            ("http://localhost:8000", "http://evil.example", false),
            ("http://localhost:8000", "null", false),
            ("http://localhost:8000", "https://app.example:8443", true),
            ("http://localhost:8000", "https://app.example", false),
            ("https://mcp.example", "https://mcp.example", true),
            ("https://mcp.example", "https://mcp.example:443", true),
            ("https://mcp.example", "http://mcp.example", false),
            ("https://mcp.example", "http://localhost:8000", false),
        ];
        for (base_url, origin, expected) in cases {
            assert_eq!(
                guard(base_url).allows_origin(&HeaderValue::from_static(origin)),
                expected,
                "{base_url} {origin}"
            );
        }
    }
}
