//! Faults in plugins' schemas that clients or models' APIs do not bear: one tool of that kind costs a person every
//! request of the conversation. The schemas of typed functions have none of it.

use serde_json::{Map, Value};

use super::MAX_SAFE;
use crate::plugins::types::shape::MAX_PROPERTY_CHARS;
use crate::sanitize::{clean, cut};

/// Keywords with a number.
const NUMBERS: [&str; 13] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
];

/// Keywords with a schema, or with an array of schemas.
const SCHEMAS: [&str; 16] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "allOf",
    "anyOf",
    "oneOf",
    "contentSchema",
];

/// Keywords with schemas under names.
const NAMED: [&str; 6] =
    ["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"];

/// Bytes of a place that a warning repeats.
const MAX_PLACE_BYTES: usize = 120;

/// The faults of a schema, each kind once, with its first place.
pub(in crate::plugins) fn lint(schema: &Map<String, Value>) -> Vec<String> {
    let mut found: Vec<SchemaFault> = Vec::new();
    each(schema, "", &mut |schema, place| {
        for problem in problems(schema, place.is_empty()) {
            match found.iter_mut().find(|known| known.problem == problem) {
                Some(known) => known.more += 1,
                None => found.push(SchemaFault { problem, place: place.to_owned(), more: 0 }),
            }
        }
    });
    found.iter().map(SchemaFault::to_string).collect()
}

struct SchemaFault {
    problem: &'static str,
    place: String,
    more: usize,
}

impl std::fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place =
            if self.place.is_empty() { "the root".to_owned() } else { cut(&clean(&self.place), MAX_PLACE_BYTES) };
        write!(f, "{place}: {}", self.problem)?;
        if self.more > 0 {
            write!(f, " (and {} more of this kind)", self.more)?;
        }
        Ok(())
    }
}

/// Shows every subschema, with its place as a JSON pointer. A schema of `true` or `false` has nothing to show.
pub(super) fn each(schema: &Map<String, Value>, place: &str, show: &mut impl FnMut(&Map<String, Value>, &str)) {
    show(schema, place);
    for (keyword, value) in schema {
        let named = NAMED.contains(&keyword.as_str());
        match value {
            Value::Object(schemas) if named => {
                for (name, schema) in schemas {
                    within(schema, &format!("{place}/{keyword}/{name}"), show);
                }
            }
            Value::Array(schemas) if SCHEMAS.contains(&keyword.as_str()) => {
                for (index, schema) in schemas.iter().enumerate() {
                    within(schema, &format!("{place}/{keyword}/{index}"), show);
                }
            }
            value if !named && SCHEMAS.contains(&keyword.as_str()) => {
                within(value, &format!("{place}/{keyword}"), show)
            }
            _ => {}
        }
    }
}

fn within(schema: &Value, place: &str, show: &mut impl FnMut(&Map<String, Value>, &str)) {
    if let Value::Object(schema) = schema {
        each(schema, place, show);
    }
}

/// The same of one subschema alone, its own subschemas left out.
pub(super) fn problems(schema: &Map<String, Value>, is_root: bool) -> Vec<&'static str> {
    let has = |keyword: &str| schema.contains_key(keyword);
    let literals = ["const", "default"].iter().filter_map(|keyword| schema.get(*keyword));
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut numbers = NUMBERS.iter().filter_map(|keyword| schema.get(*keyword)).chain(literals).chain(listed);
    let rules = [
        (
            numbers.any(is_rounded),
            "a number beyond ±(2^53-1): JavaScript clients round it, and models' APIs then refuse the whole request",
        ),
        (
            (is_array(schema) || has("prefixItems")) && !schema.get("items").is_some_and(Value::is_object),
            "an array without an `items` object: VS Code, OpenAI and Gemini refuse it",
        ),
        (has("const") && !has("type"), "a `const` without a `type`: some clients refuse it"),
        (
            schema.get("uniqueItems") == Some(&Value::Bool(true)),
            "`uniqueItems`: some models' APIs refuse it; let the tool refuse repetitions",
        ),
        (
            schema
                .get("properties")
                .and_then(Value::as_object)
                .is_some_and(|all| !all.keys().all(|name| is_taken(name))),
            "a property name with other characters than letters, digits, `_`, `.` and `-`, or with more than 64 of them: \
             Anthropic's API refuses the whole request",
        ),
        (
            is_root && ["oneOf", "anyOf", "allOf"].into_iter().any(has),
            "`oneOf`, `anyOf` or `allOf` at the root: models' APIs refuse the whole request",
        ),
        (
            has("$ref") || has("$dynamicRef"),
            "a reference: several clients do not follow it; write the schema out where it is used",
        ),
    ];
    rules.into_iter().filter_map(|(is_broken, problem)| is_broken.then_some(problem)).collect()
}

