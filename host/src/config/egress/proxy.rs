//! `egress.proxy`: a proxy, as the file and the environment name one.

use std::fmt;
use std::str::FromStr;

use schemars::json_schema;
use url::Url;

use crate::config::document::{Node, Value};
use crate::config::effective::REDACTED;
use crate::config::key::Key;
use crate::config::reader::{Reader, Setting};
use crate::config::schema::inline_schema;
use crate::config::text::InvalidValue;

/// The word in place of a URL, for the proxy that the environment names.
const ENV: &str = "env";

/// The value of `egress.proxy`.
#[derive(Clone, PartialEq, Eq)]
pub enum EgressProxy {
    /// The proxy that the environment names, if it names one.
    Env,
    /// The proxy at this URL.
    Url(ProxyUrl),
}

/// The URL of a proxy. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    /// The URL itself, password and all.
    pub fn reveal(&self) -> &Url {
        &self.0
    }
}

impl FromStr for ProxyUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the proxy must be one that speaks http:// or https://".into());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("no host".into());
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("nothing may follow host and port".into());
        }
        Ok(Self(url))
    }
}

/// Without user and password.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let user = if has_user { "***@" } else { "" };
        write!(f, "{}://{user}{}", url.scheme(), url.host_str().unwrap_or_default())?;
        url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EgressProxy {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == ENV { Ok(Self::Env) } else { text.parse().map(Self::Url) }
    }
}

impl fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env => f.write_str(ENV),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The values that fit, for people.
const EXPECTED: &str = "\"env\", or a proxy's URL such as \"http://proxy.example:3128\"";

inline_schema!(EgressProxy => json_schema!({
    "type": "string",
    "examples": ["http://proxy.example:3128", ENV],
    "pattern": r"^(?:env|https?://.+)$|\$\{",
}));

impl Setting for EgressProxy {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        reader.hidden(node, key, EXPECTED)
    }

    fn from_variable(text: &str) -> Value {
        Value::Text(text.trim().to_owned())
    }

    fn shown(node: &Node, _name: &str) -> String {
        match &node.value {
            // A `${…}` shows nothing by itself.
            Value::Text(text) if text.contains("${") && !text.contains('@') => node.value.to_string(),
            Value::Text(text) => match text.trim().parse::<Self>() {
                Ok(proxy) => Value::Text(proxy.to_string()).to_string(),
                Err(_) => REDACTED.to_owned(),
            },
            _ => REDACTED.to_owned(),
        }
    }
}
