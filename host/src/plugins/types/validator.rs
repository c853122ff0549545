//! JSON Schemas that plugins hand over: checked once, then held against arguments and results.
//!
//! Both sides are strangers: a schema may be written so that checking a value takes longer than anybody lives. So every
//! subschema counts its steps, and a value that takes more than [`MAX_STEPS`] is refused. References to other documents
//! are never fetched, and patterns are matched by automata, in linear time.

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use jsonschema::{Keyword, PatternOptions, ValidationError};
use serde_json::{Map, Value};

use crate::sanitize::cut;

/// Subschemas that one value may be held against: some tenths of a second at the worst, where an honest schema and a
/// request of four megabytes take a fraction.
const MAX_STEPS: u32 = 2_000_000;

/// Subschemas of one schema. A chain of references makes as many levels of recursion of them.
const MAX_SUBSCHEMAS: usize = 2000;

/// Patterns of one schema, and the bytes of the automaton of each: a short one with `\\pL{25}` in it takes megabytes.
const MAX_PATTERNS: usize = 64;
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// Stack of the thread that reads a schema: some kilobytes for each level.
const BUILD_STACK_BYTES: usize = 64 << 20;

/// Stack that holding a value against a schema may take; threads have twice that.
const CHECK_STACK_BYTES: usize = 1 << 20;

/// Bytes of one schema. A model reads it in every conversation.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Bytes of a message, which repeats the value.
const MAX_MESSAGE_BYTES: usize = 300;

/// The keyword by which a subschema counts. No schema of the world uses it, and none gets to see it.
const STEP: &str = "x-tinymcp-step";

/// Keywords whose values are values, not schemas.
const LITERALS: [&str; 4] = ["const", "enum", "default", "examples"];

/// Keywords whose values are objects of schemas, under names that mean nothing.
const MAPS: [&str; 6] = ["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"];

thread_local! {
    static STEPS: Cell<u32> = const { Cell::new(0) };
    /// The stack's address when the check began.
    static BASE: Cell<usize> = const { Cell::new(0) };
}

/// A schema in force.
pub(in crate::plugins) struct Validator(jsonschema::Validator);

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validator(..)")
    }
}

/// A fault of a value, with its place.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::plugins) struct Misfit {
    /// The place as a JSON pointer; empty for the whole.
    pub(in crate::plugins) pointer: String,
    /// The fault.
    pub(in crate::plugins) problem: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.pointer, self.problem)
        }
    }
}

/// Ends a check that takes too many steps. There is no other way out of the library's recursion.
struct StepLimit;

struct Step;

impl Step {
    fn count(&self) {
        let is_too_deep = stack_address().abs_diff(BASE.get()) > CHECK_STACK_BYTES;
        match STEPS.get().checked_sub(1).filter(|_| !is_too_deep) {
            Some(left) => STEPS.set(left),
            None => panic::resume_unwind(Box::new(StepLimit)),
        }
    }
}

/// About where the stack is.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here) as usize
}

impl<'i> Keyword<'i> for Step {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        self.count();
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.count();
        true
    }
}

impl Validator {
    /// Reads a schema. Its root must be of type `object` if it is one of arguments.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(in crate::plugins) fn new(schema: &Map<String, Value>) -> Result<Self, String> {
        let schema = Value::Object(schema.clone());
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(format!("it has more than {MAX_SCHEMA_BYTES} bytes"));
        }
        let (subschemas, patterns) = size(&schema);
        if subschemas > MAX_SUBSCHEMAS || patterns > MAX_PATTERNS {
            return Err(format!("it has more than {MAX_SUBSCHEMAS} subschemas or {MAX_PATTERNS} patterns"));
        }
        let counting = counting(&schema);
        let build = || {
            jsonschema::options()
                .with_pattern_options(
                    PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES),
                )
                .with_keyword(STEP, |_, _, _| Ok(Box::new(Step)))
                .build(&counting)
                .map_err(|error| without_step(&error.to_string()))
        };
        let built = thread::scope(|scope| {
            let reading = thread::Builder::new().stack_size(BUILD_STACK_BYTES).spawn_scoped(scope, build);
            // Not even a mistake of the library may end a load.
            reading.map_err(|error| error.to_string())?.join().unwrap_or_else(|_| Err("it cannot be read".to_owned()))
        });
        built.map(Self)
    }

    /// Holds a value against the schema.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub(in crate::plugins) fn check(&self, value: &Value) -> Result<(), Misfit> {
        STEPS.set(MAX_STEPS);
        BASE.set(stack_address());
        let checked = panic::catch_unwind(AssertUnwindSafe(|| {
            if self.0.is_valid(value) {
                return Ok(());
            }
            let error = self.0.validate(value).err();
            Err(error.map(|error| (error.instance_path().to_string(), error.to_string())))
        }));
        let (pointer, problem) = match checked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Some(misfit))) => misfit,
            Ok(Err(None)) => (String::new(), "it does not fit the schema".to_owned()),
            Err(_) => (String::new(), "too much to check against this tool's schema".to_owned()),
        };
        Err(Misfit { pointer, problem: without_step(&problem) })
    }
}