fn is_rounded(value: &Value) -> bool {
    let Value::Number(number) = value else { return false };
    match (number.as_u64(), number.as_i64()) {
        (Some(number), _) => number > MAX_SAFE,
        (_, Some(number)) => number.unsigned_abs() > MAX_SAFE,
        _ => number.as_f64().is_some_and(|number| number.abs() > MAX_SAFE as f64),
    }
}

fn is_array(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(Value::String(ty)) => ty == "array",
        Some(Value::Array(types)) => types.iter().any(|ty| ty == "array"),
        _ => false,
    }
}

fn is_taken(name: &str) -> bool {
    (1..=MAX_PROPERTY_CHARS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_is_found_at_any_depth() {
        let long = "x".repeat(65);
        let rows = [
            (json!({ "type": "integer", "maximum": u64::MAX }), "a number beyond"),
            (json!({ "type": "integer", "minimum": i64::MIN }), "a number beyond"),
            (json!({ "type": "number", "exclusiveMaximum": 1e300 }), "a number beyond"),
            (json!({ "type": "integer", "const": 1_u64 << 53 }), "a number beyond"),
            (json!({ "type": "integer", "enum": [1, u64::MAX] }), "a number beyond"),
            (json!({ "type": "array" }), "an array without"),
            (json!({ "type": ["array", "null"], "items": true }), "an array without"),
            (json!({ "type": "array", "items": [{ "type": "string" }] }), "an array without"),
            (json!({ "prefixItems": [{ "type": "string" }] }), "an array without"),
            (json!({ "const": true }), "a `const` without"),
            (json!({ "type": "array", "items": {}, "uniqueItems": true }), "`uniqueItems`"),
            (json!({ "type": "object", "properties": { long: {} } }), "a property name"),
            (json!({ "type": "object", "properties": { "a b": {} } }), "a property name"),
            (json!({ "$ref": "#/$defs/a" }), "a reference"),
        ];
        for (schema, expected) in rows {
            let alone = lint(json!({ "type": "object", "properties": { "a": schema } }).as_object().unwrap());
            assert!(alone[0].starts_with(&format!("/properties/a: {expected}")), "{alone:?}");
            for deep in [
                json!({ "items": { "anyOf": [{ "type": "string" }, schema] } }),
                json!({ "$defs": { "a": { "additionalProperties": schema } } }),
                json!({ "prefixItems": [{ "not": schema }], "items": {} }),
            ] {
                let found = lint(deep.as_object().unwrap());
                assert!(found.len() == 1 && found[0].contains(expected), "{deep}: {found:?}");
            }
        }
        let root = lint(json!({ "type": "object", "anyOf": [] }).as_object().unwrap());
        assert!(root[0].starts_with("the root: `oneOf`"), "{root:?}");
    }

    #[test]
    fn what_every_client_takes_is_not_warned_of() {
        let schema = json!({
            "type": "object",
            "properties": {
                "maximum": { "type": "integer", "minimum": 0, "maximum": (1_u64 << 53) - 1 },
                "prefixItems": { "type": "array", "prefixItems": [{ "type": "string" }], "items": {} },
                "uniqueItems": { "type": "boolean", "const": true, "description": "a name, no keyword" },
            },
            "examples": [{ "maximum": u64::MAX }],
            "additionalProperties": false,
        });
        assert_eq!(lint(schema.as_object().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn each_kind_is_told_once() {
        let many = json!({ "properties": { "a": { "const": 1 }, "b": { "const": 2 }, "c": { "const": 3 } } });
        let found = lint(many.as_object().unwrap());
        assert!(found.len() == 1 && found[0].ends_with("(and 2 more of this kind)"), "{found:?}");
    }
}
