//! Errors that clients get as JSON (RFC 6749 §5.2, RFC 7591 §3.2.2, RFC 7009 §2.2.1), in few outer codes.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::audit::event::Reason;
use crate::log_limiter::LogLimiter;
use crate::store::StoreError;

/// Seconds after which a client may ask again, when something was unavailable.
const RETRY_AFTER_S: u32 = 5;

/// An error of `/token`, `/revoke` or `/register`. A client is told fixed words; the cause is logged
/// where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::auth) enum OAuthError {
    /// Malformed, repeated or missing parameters.
    InvalidRequest(String),
    /// Unknown client, wrong secret, or another way to authenticate than the registered one.
    InvalidClient { used_basic: bool },
    /// The code or token is unknown, expired, used, or somebody else's: the client is not told which.
    InvalidGrant(&'static str),
    /// A scope beyond what was granted.
    InvalidScope,
    /// Another resource than this server (RFC 8707 §2).
    InvalidTarget,
    /// A grant type that is not among those that are offered.
    UnsupportedGrantType { offered: Vec<&'static str> },
    /// A grant type that is offered, and not to this client (RFC 6749 §5.2).
    UnauthorizedClient,
    /// The person has not finished the login of a device (RFC 8628 §3.5).
    AuthorizationPending,
    /// The device asks again too soon.
    PollSlowly,
    /// The device's code is over.
    ExpiredToken,
    /// The person has denied the device's request, or may not log in.
    AccessDenied,
    /// RFC 7591 §3.2.2.
    InvalidRedirectUri(String),
    /// RFC 7591 §3.2.2.
    InvalidClientMetadata(String),
    /// A body of more bytes than these.
    TooLarge { max_bytes: usize },
    /// Too many requests.
    SlowDown { retry_after_s: u32 },
    /// The store or the provider cannot be reached; nothing was changed.
    Unavailable { retry_after_s: u32 },
    /// The audit cannot be written, and nothing goes without.
    Unaudited,
}

impl OAuthError {
    /// The status, the code and the description.
    fn outside(&self) -> (StatusCode, &'static str, Cow<'_, str>) {
        let bad = StatusCode::BAD_REQUEST;
        let (status, code, description): (_, _, &str) = match self {
            Self::InvalidRequest(what) => (bad, "invalid_request", what),
            Self::InvalidClient { .. } => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "the client is not known here, or did not authenticate as it registered: register again",
            ),
            Self::InvalidGrant(what) => (bad, "invalid_grant", what),
            Self::InvalidScope => (bad, "invalid_scope", "the scope is wider than what was granted"),
            Self::InvalidTarget => (bad, "invalid_target", "this server gives tokens for its own MCP endpoint only"),
            Self::UnsupportedGrantType { offered } => {
                let (last, others) = offered.split_last().unwrap_or((&"", &[]));
                let description = format!("grant_type must be {} or {last}", others.join(", "));
                return (bad, "unsupported_grant_type", description.into());
            }
            Self::UnauthorizedClient => (
                bad,
                "unauthorized_client",
                "the client may not use this grant_type: the server's configuration says which it may, in auth.clients",
            ),
            Self::AuthorizationPending => {
                (bad, "authorization_pending", "the person has not finished the login: ask again after the interval")
            }
            Self::PollSlowly => {
                (bad, "slow_down", "asked again too soon: from now on wait five seconds longer between requests")
            }
            Self::ExpiredToken => (bad, "expired_token", "the device code is over: begin again"),
            Self::AccessDenied => (bad, "access_denied", "the login was denied, or has failed: begin again"),
            Self::InvalidRedirectUri(what) => (bad, "invalid_redirect_uri", what),
            Self::InvalidClientMetadata(what) => (bad, "invalid_client_metadata", what),
            Self::TooLarge { max_bytes } => {
                let description = format!("the request's body is larger than {max_bytes} bytes: send less");
                return (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", description.into());
            }
            Self::SlowDown { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", "too many requests: wait and try again")
            }
            Self::Unavailable { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "this cannot be done at the moment; nothing was changed: try again",
            ),
            Self::Unaudited => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "the server cannot write its audit at the moment, and does nothing without: ask whoever runs it; nothing was changed",
            ),
        };
        (status, code, description.into())
    }

    /// The reason of the refusal, for the audit; none for a request that is merely wrong.
    pub(in crate::auth) fn reason(&self) -> Option<Reason> {
        match self {
            Self::InvalidClient { .. } => Some(Reason::ClientProof),
            Self::InvalidGrant(_) => Some(Reason::BadGrant),
            Self::SlowDown { .. } => Some(Reason::TooMany),
            Self::Unavailable { .. } => Some(Reason::Unavailable),
            Self::Unaudited => Some(Reason::Unaudited),
            Self::InvalidScope => Some(Reason::Scopes),
            Self::UnauthorizedClient | Self::AccessDenied => Some(Reason::TurnedAway),
            Self::InvalidRequest(_)
            | Self::InvalidTarget
            | Self::UnsupportedGrantType { .. }
            | Self::AuthorizationPending
            | Self::PollSlowly
            | Self::ExpiredToken
            | Self::InvalidRedirectUri(_)
            | Self::InvalidClientMetadata(_)
            | Self::TooLarge { .. } => None,
        }
    }

    /// The answer for the client.
    pub(in crate::auth) fn response(&self) -> Response {
        let (status, code, description) = self.outside();
        let mut response = json(status, &json!({ "error": code, "error_description": ascii(&description) }));
        let headers = response.headers_mut();
        match self {
            Self::InvalidClient { used_basic: true } => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tinymcp\""));
            }
            Self::SlowDown { retry_after_s } | Self::Unavailable { retry_after_s } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Self::Unaudited => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            Self::InvalidRequest(_)
            | Self::InvalidClient { used_basic: false }
            | Self::InvalidGrant(_)
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::UnsupportedGrantType { .. }
            | Self::UnauthorizedClient
            | Self::AuthorizationPending
            | Self::PollSlowly
            | Self::ExpiredToken
            | Self::AccessDenied
            | Self::InvalidRedirectUri(_)
            | Self::InvalidClientMetadata(_)
            | Self::TooLarge { .. } => {}
        }
        response
    }

    /// The error when something is unavailable for a moment.
    pub(in crate::auth) fn unavailable() -> Self {
        Self::Unavailable { retry_after_s: RETRY_AFTER_S }
    }
}

static STORE_FAILED: LogLimiter = LogLimiter::new("requests for which the store failed");

/// Logs that the store failed: a store that is away fails for every request.
pub(in crate::auth) fn store_failed(error: &StoreError) {
    STORE_FAILED.log(|| tracing::error!(%error, "the store failed"));
}

/// Logs the cause; the client hears that it may try again.
impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        store_failed(&error);
        Self::unavailable()
    }
}

impl From<super::parameters::RepeatedParameter> for OAuthError {
    fn from(super::parameters::RepeatedParameter(name): super::parameters::RepeatedParameter) -> Self {
        Self::InvalidRequest(format!("parameter `{name}` is given more than once"))
    }
}

/// JSON that nobody may keep (RFC 6749 §5.1).
pub(in crate::auth) fn json(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// `error_description` takes printable ASCII without quotes and backslashes (RFC 6749 §5.2).
pub(in crate::auth) fn ascii(text: &str) -> String {
    let fits = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    text.chars().map(|c| if fits(c) { c } else { '\'' }).collect()
}
