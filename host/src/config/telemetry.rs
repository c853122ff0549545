//! `[telemetry]`: the values of its headers.

use http::{HeaderName, HeaderValue};

use super::key::Key;
use super::keys::Config;
use super::reader::Reader;
use crate::secret::Secret;

/// Headers that the requests have by themselves.
const OWN_HEADERS: [&str; 4] = ["content-type", "content-length", "host", "transfer-encoding"];

/// The headers of every request to the endpoint. Their values are secrets.
#[derive(Clone, Debug, Default)]
pub struct TelemetryHeaders(pub Vec<(HeaderName, Secret)>);

/// Resolves the values of the headers.
pub(super) fn headers(config: &Config, reader: &mut Reader<'_>) -> TelemetryHeaders {
    let mut headers = Vec::new();
    let environment = reader.environment;
    for (name, template) in &config.telemetry.headers {
        let key = Key::from("telemetry.headers").child(name);
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        let Some(header) = header.filter(|header| !OWN_HEADERS.contains(&header.as_str())) else {
            reader.conflict(&[key], "no header of this name can be set");
            continue;
        };
        match template.resolve(|name| environment.lookup(name)) {
            Ok(value) if value.trim().is_empty() => reader.conflict(&[key], "an empty value; leave the header out"),
            Ok(value) if HeaderValue::from_str(&value).is_err() => {
                reader.conflict(&[key], "its value has characters that no header may have");
            }
            Ok(value) => headers.push((header, Secret::new(value))),
            Err(errors) => {
                let source = reader.source_of(&key);
                errors.into_iter().for_each(|error| reader.problem(&source, &key, error.into()));
            }
        }
    }
    TelemetryHeaders(headers)
}
