//! Values of a case: as they are written, without variables.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method, Uri};
use schemars::json_schema;
use serde_json::{Map, Value as Json};

use crate::config::document::{Node, Value};
use crate::config::free;
use crate::config::key::Key;
use crate::config::reader::{Reader, Setting};
use crate::config::schema::inline_schema;
use crate::grants::rule::Methods;
use crate::grants::target::Target;

/// A text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verbatim(String);

/// Any value, as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Anything(pub Json);

/// A JSON object: a table, or a text of JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(pub Map<String, Json>);

/// A value that is written as a text of JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonText(pub Json);

/// A method of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Verb(pub Method);

/// The URL of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Place(Target);

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status(pub http::StatusCode);

impl Verbatim {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Place {
    /// Scheme, host, port, path and query.
    pub fn target(&self) -> &Target {
        &self.0
    }
}

/// Headers by name, in small letters.
///
/// # Errors
/// The first that no message has.
pub fn headers(written: &BTreeMap<String, Verbatim>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): (&String, &Verbatim)| {
        let read = HeaderName::try_from(name.as_str()).ok();
        let value = HeaderValue::try_from(value.as_str()).ok();
        read.zip(value).ok_or_else(|| format!("`{name}` is no header, or its value has characters that no header has"))
    };
    written.iter().map(header).collect()
}

/// True for a header by which a message is told from the next one on its connection.
pub fn is_of_connection(name: &str) -> bool {
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]
        .contains(&name.to_ascii_lowercase().as_str())
}

impl Setting for Verbatim {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(Self(text.clone())),
            _ => {
                reader.wrong_type(node, key, "a string");
                None
            }
        }
    }
}

impl Setting for Anything {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        json(node, key, reader).map(Self)
    }
}

impl Setting for Object {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Table(_) => match json(node, key, reader)? {
                Json::Object(object) => Some(Self(object)),
                _ => None,
            },
            Value::Text(text) => match serde_json::from_str(text) {
                Ok(object) => Some(Self(object)),
                Err(error) => {
                    reader.invalid(node, key, &format!("not a JSON object: {error}"));
                    None
                }
            },
            _ => {
                reader.wrong_type(node, key, "a table, or a string with a JSON object");
                None
            }
        }
    }
}

impl Setting for JsonText {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let Verbatim(text) = Verbatim::read(node, key, reader)?;
        serde_json::from_str(&text)
            .map_err(|error| reader.invalid(node, key, &format!("not JSON: {error}")))
            .ok()
            .map(Self)
    }
}

impl Setting for Verb {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let Verbatim(text) = Verbatim::read(node, key, reader)?;
        Methods::parse_one(&text).map_err(|error| reader.invalid(node, key, &error)).ok().map(Self)
    }
}

impl Setting for Place {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let Verbatim(text) = Verbatim::read(node, key, reader)?;
        target(&text).map_err(|reason| reader.invalid(node, key, &reason)).ok().map(Self)
    }
}

fn target(text: &str) -> Result<Target, String> {
    if text.contains('#') {
        return Err("nothing from `#` on is sent: leave it out".to_owned());
    }
    let url: Uri = text.parse().map_err(|error| format!("no URL: {error}"))?;
    let path = url.path_and_query().map(|path| path.as_str());
    Target::parse(url.scheme_str(), url.authority().map(|it| it.as_str()), path).map_err(|error| error.to_string())
}

impl Setting for Status {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Integer(number) = node.value else {
            reader.wrong_type(node, key, "a status such as 200");
            return None;
        };
        let status = u16::try_from(number).ok().and_then(|number| http::StatusCode::from_u16(number).ok());
        match status.filter(|status| (200..600).contains(&status.as_u16())) {
            Some(status) => Some(Self(status)),
            None => {
                reader.invalid(node, key, &"the status of an answer is from 200 to 599");
                None
            }
        }
    }
}

fn json(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Json> {
    free::json(node, key, reader, |_, written, _, _| Some(written.to_owned()))
}

inline_schema!(Verbatim => json_schema!({ "type": "string" }));
inline_schema!(Anything => json_schema!(true));
inline_schema!(Object => json_schema!({ "type": ["object", "string"] }));
inline_schema!(JsonText => json_schema!({ "type": "string" }));
inline_schema!(Verb => json_schema!({ "type": "string" }));
inline_schema!(Place => json_schema!({ "type": "string" }));
inline_schema!(Status => json_schema!({ "type": "integer" }));
