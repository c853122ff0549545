//! Headers of a granted request and of its answer: what a guest may not send, and what is taken away.
//!
//! Names are compared in any case, and `_` counts as `-`: servers behind CGI and its heirs read `X_ORIGINAL_URL` and
//! `X-Original-URL` as one.

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};

/// Headers of the connection and of the host's own making: a guest that sends one is refused.
const REFUSED: [&str; 10] = [
    "connection",
    "early-data",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers of which every one that begins so is refused.
const REFUSED_PREFIXES: [&str; 1] = ["proxy-"];

/// Headers by which some servers take another method, path, host or sender than those that were decided on.
const OVERRIDES: [&str; 15] = [
    "forwarded",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-http-path-override",
    "x-method-override",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-real-ip",
    "x-rewrite-uri",
    "x-rewrite-url",
];

/// The same by their beginning.
const OVERRIDE_PREFIXES: [&str; 1] = ["x-forwarded-"];

/// With a credential the answer must be readable, and whole, for the secret to be found in it.
const HINDERS_SCRUBBING: [&str; 4] = ["accept-encoding", "if-range", "range", "request-range"];

/// Headers of an answer that are between the service and the credential's owner.
const FOR_THE_OWNER: [&str; 4] = ["authentication-info", "set-cookie", "set-cookie2", "www-authenticate"];

/// Headers of an answer that are about the connection, or would lead to another one.
const FOR_THE_HOST: [&str; 5] = ["alt-svc", "connection", "keep-alive", "transfer-encoding", "upgrade"];

/// The reason that a request is refused for its headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefusal {
    /// A header that a guest may not send.
    #[error("the guest may not send `{0}`")]
    Name(HeaderName),
    /// More than one length, or one that is no number.
    #[error("`content-length` must be one number")]
    Length,
}

/// A header's name as servers compare it: small letters, and `-` for `_`.
pub fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// True for a header that a guest may not send, and that no credential can be.
pub fn is_refused(name: &str) -> bool {
    is_listed(&canonical(name), &REFUSED, &REFUSED_PREFIXES)
}

fn is_listed(canonical: &str, names: &[&str], prefixes: &[&str]) -> bool {
    names.contains(&canonical) || prefixes.iter().any(|prefix| canonical.starts_with(prefix))
}

/// Checks the headers of a request as a guest made it. (The type of a value holds no end of a line.)
///
/// # Errors
/// One of them is not a guest's to send, or would be read in two ways.
pub fn expect_plain(headers: &HeaderMap) -> Result<(), HeaderRefusal> {
    if let Some(name) = headers.keys().find(|name| is_refused(name.as_str())) {
        return Err(HeaderRefusal::Name(name.clone()));
    }
    let lengths: Vec<&HeaderValue> =
        headers.iter().filter(|(name, _)| canonical(name.as_str()) == CONTENT_LENGTH.as_str()).map(|it| it.1).collect();
    let is_number = |value: &HeaderValue| {
        let digits = value.as_bytes();
        !digits.is_empty() && digits.len() < 20 && digits.iter().all(u8::is_ascii_digit)
    };
    match lengths.as_slice() {
        [] => Ok(()),
        [length] if headers.contains_key(CONTENT_LENGTH) && is_number(length) => Ok(()),
        _ => Err(HeaderRefusal::Length),
    }
}

/// Takes away what could make a server decide otherwise than was decided here. For entries with methods, a path or a
/// credential.
pub fn remove_overrides(headers: &mut HeaderMap) {
    remove(headers, |name| is_listed(name, &OVERRIDES, &OVERRIDE_PREFIXES));
}

