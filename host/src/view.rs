//! The parts of this server that are resources of their own (RFC 8707, RFC 9728): `/mcp`, and `/mcp/NAME` for every view
//! of the configuration.
//!
//! Invariant: a view is a part of who calls. A [`Principal`](crate::principal::Principal) is one at a view, and all that
//! belongs to its session, such as ids, tasks and states, is nothing at another view.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names that no view can have: there is something else at the path, old clients look for other things there, or the name
/// would say that it is `/mcp` itself.
const RESERVED: [&str; 23] = [
    "all",
    "auth",
    "authorize",
    "callback",
    "consent",
    "default",
    "health",
    "healthz",
    "login",
    "logout",
    "main",
    "mcp",
    "me",
    "message",
    "messages",
    "readyz",
    "register",
    "revoke",
    "server",
    "server-card",
    "sse",
    "token",
    "well-known",
];

/// A view by its name. The default is `/mcp` itself, which has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
pub struct View(Option<Arc<str>>);

impl View {
    /// The view of this name.
    pub fn named(name: &str) -> Self {
        Self(Some(name.into()))
    }

    /// Its name; none for `/mcp`.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// True for `/mcp`.
    pub fn is_main(&self) -> bool {
        self.0.is_none()
    }

    /// The name in a path `/mcp/NAME`, with or without a slash at its end, and none for `/mcp`; nothing for any other
    /// path. Whether there is such a view is the configuration's affair.
    pub fn in_path(path: &str) -> Option<Option<&str>> {
        let rest = path.strip_prefix("/mcp")?;
        if matches!(rest, "" | "/") {
            return Some(None);
        }
        let name = rest.strip_prefix('/')?;
        let name = name.strip_suffix('/').unwrap_or(name);
        (is_name(name) && !is_reserved(name)).then_some(Some(name))
    }
}

/// True for a name that no view can have.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// True for `[a-z0-9_-]+`, of which URLs have one spelling.
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    !text.is_empty() && text.bytes().all(fits)
}

/// The path of its endpoint.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, "/mcp/{name}"),
            None => f.write_str("/mcp"),
        }
    }
}

impl From<Option<String>> for View {
    fn from(name: Option<String>) -> Self {
        Self(name.map(Into::into))
    }
}

impl From<View> for Option<String> {
    fn from(view: View) -> Self {
        view.name().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_view_in_one_way() {
        for (path, expected) in [
            ("/mcp", Some(None)),
            ("/mcp/", Some(None)),
            ("/mcp/ops", Some(Some("ops"))),
            ("/mcp/ops/", Some(Some("ops"))),
            ("/mcp/a-b_1", Some(Some("a-b_1"))),
            ("/mcp//", None),
            ("/mcp//ops", None),
            ("/mcp/ops//", None),
            ("/mcp/ops/x", None),
            ("/mcp/Ops", None),
            ("/mcp/%6fps", None),
            ("/mcp/.well-known", None),
            ("/mcp/server-card", None),
            ("/mcpx", None),
            ("/mcpx/ops", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(View::in_path(path), expected, "{path}");
        }
    }

    #[test]
    fn a_view_is_kept_as_its_name() {
        for (view, json) in [(View::default(), "null"), (View::named("ops"), "\"ops\"")] {
            assert_eq!(serde_json::to_string(&view).unwrap(), json);
            assert_eq!(serde_json::from_str::<View>(json).unwrap(), view);
        }
        assert_eq!([View::default(), View::named("ops")].map(|view| view.to_string()), ["/mcp", "/mcp/ops"]);
    }
}
