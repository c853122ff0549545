//! The arguments of a tool in words, from the JSON Schema that clients get: for people without script, and for models.

use serde_json::{Map, Value};

use crate::sanitize;

/// Objects in objects that are told of.
const MAX_DEPTH: usize = 4;

/// Arguments of one tool that are told of; the schema has the rest.
const MAX_ARGUMENTS: usize = 100;

/// Choices of one argument that are named.
const MAX_CHOICES: usize = 24;

/// Bytes of one value that are shown.
const MAX_VALUE_BYTES: usize = 80;

/// One argument, or a field of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Argument {
    /// Its place: `filter.tags[]`.
    pub(super) path: String,
    /// The values that it takes.
    pub(super) kind: String,
    /// A call without it is refused.
    pub(super) is_required: bool,
    /// What the author says of it.
    pub(super) description: Option<String>,
}

/// The arguments in the order of the schema, each followed by its fields.
pub(super) fn arguments(schema: &Map<String, Value>) -> Vec<Argument> {
    let mut arguments = Vec::new();
    fields(schema, "", 0, &mut arguments);
    arguments
}

fn fields(schema: &Map<String, Value>, path: &str, depth: usize, arguments: &mut Vec<Argument>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (name, property) in properties {
        if depth >= MAX_DEPTH || arguments.len() >= MAX_ARGUMENTS {
            return;
        }
        let none = Map::new();
        let property = property.as_object().unwrap_or(&none);
        let path = if path.is_empty() { sanitize::escape(name) } else { format!("{path}.{}", sanitize::escape(name)) };
        let description = property.get("description").and_then(Value::as_str).map(sanitize::clean);
        arguments.push(Argument {
            path: path.clone(),
            kind: kind(property),
            is_required: required.iter().any(|required| required == name),
            description: description.filter(|description| !description.is_empty()),
        });
        let (inner, path) = innermost(property, path);
        fields(inner, &path, depth + 1, arguments);
    }
}

/// The schema behind all lists, with the place of its values.
fn innermost(mut schema: &Map<String, Value>, mut path: String) -> (&Map<String, Value>, String) {
    for _ in 0..MAX_DEPTH {
        let Some(items) = schema.get("items").and_then(Value::as_object) else { break };
        path.push_str("[]");
        schema = items;
    }
    (schema, path)
}

/// The values that a schema takes, in words.
fn kind(schema: &Map<String, Value>) -> String {
    let words = kind_at(schema, 0);
    match schema.get("default") {
        Some(default) => format!("{words}; without it {}", value(default)),
        None => words,
    }
}

fn kind_at(schema: &Map<String, Value>, depth: usize) -> String {
    if let Some(only) = schema.get("const") {
        return value(only);
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return one_of(choices);
    }
    if let Some(options) = ["anyOf", "oneOf"].iter().find_map(|keyword| schema.get(*keyword)?.as_array()) {
        return alternatives(options, depth);
    }
    match schema.get("type") {
        Some(Value::String(name)) => of_type(name, schema, depth),
        Some(Value::Array(names)) => {
            let names: Vec<String> =
                names.iter().filter_map(Value::as_str).map(|name| of_type(name, schema, depth)).collect();
            names.join(" or ")
        }
        _ => "any JSON".to_owned(),
    }
}

fn one_of(choices: &[Value]) -> String {
    let named: Vec<String> = choices.iter().take(MAX_CHOICES).map(value).collect();
    let more = choices.len().saturating_sub(MAX_CHOICES);
    let named = named.join(", ");
    if more == 0 { format!("one of {named}") } else { format!("one of {named} and {more} more") }
}

