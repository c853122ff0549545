//! Redirect URIs: the rules for those that clients may use (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1).
//!
//! Invariant: a URI for which [`matches()`] is true is a registered one byte by byte, or a loopback URI that differs
//! from one in its port and in how it spells this machine, and in nothing else.

use url::Url;

use crate::config::redirect_schemes::{self, SchemeRefusal, SchemeRule};
use crate::loopback;
use crate::schemes::Nature;

/// Longest URI that is taken.
const URI_BYTES_MAX: usize = 2048;

/// The place that a redirect URI leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum RedirectKind {
    /// A page on the web.
    Web,
    /// A program that listens on this machine.
    Loopback,
    /// An application that is opened by its scheme.
    App {
        /// True if the application is known. Nobody knows what another scheme opens, so that nothing but a
        /// person's click may.
        is_known: bool,
    },
}

/// The reason why a URI is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::auth) enum Unacceptable {
    #[error("it is not an absolute URI of visible ASCII characters")]
    NotAUri,
    #[error("it is longer than 2048 characters")]
    TooLong,
    #[error("it has a fragment")]
    Fragment,
    #[error("it has a user name or a password")]
    UserInfo,
    #[error("its path has `.` or `..` segments")]
    DotSegments,
    #[error("plain http is taken for `localhost`, `127.0.0.1` and `[::1]` only")]
    PlainHttp,
    #[error(transparent)]
    Scheme(#[from] SchemeRefusal),
    #[error("it has no host")]
    NoHost,
    #[error("it has a host and a port and no scheme: a program on this machine is called back at `http://localhost:…`")]
    NoScheme,
}

/// Decides whether a URI may be registered, and of which kind it is. `rules` are those of the configuration.
///
/// RFC 8252 §8.4 wants schemes without a dot refused. Applications that people use have such schemes, and no other; what
/// an accepted one opens is therefore left to a person's click, see [`RedirectKind::App`].
pub(in crate::auth) fn accept(uri: &str, rules: &[SchemeRule]) -> Result<RedirectKind, Unacceptable> {
    if uri.len() > URI_BYTES_MAX {
        return Err(Unacceptable::TooLong);
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) || uri.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}'])
    {
        return Err(Unacceptable::NotAUri);
    }
    if uri.contains('#') {
        return Err(Unacceptable::Fragment);
    }
    let url = Url::parse(uri).map_err(|_| Unacceptable::NotAUri)?;
    if !url.username().is_empty() || url.password().is_some() || has_user_info(uri) {
        return Err(Unacceptable::UserInfo);
    }
    if has_dot_segments(uri) {
        return Err(Unacceptable::DotSegments);
    }
    match url.scheme() {
        "http" => Loopback::parse(uri).map(|_| RedirectKind::Loopback).ok_or(Unacceptable::PlainHttp),
        "https" => {
            let is_plain = uri.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
            let has_host = is_plain
                && !uri[8..].starts_with(['/', '?', ':'])
                && url.host_str().is_some_and(|host| !host.is_empty());
            if has_host { Ok(RedirectKind::Web) } else { Err(Unacceptable::NoHost) }
        }
        scheme => {
            let nature = redirect_schemes::accept(scheme, rules)?;
            // URL parsers take a host for a scheme.
            if nature == Nature::Private && (scheme == "localhost" || has_port_alone(&uri[scheme.len() + 1..])) {
                return Err(Unacceptable::NoScheme);
            }
            Ok(RedirectKind::App { is_known: matches!(nature, Nature::Application(_)) })
        }
    }
}

/// Tells whether a client that has registered these URIs may be sent to `offered`.
pub(in crate::auth) fn matches(registered: &[String], offered: &str) -> bool {
    registered.iter().any(|uri| {
        uri == offered
            || matches!((Loopback::parse(uri), Loopback::parse(offered)), (Some(one), Some(other)) if one.rest == other.rest)
    })
}

/// The URI as registrations keep it: a loopback one without its port, which clients choose anew each time.
pub(in crate::auth) fn without_port(uri: &str) -> String {
    match Loopback::parse(uri) {
        Some(loopback) => format!("http://{}{}", loopback.host, loopback.rest),
        None => uri.to_owned(),
    }
}

/// The URI with our answer in its query: a registered query is kept, but for members of the same names.
pub(in crate::auth) fn with_answer(uri: &str, answer: &[(&str, &str)]) -> String {
    const OURS: [&str; 6] = ["code", "state", "iss", "error", "error_description", "error_uri"];
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let is_kept = |member: &&str| {
        let name = url::form_urlencoded::parse(member.as_bytes()).next();
        !member.is_empty() && !name.is_some_and(|(name, _)| OURS.contains(&name.as_ref()))
    };
    let mut members: Vec<String> = query.split('&').filter(is_kept).map(str::to_owned).collect();
    members.extend(answer.iter().map(|(name, value)| {
        let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        // Some clients decode `+` as itself.
        format!("{name}={}", value.replace('+', "%20"))
    }));
    format!("{base}?{}", members.join("&"))
}

/// A plain http URI of this machine, in the parts that count.
struct Loopback<'u> {
    host: &'u str,
    /// Path and query; an empty path is `/`.
    rest: String,
}

impl<'u> Loopback<'u> {
    /// Compares text: no other spelling counts, whatever URL parsers make of it.
    fn parse(uri: &'u str) -> Option<Self> {
        let after = uri.strip_prefix("http://")?;
        let host = loopback::HOSTS.iter().find_map(|host| after.get(..host.len()).filter(|start| start == host))?;
        let after = &after[host.len()..];
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (port, rest) = after.split_at(end);
        if !port.is_empty() {
            let digits = port.strip_prefix(':')?;
            let is_port = !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && !digits.starts_with('0')
                && digits.parse::<u16>().is_ok();
            if !is_port {
                return None;
            }
        }
        if rest.contains('#') {
            return None;
        }
        let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        Some(Self { host, rest })
    }
}

/// True for a port, with or without a path, in the place of what follows a scheme.
fn has_port_alone(rest: &str) -> bool {
    let port = rest.split(['/', '?']).next().unwrap_or_default();
    port.parse::<u16>().is_ok()
}

fn has_user_info(uri: &str) -> bool {
    let Some((_, after)) = uri.split_once("://") else { return false };
    let end = after.find(['/', '?']).unwrap_or(after.len());
    after[..end].contains('@')
}

/// True for a URI with dot segments, in plain or percent-encoded.
fn has_dot_segments(uri: &str) -> bool {
    let path = uri.split('?').next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests;
