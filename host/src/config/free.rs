//! Values under names that the configuration does not know: a provider's keys, a plugin's own settings.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Number, Value as Json};

use super::document::{Node, Value};
use super::in_force::REDACTED;
use super::key::{Key, quoted};
use super::reader::{Reader, Setting};
use super::template::Template;

/// A value of any type but a date. Its texts stay templates until somebody asks for them.
#[derive(Clone, Debug, PartialEq)]
pub enum Free {
    /// A string.
    Text(Template),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    List(Vec<Free>),
    /// A table.
    Table(BTreeMap<String, Free>),
}

impl Setting for Free {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(_) => Template::read(node, key, reader).map(Self::Text),
            Value::Integer(integer) => Some(Self::Integer(*integer)),
            Value::Float(float) => Some(Self::Float(*float)),
            Value::Boolean(boolean) => Some(Self::Boolean(*boolean)),
            Value::Datetime(_) => {
                reader.wrong_type(node, key, "anything but a datetime; write it as a string".to_owned());
                None
            }
            Value::List(items) => {
                let items: Vec<Option<Self>> = items.iter().map(|item| Self::read(item, key, reader)).collect();
                items.into_iter().collect::<Option<_>>().map(Self::List)
            }
            Value::Table(table) => {
                let entry =
                    |(name, node): (&String, &Node)| Some((name.clone(), Self::read(node, &key.child(name), reader)?));
                let entries: Vec<Option<_>> = table.iter().map(entry).collect();
                entries.into_iter().collect::<Option<_>>().map(Self::Table)
            }
        }
    }

    /// As it was written, but for what the names say is a secret.
    fn shown(node: &Node, name: &str) -> String {
        if is_secret(name) {
            return REDACTED.to_owned();
        }
        match &node.value {
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(|item| Self::shown(item, name)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Table(table) => {
                let entry = |(name, node): (&String, &Node)| format!("{} = {}", quoted(name), Self::shown(node, name));
                let entries: Vec<String> = table.iter().map(entry).collect();
                format!("{{ {} }}", entries.join(", "))
            }
            scalar => scalar.to_string(),
        }
    }
}

/// A setting of a plugin as the plugin gets it: a string as it is, its variables replaced, and anything else as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSetting(String);

impl PluginSetting {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for PluginSetting {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match json(node, key, reader)? {
            Json::String(text) => Some(Self(text)),
            other => Some(Self(other.to_string())),
        }
    }

    fn shown(node: &Node, name: &str) -> String {
        Free::shown(node, name)
    }
}

impl JsonSchema for PluginSetting {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PluginSetting".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Free::json_schema(generator)
    }
}

/// A value with its variables replaced.
fn json(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Json> {
    Some(match &node.value {
        Value::Text(_) => Json::String(reader.text(node, key, "a value".to_owned())?),
        Value::Integer(integer) => Json::from(*integer),
        Value::Float(float) => match Number::from_f64(*float) {
            Some(number) => Json::Number(number),
            None => {
                reader.unfit(node, key, &"a plugin gets it as JSON, which has no such number");
                return None;
            }
        },
        Value::Boolean(boolean) => Json::Bool(*boolean),
        Value::Datetime(_) => {
            reader.wrong_type(node, key, "anything but a datetime; write it as a string".to_owned());
            return None;
        }
        Value::List(items) => {
            let items: Vec<Option<Json>> = items.iter().map(|item| json(item, key, reader)).collect();
            Json::Array(items.into_iter().collect::<Option<_>>()?)
        }
        Value::Table(table) => {
            let entries: Vec<Option<(String, Json)>> =
                table.iter().map(|(name, node)| Some((name.clone(), json(node, &key.child(name), reader)?))).collect();
            Json::Object(entries.into_iter().collect::<Option<_>>()?)
        }
    })
}

impl JsonSchema for Free {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Free".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "number", "boolean", "array", "object"] })
    }
}

/// Whether a value of this name is not for anybody's eyes.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["secret", "password", "private_key", "api_key"].iter().any(|word| name.contains(word))
}