/// A message without this module's own keyword, and not too long.
fn without_step(message: &str) -> String {
    let step = format!("\"{STEP}\":true");
    cut(&message.replace(&format!(",{step}"), "").replace(&step, ""), MAX_MESSAGE_BYTES)
}

/// The number of objects and patterns, about: more than there are subschemas.
fn size(schema: &Value) -> (usize, usize) {
    let add = |sum: (usize, usize), one: (usize, usize)| (sum.0 + one.0, sum.1 + one.1);
    match schema {
        Value::Object(members) => members.iter().fold((1, 0), |sum, (name, value)| {
            let patterns = match (name.as_str(), value) {
                ("pattern", _) => 1,
                ("patternProperties", Value::Object(patterns)) => patterns.len(),
                _ => 0,
            };
            add(add(sum, size(value)), (0, patterns))
        }),
        Value::Array(items) => items.iter().map(size).fold((0, 0), add),
        _ => (0, 0),
    }
}

/// The schema with a step in each of its subschemas.
fn counting(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let mut counting: Map<String, Value> = keywords
                .iter()
                .map(|(keyword, value)| {
                    let value = match value {
                        value if LITERALS.contains(&keyword.as_str()) => value.clone(),
                        Value::Object(schemas) if MAPS.contains(&keyword.as_str()) => {
                            schemas.iter().map(|(name, schema)| (name.clone(), self::counting(schema))).collect()
                        }
                        value => self::counting(value),
                    };
                    (keyword.clone(), value)
                })
                .collect();
            counting.insert(STEP.to_owned(), Value::Bool(true));
            Value::Object(counting)
        }
        Value::Array(schemas) => schemas.iter().map(counting).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn validator(schema: &Value) -> Result<Validator, String> {
        Validator::new(schema.as_object().unwrap())
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": { "short": { "$anchor": "short", "type": "string", "maxLength": 3 } },
            "properties": { "a": { "$ref": "#short" }, "const": { "const": { "x": 1 } } },
            "if": { "required": ["a"] },
            "then": { "required": ["const"] },
            "additionalProperties": false,
        });
        let validator = validator(&schema).unwrap();
        assert_eq!(validator.check(&json!({ "a": "abc", "const": { "x": 1 } })), Ok(()));
        assert_eq!(validator.check(&json!({ "a": "abcd", "const": { "x": 1 } })).unwrap_err().pointer, "/a");
        assert_eq!(validator.check(&json!({ "a": "abc", "const": { "x": 2 } })).unwrap_err().pointer, "/const");
        assert!(validator.check(&json!({ "a": "abc" })).unwrap_err().problem.contains("const"));
        assert!(validator.check(&json!({ "b": 1 })).is_err());
    }

    #[test]
    fn schemas_that_cannot_be_used_are_refused() {
        for schema in [
            json!({ "type": "nonsense" }),
            json!({ "$ref": "https://example.com/schema.json" }),
            json!({ "$schema": "https://example.com/dialect", "type": "object" }),
            json!({ "properties": { "a": { "pattern": "(" } } }),
            json!({ "description": "x".repeat(MAX_SCHEMA_BYTES) }),
        ] {
            assert!(validator(&schema).is_err(), "{}", cut(&schema.to_string(), 100));
        }
    }

    /// References in a row, each within a hundred `not`.
    fn chain(levels: usize) -> Value {
        let mut defs = Map::new();
        for level in 0..levels {
            let mut schema = json!({ "$ref": format!("#/$defs/{}", level + 1) });
            for _ in 0..50 {
                schema = json!({ "not": schema });
            }
            defs.insert(level.to_string(), schema);
        }
        defs.insert(levels.to_string(), json!({}));
        json!({ "$defs": defs, "$ref": "#/$defs/0" })
    }

    #[test]
    fn deep_schemas_and_costly_patterns_are_refused_or_stopped() {
        // Whatever becomes of it, the stack holds.
        if let Ok(validator) = validator(&chain(38)) {
            let _ = validator.check(&json!({}));
        }
        assert!(validator(&chain(100)).is_err());
        assert!(validator(&json!({ "properties": { "a": { "pattern": "\\pL{2500}" } } })).is_err());
        let same = json!({ "properties": { "a": { "$ref": "#" } } });
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({ "a": deep });
        }
        assert_eq!(validator(&same).unwrap().check(&deep), Ok(()));
    }

    #[test]
    fn a_schema_that_multiplies_its_work_is_stopped() {
        let mut defs = Map::new();
        for depth in 0..40 {
            let next = json!({ "$ref": format!("#/$defs/d{}", depth + 1) });
            defs.insert(format!("d{depth}"), json!({ "anyOf": [next, next] }));
        }
        defs.insert("d40".to_owned(), json!({ "not": {} }));
        let validator = validator(&json!({ "$defs": defs, "$ref": "#/$defs/d0" })).unwrap();
        let started = Instant::now();
        let misfit = validator.check(&json!({})).unwrap_err();
        assert!(misfit.problem.contains("too much to check"), "{misfit:?}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