fn alternatives(options: &[Value], depth: usize) -> String {
    if depth >= MAX_DEPTH {
        return "any JSON".to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    for option in options.iter().filter_map(Value::as_object).take(MAX_CHOICES) {
        let option = kind_at(option, depth + 1);
        if !words.contains(&option) {
            words.push(option);
        }
    }
    if words.is_empty() { "any JSON".to_owned() } else { words.join(" or ") }
}

fn of_type(name: &str, schema: &Map<String, Value>, depth: usize) -> String {
    match name {
        "string" => match schema.get("format").and_then(Value::as_str) {
            Some(format) => format!("text ({})", cut(format)),
            None => format!("text{}", lengths(schema, ["minLength", "maxLength"], "characters")),
        },
        "integer" => format!("whole number{}", range(schema)),
        "number" => format!("number{}", range(schema)),
        "boolean" => "true or false".to_owned(),
        "array" => {
            let items = schema.get("items").and_then(Value::as_object).filter(|_| depth < MAX_DEPTH);
            let items = items.map_or_else(|| "any JSON".to_owned(), |items| kind_at(items, depth + 1));
            format!("list of {items}{}", lengths(schema, ["minItems", "maxItems"], "entries"))
        }
        "object" => "object".to_owned(),
        "null" => "nothing".to_owned(),
        other => cut(other),
    }
}

fn range(schema: &Map<String, Value>) -> String {
    let bound = |name: &str| schema.get(name).filter(|bound| bound.is_number()).map(value);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

fn lengths(schema: &Map<String, Value>, [least, most]: [&str; 2], what: &str) -> String {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    match (bound(least), bound(most)) {
        (Some(least), Some(most)) if least == most => format!(", {least} {what}"),
        (Some(least), Some(most)) => format!(", {least} to {most} {what}"),
        (Some(least), None) => format!(", at least {least} {what}"),
        (None, Some(most)) => format!(", at most {most} {what}"),
        (None, None) => String::new(),
    }
}

/// A value of JSON, shortened.
fn value(json: &Value) -> String {
    cut(&json.to_string())
}

fn cut(text: &str) -> String {
    sanitize::cut(&sanitize::escape(text), MAX_VALUE_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: &Value) -> Vec<String> {
        let schema = schema.as_object().unwrap().clone();
        let told = arguments(&schema).into_iter().map(|argument| {
            let description = argument.description.map(|text| format!(": {text}")).unwrap_or_default();
            format!("{}{} {}{description}", argument.path, if argument.is_required { "!" } else { "" }, argument.kind)
        });
        told.collect()
    }

    #[test]
    fn arguments_are_told_with_their_place_and_their_values() {
        let schema = json!({
            "properties": {
                "city": { "type": "string", "description": "where" },
                "days": { "type": "integer", "minimum": 1, "maximum": 16, "default": 3 },
                "unit": { "enum": ["c", "f"] },
                "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 4 },
                "filter": { "type": "object", "properties": { "deep": { "type": "boolean" } }, "required": ["deep"] },
                "places": { "type": "array", "items": { "properties": { "at": { "type": ["number", "null"] } }, "type": "object" } },
                "either": { "anyOf": [{ "type": "string" }, { "type": "number" }, { "type": "string" }] },
                "any": true,
            },
            "required": ["city"],
        });
        assert_eq!(
            told(&schema),
            [
                "city! text: where",
                "days whole number, 1 to 16; without it 3",
                "unit one of \"c\", \"f\"",
                "tags list of text, at most 4 entries",
                "filter object",
                "filter.deep! true or false",
                "places list of object",
                "places[].at number or nothing",
                "either text or number",
                "any any JSON",
            ]
        );
    }

    #[test]
    fn a_schema_without_end_is_told_to_a_bound() {
        let mut schema = json!({ "type": "object" });
        for _ in 0..100 {
            schema = json!({ "type": "object", "properties": { "in": schema } });
        }
        assert_eq!(told(&schema).len(), MAX_DEPTH);
        let many: Map<String, Value> = (0..1000).map(|number| (number.to_string(), json!({}))).collect();
        assert_eq!(told(&json!({ "properties": many })).len(), MAX_ARGUMENTS);
        let choices: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert!(told(&json!({ "properties": { "a": { "enum": choices } } }))[0].ends_with("and 976 more"));
    }

    #[test]
    fn hostile_names_and_values_are_written_out() {
        let shown = told(&json!({ "properties": { "a\u{202e}b": { "const": "\u{202e}x" } } }));
        assert!(!shown[0].contains('\u{202e}'), "{shown:?}");
    }
}
