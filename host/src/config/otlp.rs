//! The values of `[telemetry]`: the URL of a collector, and a share of calls.

use std::fmt;
use std::str::FromStr;

use schemars::json_schema;
use url::Url;

use super::document::{Node, Value};
use super::key::Key;
use super::reader::{Reader, Setting};
use super::schema::inline_schema;
use super::text::{InvalidValue, Text, text_schema};
use crate::loopback::is_loopback_url;

/// The URL before `/v1/metrics` and `/v1/traces` (OTLP/HTTP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint(Url);

impl OtlpEndpoint {
    /// The URL of one signal: `metrics` or `traces`.
    pub fn signal(&self, name: &str) -> String {
        format!("{}/v1/{name}", self.0.as_str().trim_end_matches('/'))
    }

    /// Its host and port, where no plugin is led.
    pub fn place(&self) -> Option<(&str, u16)> {
        Some((self.0.host_str()?, self.0.port_or_known_default()?))
    }

    /// True where everybody on the way reads what is sent.
    pub fn is_plain_and_far(&self) -> bool {
        self.0.scheme() == "http" && !is_loopback_url(&self.0)
    }
}

impl FromStr for OtlpEndpoint {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err("expected the URL of a collector, http:// or https://".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a name and a password belong into `telemetry.headers`, as `Authorization`".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("nothing may follow the path".into());
        }
        if url.path().ends_with("/v1/metrics") || url.path().ends_with("/v1/traces") {
            return Err("leave out `/v1/…`, which is added".into());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Text for OtlpEndpoint {
    const WHAT: &'static str = "the URL of a collector";
    const EXAMPLE: &'static str = "http://collector.internal:4318";
    const PATTERN: &'static str = "https?://.+";
}
text_schema!(OtlpEndpoint);

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

inline_schema!(Share => json_schema!({ "type": ["number", "string"], "minimum": 0, "maximum": 1 }));

/// Reads a string too, since variables are strings.
impl Setting for Share {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "a number from 0 to 1";
        let number = match &node.value {
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            Value::Integer(_) => None,
            Value::Float(number) => Some(*number),
            _ => reader.text(node, key, EXPECTED)?.trim().parse().ok(),
        };
        let share = number.filter(|number| (0.0..=1.0).contains(number)).map(Self);
        if share.is_none() {
            reader.invalid(node, key, &"expected a number from 0 to 1");
        }
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_without_its_signals() {
        for (text, metrics) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
            ("https://otlp.example.com/otlp/", "https://otlp.example.com/otlp/v1/metrics"),
        ] {
            assert_eq!(text.parse::<OtlpEndpoint>().unwrap().signal("metrics"), metrics);
        }
        for wrong in
            ["collector:4318", "ftp://x", "http://a:b@x", "http://x?y", "http://x/#y", "http://x/v1/traces", "https://"]
        {
            assert!(wrong.parse::<OtlpEndpoint>().is_err(), "{wrong}");
        }
        assert!("http://10.0.0.1:4318".parse::<OtlpEndpoint>().unwrap().is_plain_and_far());
        assert!(!"http://localhost:4318".parse::<OtlpEndpoint>().unwrap().is_plain_and_far());
    }
}
