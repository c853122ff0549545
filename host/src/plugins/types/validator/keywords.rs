//! Keywords of this host: the step of every subschema, and keywords of JSON Schema whose own implementation takes time
//! that grows with the product of schema and value.

use std::collections::HashSet;

use jsonschema::{Keyword, ValidationError};
use regex::bytes::RegexBuilder;
use serde_json::{Map, Value};

use super::budget;
use super::digest::digest;

/// The keyword by which a subschema counts. No schema of the world uses it, and none gets to see it.
pub(super) const STEP: &str = "x-tinymcp-step";

/// In place of `enum`, and of `uniqueItems`.
pub(super) const ONE_OF: &str = "x-tinymcp-enum";
pub(super) const UNIQUE: &str = "x-tinymcp-unique-items";

/// An `enum` of fewer values is held against a value one by one.
const FEW: usize = 16;

/// The bytes of the automaton of one pattern: a short one with `\\pL{25}` in it takes megabytes.
pub(super) const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// Sizes of automata that are told apart.
const PATTERN_SIZES: [usize; 5] = [1024, 2 * 1024, 4 * 1024, 16 * 1024, 64 * 1024];

/// A text is not matched with a pattern if bytes of the one by bytes of the other's automaton are more. At the worst,
/// every state of an automaton is looked at for every character, and nothing can stop that: a second or two.
const MAX_MATCH: usize = 1 << 34;

/// A text that should be a pattern is not read if it is longer.
const MAX_PATTERN_TEXT: usize = 64 * 1024;

/// The step of a subschema, with the numbers that its work grows with.
pub(super) struct Step {
    /// Entries of its keywords, subschemas left out.
    entries: usize,
    /// Bytes of the automaton of its `pattern`.
    pattern: usize,
    /// Bytes of all automata that the names of properties are matched with.
    name_patterns: usize,
    is_pattern: bool,
}

impl Step {
    /// The step of a subschema within a schema whose patterns have `all_patterns` bytes.
    pub(super) fn of(schema: &Map<String, Value>, all_patterns: usize) -> Self {
        let pattern = schema.get("pattern").and_then(Value::as_str).map_or(0, pattern_bytes);
        let named = schema.get("patternProperties").and_then(Value::as_object);
        let named = named.into_iter().flat_map(Map::keys).map(|name| pattern_bytes(name)).sum();
        let entries = schema.iter().map(|(keyword, value)| match (keyword.as_str(), value) {
            ("enum" | "const", literal) => weight(literal),
            (_, Value::Object(entries)) => entries.len(),
            (_, Value::Array(entries)) => entries.len(),
            _ => 1,
        });
        Self {
            entries: entries.sum(),
            pattern,
            // Names are matched with the patterns of other subschemas too.
            name_patterns: if schema.contains_key("unevaluatedProperties") { all_patterns } else { named },
            is_pattern: schema.get("format").is_some_and(|format| format == "regex"),
        }
    }

    fn count(&self, value: &Value) {
        let (length, is_too_long) = match value {
            Value::String(text) => {
                let is_too_long = self.pattern.saturating_mul(text.len()) > MAX_MATCH
                    || (self.is_pattern && text.len() > MAX_PATTERN_TEXT);
                (text.len() / 64, is_too_long)
            }
            Value::Array(items) => (items.len(), false),
            Value::Object(members) if self.name_patterns > 0 => {
                let names: usize = members.keys().map(String::len).sum();
                (members.len(), self.name_patterns.saturating_mul(names) > MAX_MATCH)
            }
            Value::Object(members) => (members.len(), false),
            _ => (0, false),
        };
        if is_too_long {
            budget::exhausted();
        }
        budget::step(1 + self.entries + length);
    }
}

impl<'i> Keyword<'i> for Step {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.count(value);
        Ok(())
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.count(value);
        true
    }
}

/// `enum` of many values.
pub(super) struct OneOf {
    digests: HashSet<u128>,
    /// The weight of the largest.
    largest: usize,
}

impl OneOf {
    /// Tells whether an `enum` has to be of this kind. Those of texts alone are quick as they are.
    pub(super) fn takes(values: &[Value]) -> bool {
        values.len() > FEW && !values.iter().all(|value| value.is_string() || value.is_null())
    }

    pub(super) fn of(values: &Value) -> Self {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            digests: values.iter().map(|value| digest(value, &mut |_| {})).collect(),
            largest: values.iter().map(weight).max().unwrap_or_default(),
        }
    }
}

impl<'i> Keyword<'i> for OneOf {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        match Keyword::is_valid(self, value) {
            true => Ok(()),
            false => {
                let message = format!("{value} is not one of the {} values of `enum`", self.digests.len());
                Err(ValidationError::custom(message))
            }
        }
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        is_lighter(value, self.largest) && self.digests.contains(&digest(value, &mut budget::step))
    }
}

/// `uniqueItems`.
pub(super) struct UniqueItems;

impl<'i> Keyword<'i> for UniqueItems {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        match Keyword::is_valid(self, value) {
            true => Ok(()),
            false => Err(ValidationError::custom(format!("{value} has non-unique elements"))),
        }
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        let Value::Array(items) = value else { return true };
        let mut seen = HashSet::new();
        items.len() < 2 || items.iter().all(|item| seen.insert(digest(item, &mut budget::step)))
    }
}

/// The bytes of a pattern's automaton, or a little more. One that is not read here as JSON Schema reads it counts as the
/// largest.
pub(super) fn pattern_bytes(pattern: &str) -> usize {
    let fits = |bytes: &usize| {
        // JavaScript's classes are those of ASCII; only names of classes need Unicode.
        [false, true].iter().any(|unicode| {
            RegexBuilder::new(pattern).unicode(*unicode).size_limit(*bytes).dfa_size_limit(*bytes).build().is_ok()
        })
    };
    PATTERN_SIZES.into_iter().find(fits).unwrap_or(MAX_PATTERN_BYTES)
}

/// Values within a value, itself among them, and bytes of texts.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / 64,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(weight).sum::<usize>(),
        _ => 1,
    }
}

/// Tells whether a value's weight is not more; does no more work than that.
fn is_lighter(value: &Value, most: usize) -> bool {
    fn take(value: &Value, left: usize) -> Option<usize> {
        match value {
            Value::String(text) => left.checked_sub(1 + text.len() / 64),
            Value::Array(items) => items.iter().try_fold(left.checked_sub(1)?, |left, item| take(item, left)),
            Value::Object(members) => members.values().try_fold(left.checked_sub(1)?, |left, item| take(item, left)),
            _ => left.checked_sub(1),
        }
    }
    take(value, most).is_some()
}