/// Asks for an answer in which a secret can be found: whole, and not compressed.
pub fn ask_for_plain_answer(headers: &mut HeaderMap) {
    remove(headers, |name| HINDERS_SCRUBBING.contains(&name));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Takes away all headers that servers would read as this one.
pub fn remove_named(headers: &mut HeaderMap, name: &str) {
    let wanted = canonical(name);
    remove(headers, |name| name == wanted);
}

/// Takes away from an answer what is not for the guest.
pub fn remove_from_answer(headers: &mut HeaderMap, has_credential: bool) {
    remove(headers, |name| {
        is_listed(name, &FOR_THE_HOST, &REFUSED_PREFIXES) || (has_credential && FOR_THE_OWNER.contains(&name))
    });
}

fn remove(headers: &mut HeaderMap, is_removed: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_removed(&canonical(name.as_str()))).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn a_guest_sends_no_header_of_the_connection() {
        for name in [
            "Host",
            "Connection",
            "Transfer-Encoding",
            "transfer_encoding",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Keep-Alive",
            "Proxy-Authorization",
            "Proxy_Connection",
            "Proxy-Anything",
            "HTTP2-Settings",
            "Early-Data",
        ] {
            let refusal = expect_plain(&headers(&[("accept", "*/*"), (name, "x")])).unwrap_err();
            assert_eq!(refusal.to_string(), format!("the guest may not send `{}`", name.to_lowercase()));
        }
        assert_eq!(expect_plain(&headers(&[("accept", "a\tb"), ("cookie", "a=b"), ("x_y", "")])), Ok(()));
    }

    #[test]
    fn a_body_has_one_length() {
        for (lines, expected) in [
            (&[("content-length", "12")][..], Ok(())),
            (&[("content-length", "12"), ("content-length", "12")], Err(HeaderRefusal::Length)),
            (&[("content-length", "12"), ("content_length", "13")], Err(HeaderRefusal::Length)),
            (&[("content_length", "13")], Err(HeaderRefusal::Length)),
            (&[("content-length", "12, 12")], Err(HeaderRefusal::Length)),
            (&[("content-length", "+12")], Err(HeaderRefusal::Length)),
            (&[("content-length", "0x1")], Err(HeaderRefusal::Length)),
            (&[("content-length", "")], Err(HeaderRefusal::Length)),
            (&[("content-length", "18446744073709551616")], Err(HeaderRefusal::Length)),
        ] {
            assert_eq!(expect_plain(&headers(lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn overrides_are_removed_in_every_spelling() {
        let mut lines = headers(&[
            ("Accept", "*/*"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X_HTTP_Method_Override", "DELETE"),
            ("X-HTTP-Method", "DELETE"),
            ("X-Method-Override", "DELETE"),
            ("X-Original-URL", "/admin"),
            ("X-Rewrite_URL", "/admin"),
            ("X-Rewrite-URI", "/admin"),
            ("X-Override-URL", "/admin"),
            ("X-HTTP-Path-Override", "/admin"),
            ("X-HTTP-Host_Override", "evil.example"),
            ("X-Original-Host", "evil.example"),
            ("X_Host", "evil.example"),
            ("X-Real-IP", "127.0.0.1"),
            ("Forwarded", "for=1.2.3.4"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded_Prefix", "/admin"),
            ("X-Forwarded", "kept: it is no such header"),
        ]);
        remove_overrides(&mut lines);
        assert_eq!(names(&lines), ["accept", "x-forwarded"]);
    }

    #[test]
    fn an_answer_that_may_hold_a_secret_is_asked_for_in_plain() {
        let mut lines = headers(&[
            ("accept-encoding", "br, gzip"),
            ("Range", "bytes=3-9"),
            ("if_range", "x"),
            ("Request-Range", "bytes=3-9"),
            ("a", "b"),
        ]);
        ask_for_plain_answer(&mut lines);
        assert_eq!(lines, headers(&[("a", "b"), ("accept-encoding", "identity")]));
    }

    #[test]
    fn an_answer_keeps_what_is_for_the_guest() {
        let answer = [
            ("set-cookie", "a=b"),
            ("WWW-Authenticate", "Basic"),
            ("alt-svc", "h3=\":443\""),
            ("proxy-authenticate", "x"),
            ("content-type", "text/plain"),
        ];
        let mut lines = headers(&answer);
        remove_from_answer(&mut lines, true);
        assert_eq!(names(&lines), ["content-type"]);
        let mut lines = headers(&answer);
        remove_from_answer(&mut lines, false);
        assert_eq!(names(&lines), ["set-cookie", "www-authenticate", "content-type"]);
    }
}
