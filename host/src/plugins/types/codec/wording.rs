//! The words of the codec's messages: values that a type takes, the value that came, names that exist.

use std::collections::HashSet;

use serde_json::Value;

use crate::plugins::types::shape::{Field, Integer, Label, Shape};
use crate::sanitize::escape_json;
pub(super) use crate::sanitize::is_blank;

/// Characters of a caller's string that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// Names that a message lists.
const MAX_LISTED_NAMES: usize = 10;

/// Names that are compared with a misspelt one; comparing takes time, and the misspelling is the caller's.
const MAX_COMPARED_NAMES: usize = 256;

/// The text for a caller when a tool fails without a word.
const SILENT_FAILURE: &str = "the tool failed and gave no reason";

/// The text for a caller when a tool refuses the request without a word.
const SILENT_REFUSAL: &str = "the tool refused the request and gave no reason";

/// A tool's own account of its failure, in words that a reader sees.
pub(super) fn reason(text: String) -> String {
    if is_blank(&text) { SILENT_FAILURE.to_owned() } else { text }
}

/// The same of a request that a tool does not take.
pub(super) fn refusal(text: String) -> String {
    if is_blank(&text) { SILENT_REFUSAL.to_owned() } else { text }
}

/// The values of a type: "a string", "an integer from 0 to 255".
pub(super) fn expectation(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "true or false".to_owned(),
        Shape::Integer(integer) => integer_expectation(*integer),
        // As the schema has them: `f32::MAX` itself prints as a number that lies above it.
        Shape::F32 => format!("a number from {:e} to {:e}", f64::from(f32::MIN), f64::from(f32::MAX)),
        Shape::F64 => "a number".to_owned(),
        Shape::Char => "a string of one character".to_owned(),
        Shape::String => "a string".to_owned(),
        Shape::Bytes => "a base64 string (standard alphabet, padded)".to_owned(),
        Shape::List(_) => "an array".to_owned(),
        Shape::Map(_) => "an object, with a property for each key".to_owned(),
        Shape::Entries(_) => "an array of objects, each with the properties `key` and `value`".to_owned(),
        Shape::Tuple(items) => format!("an array of {}", counted(items.len(), "item", "items")),
        Shape::Record(_) => "an object".to_owned(),
        Shape::Variant(cases) => one_key(&listed(cases.iter().map(|case| case.name.as_str()), None)),
        Shape::Enum(labels) => format!("one of {}", listed(names(labels), None)),
        Shape::Option(value) => format!("{}, or null", expectation(value)),
        Shape::Result { .. } => one_key("`ok`, `err`"),
        Shape::Flags(labels) => format!("an array of names out of {}", listed(names(labels), None)),
    }
}

fn integer_expectation(integer: Integer) -> String {
    format!("an integer from {} to {}", integer.minimum(), integer.maximum())
}

fn one_key(keys: &str) -> String {
    format!("an object with exactly one of the keys {keys}")
}

/// A value that came: its type and, where it is short, the value.
pub(super) fn description(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("number {number}"),
        Value::String(text) => format!("string {}", quoted(text)),
        Value::Array(items) => format!("an array of {}", counted(items.len(), "item", "items")),
        Value::Object(object) => {
            format!("an object with {}", counted(object.len(), "property", "properties"))
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A caller's string as a JSON string, cut to a length that a message can bear, and with escapes for characters that nobody
/// sees, since one of them may be what is wrong.
pub(super) fn quoted(text: &str) -> String {
    let shortened = match text.char_indices().nth(MAX_QUOTED_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    };
    escape_json(&Value::String(shortened).to_string())
}

/// True if a property's name needs no quotes in a path.
pub(super) fn is_plain(name: &str) -> bool {
    name.len() <= MAX_QUOTED_CHARS
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The names of an enum or of flags.
pub(super) fn names(labels: &[Label]) -> impl Iterator<Item = &str> {
    labels.iter().map(|label| label.name.as_str())
}

/// The first property that no field stands for. Constant time for each property: there may be as many as fit into a
/// request.
pub(super) fn unknown_property<'a>(fields: &[Field], properties: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let known: HashSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    properties.map(String::as_str).find(|name| !known.contains(name))
}

/// The names in backquotes, the one most like `misspelt` first.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>, misspelt: Option<&str>) -> String {
    let mut names: Vec<&str> = names.collect();
    if let Some(misspelt) = misspelt {
        let misspelt = start(misspelt);
        let distance = |name: &str| strsim::osa_distance(&misspelt, &start(name));
        let compared = names.iter().take(MAX_COMPARED_NAMES).enumerate();
        if let Some((nearest, _)) = compared.min_by_key(|(_, name)| distance(name)) {
            names[..=nearest].rotate_right(1);
        }
    }
    let mut text = String::new();
    for (index, name) in names.iter().take(MAX_LISTED_NAMES).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        text.push_str(&format!("{comma}`{}`", start(name)));
    }
    if let Some(more @ 1..) = names.len().checked_sub(MAX_LISTED_NAMES) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn start(name: &str) -> String {
    name.chars().take(MAX_QUOTED_CHARS).collect()
}
