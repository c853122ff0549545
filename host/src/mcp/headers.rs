//! The headers of a request at `/mcp`.

use axum::response::Response;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};

use super::answer;

pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub(super) const SESSION_ID: &str = "mcp-session-id";

/// The first protocol version without handshake and sessions.
pub(super) const MODERN: &str = "2026-07-28";

/// The versions before it that are served, oldest first.
pub(super) const LEGACY: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// The versions of the protocol that are served, newest first.
pub fn versions() -> Vec<&'static str> {
    std::iter::once(MODERN).chain(LEGACY.into_iter().rev()).collect()
}

/// The session id of a request; empty for one that is not text, which no session has.
pub(super) fn session_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION_ID).map(|id| id.to_str().unwrap_or_default())
}

/// True if they name a version without handshake and sessions. Versions are dates, which order as text.
pub(super) fn are_modern(headers: &HeaderMap) -> bool {
    headers.get(PROTOCOL_VERSION).is_some_and(|version| version.as_bytes() >= MODERN.as_bytes())
}

/// The value of a header that occurs exactly once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

pub(super) fn require_json_content(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = content_type.and_then(|it| it.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = "send the message with `Content-Type: application/json`";
    Err(Box::new(answer::error_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)))
}

/// Refuses a client that accepts neither JSON nor events. One that accepts either may get the other: the answer
/// decides.
pub(super) fn require_acceptable(headers: &HeaderMap) -> Result<(), Box<Response>> {
    const TAKEN: [&str; 4] = ["application/json", "text/event-stream", "application/*", "*/*"];
    let is_acceptable =
        accepted(headers).is_none_or(|mut types| types.any(|it| TAKEN.iter().any(|taken| it.is(taken))));
    if is_acceptable {
        return Ok(());
    }
    let message = "answers are `application/json` or `text/event-stream`: accept one of them";
    Err(Box::new(answer::error_response(StatusCode::NOT_ACCEPTABLE, message)))
}

/// True if a client accepts events.
pub(super) fn accept_events(headers: &HeaderMap) -> bool {
    accepted(headers).is_none_or(|mut types| types.any(|it| it.is("text/event-stream") || it.is("*/*")))
}

/// True if the client names streams before JSON. Most name JSON first, and get it for an answer of one message.
pub(super) fn prefers_streams(headers: &HeaderMap) -> bool {
    let mut types = accepted(headers).into_iter().flatten();
    types
        .find(|it| it.is("text/event-stream") || it.is("application/json"))
        .is_some_and(|it| it.is("text/event-stream"))
}

/// A media type without its parameters.
struct MediaType<'a>(&'a str);

impl MediaType<'_> {
    /// Types are the same in upper and lower case.
    fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

/// The media types in `Accept`; `None` without the header.
fn accepted(headers: &HeaderMap) -> Option<impl Iterator<Item = MediaType<'_>>> {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    values.peek()?;
    let types = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    Some(types.map(|it| MediaType(it.split(';').next().unwrap_or_default().trim())))
}
