//! Values under names that the configuration does not know: a provider's keys, a plugin's own settings.

use std::fmt;

use schemars::json_schema;
use serde_json::{Number, Value as Json};

use super::document::{Node, Value};
use super::effective::REDACTED;
use super::key::Key;
use super::reader::{Reader, Setting};
use super::schema::inline_schema;
use super::template::Template;

/// The tables in which texts stay as they are written: `provider` replaces the variables of the chosen one alone.
const PROVIDERS: &str = "auth.providers";

/// A value of any type except a date, as a text: a string as it is, and anything else as JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Free(String);

impl fmt::Debug for Free {
    /// Hides the text: among a provider's keys may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Free(..)")
    }
}

impl Free {
    /// The text of a JSON value.
    pub(super) fn of(value: &Json) -> Self {
        Self(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for Free {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match json(node, key, reader, text)? {
            Json::String(text) => Some(Self(text)),
            other => Some(Self(other.to_string())),
        }
    }

    /// As it was written, except for values whose names tell of secrets.
    fn shown(node: &Node, name: &str) -> String {
        if is_secret(name) {
            return REDACTED.to_owned();
        }
        node.value.toml(is_secret)
    }
}

inline_schema!(Free => json_schema!({ "type": ["string", "integer", "number", "boolean", "array", "object"] }));

/// A text with its variables; of a provider as it is written, once these are known to be there.
fn text(node: &Node, written: &str, key: &Key, reader: &mut Reader<'_>) -> Option<String> {
    if key.is_within(&PROVIDERS.into()) {
        Template::read(node, key, reader)?;
        return Some(written.to_owned());
    }
    reader.text(node, key, "a value")
}

/// What a text of a value is read as.
pub(super) type ReadText = fn(&Node, &str, &Key, &mut Reader<'_>) -> Option<String>;

/// A value as JSON.
pub(super) fn json(node: &Node, key: &Key, reader: &mut Reader<'_>, text: ReadText) -> Option<Json> {
    Some(match &node.value {
        Value::Text(written) => Json::String(text(node, written, key, reader)?),
        Value::Integer(integer) => Json::from(*integer),
        Value::Float(float) => match Number::from_f64(*float) {
            Some(number) => Json::Number(number),
            None => {
                reader.invalid(node, key, &"expected a finite number: the value is used as JSON, which has no other");
                return None;
            }
        },
        Value::Boolean(boolean) => Json::Bool(*boolean),
        Value::Datetime(_) => {
            reader.wrong_type(node, key, "anything but a datetime; write it as a string");
            return None;
        }
        Value::List(items) => {
            let items: Vec<Option<Json>> = items.iter().map(|item| json(item, key, reader, text)).collect();
            Json::Array(items.into_iter().collect::<Option<_>>()?)
        }
        Value::Table(table) => {
            let entries: Vec<Option<(String, Json)>> = table
                .iter()
                .map(|(name, node)| Some((name.clone(), json(node, &key.child(name), reader, text)?)))
                .collect();
            Json::Object(entries.into_iter().collect::<Option<_>>()?)
        }
    })
}

/// True for a name whose value nobody may see.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["secret", "password", "private_key", "api_key"].iter().any(|word| name.contains(word))
}
