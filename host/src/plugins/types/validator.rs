//! JSON Schemas that plugins hand over: checked once, then held against arguments and results.
//!
//! Both sides are strangers: a schema may be written so that checking a value takes longer than anybody lives. So every
//! subschema counts its steps, a value that takes too many or too much processor time is refused ([`budget`]), and
//! keywords whose work is the product of schema and value have implementations of their own ([`keywords`]). References
//! to other documents are never fetched, and patterns are matched by automata, in linear time.
//!
//! Reading a schema and holding a value against one may take long: both are for the slow lane.

mod budget;
mod digest;
mod keywords;

use std::fmt;
use std::thread;

use jsonschema::PatternOptions;
use serde_json::{Map, Value};

use self::budget::{Exhausted, MAX_STEPS};
use self::keywords::{MAX_PATTERN_BYTES, ONE_OF, OneOf, STEP, Step, UNIQUE, UniqueItems, pattern_bytes};
use crate::sanitize::cut;

/// Steps in which the fault of a value is looked for by a schema with branches, which collects the faults of all of them.
const MAX_BRANCH_STEPS: u32 = 100_000;

/// Subschemas of one schema. A chain of references makes as many levels of recursion of them.
const MAX_SUBSCHEMAS: usize = 2000;

/// Patterns of one schema.
const MAX_PATTERNS: usize = 64;

/// Stack of the thread that reads a schema: some kilobytes for each level.
const BUILD_STACK_BYTES: usize = 64 << 20;

/// Bytes of one schema. A model reads it in every conversation.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Bytes of a message, which repeats the value.
const MAX_MESSAGE_BYTES: usize = 300;

/// Subschemas, and bytes of automata, of all schemas of one plugin.
const MAX_PLUGIN_SUBSCHEMAS: usize = 20_000;
const MAX_PLUGIN_PATTERN_BYTES: usize = 16 * 1024 * 1024;

/// Keywords whose values are values, not schemas.
const LITERALS: [&str; 5] = ["const", "enum", "default", "examples", "dependentRequired"];

/// Keywords whose values are objects of schemas, under names that mean nothing.
const MAPS: [&str; 6] = ["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"];

/// Keywords for which the library follows every reference anew, by no step of this module.
const UNEVALUATED: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// References of a schema with such keywords.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
const MAX_REFERENCES: usize = 16;

/// Keywords with branches.
const BRANCHES: [&str; 2] = ["anyOf", "oneOf"];

/// A schema in force.
pub(in crate::plugins) struct Validator {
    schema: jsonschema::Validator,
    /// Steps in which the fault of a value is looked for.
    steps_to_explain: u32,
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validator(..)")
    }
}

/// The room that is left for the schemas of one plugin: each may be below every limit, and a thousand of them are not.
pub(in crate::plugins) struct SchemaRoom {
    subschemas: usize,
    pattern_bytes: usize,
}

impl SchemaRoom {
    /// The room of a plugin that has none yet.
    pub(in crate::plugins) fn of_plugin() -> Self {
        Self { subschemas: MAX_PLUGIN_SUBSCHEMAS, pattern_bytes: MAX_PLUGIN_PATTERN_BYTES }
    }

    fn take(&mut self, subschemas: usize, pattern_bytes: usize) -> Result<(), String> {
        let rest = (self.subschemas.checked_sub(subschemas), self.pattern_bytes.checked_sub(pattern_bytes));
        let (Some(subschemas), Some(pattern_bytes)) = rest else {
            return Err(format!(
                "with it, all schemas of this plugin have more than {MAX_PLUGIN_SUBSCHEMAS} subschemas, or patterns whose \
                 automata take more than {} MiB",
                MAX_PLUGIN_PATTERN_BYTES >> 20
            ));
        };
        *self = Self { subschemas, pattern_bytes };
        Ok(())
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

impl Validator {
    /// Reads a schema, which takes a part of its plugin's room. Its root must be of type `object` if it is one of arguments.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(in crate::plugins) fn new(schema: &Map<String, Value>, room: &mut SchemaRoom) -> Result<Self, String> {
        let schema = Value::Object(schema.clone());
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(format!("it has more than {MAX_SCHEMA_BYTES} bytes"));
        }
        let (subschemas, patterns) = size(&schema);
        if subschemas > MAX_SUBSCHEMAS || patterns > MAX_PATTERNS {
            return Err(format!("it has more than {MAX_SUBSCHEMAS} subschemas or {MAX_PATTERNS} patterns"));
        }
        if count(&schema, &UNEVALUATED) > 0 && count(&schema, &REFERENCES) > MAX_REFERENCES {
            return Err(format!(
                "it has more than {MAX_REFERENCES} references beside `{}`: write them out, or do without",
                UNEVALUATED.join("` or `")
            ));
        }
        let automata = Automata::of(&schema);
        room.take(subschemas, automata.bytes)?;
        let counting = counting(&schema);
        let all_names = automata.bytes_of_names;
        let build = || {
            jsonschema::options()
                .with_pattern_options(
                    PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES),
                )
                .with_keyword(STEP, move |schema, _, _| Ok(Box::new(Step::of(schema, all_names))))
                .with_keyword(ONE_OF, |_, values, _| Ok(Box::new(OneOf::of(values))))
                .with_keyword(UNIQUE, |_, _, _| Ok(Box::new(UniqueItems)))
                .build(&counting)
                .map_err(|error| in_its_words(&error.to_string()))
        };
        let built = thread::scope(|scope| {
            let reading = thread::Builder::new().stack_size(BUILD_STACK_BYTES).spawn_scoped(scope, build);
            // Not even a mistake of the library may end a load.
            reading.map_err(|error| error.to_string())?.join().unwrap_or_else(|_| Err("it cannot be read".to_owned()))
        });
        let steps_to_explain = if count(&schema, &BRANCHES) > 0 { MAX_BRANCH_STEPS } else { MAX_STEPS };
        built.map(|schema| Self { schema, steps_to_explain })
    }

    /// Holds a value against the schema.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub(in crate::plugins) fn check(&self, value: &Value) -> Result<(), Misfit> {
        budget::begin();
        match budget::within(MAX_STEPS, || self.schema.is_valid(value)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.explain(value)),
            Err(Exhausted) => {
                let problem = "too much to check against this tool's schema".to_owned();
                Err(Misfit { pointer: String::new(), problem })
            }
        }
    }

    /// The fault of a value that does not fit.
    fn explain(&self, value: &Value) -> Misfit {
        let fault = || {
            let error = self.schema.validate(value).err()?;
            Some((error.instance_path().to_string(), error.to_string()))
        };
        let found = budget::within(self.steps_to_explain, fault).ok().flatten();
        let (pointer, problem) = found.unwrap_or_else(|| (String::new(), "it does not fit the schema".to_owned()));
        Misfit { pointer, problem: in_its_words(&problem) }
    }
}

/// A message without this module's own keywords, and not too long.
fn in_its_words(message: &str) -> String {
    let step = format!("\"{STEP}\":true");
    let message = message.replace(&format!(",{step}"), "").replace(&step, "");
    cut(&message.replace(ONE_OF, "enum").replace(UNIQUE, "uniqueItems"), MAX_MESSAGE_BYTES)
}

/// The number of these keywords at any depth, about: names of properties count too.
fn count(schema: &Value, keywords: &[&str]) -> usize {
    match schema {
        Value::Object(members) => {
            let of = |(name, value): (&String, &Value)| {
                usize::from(keywords.contains(&name.as_str())) + count(value, keywords)
            };
            members.iter().map(of).sum()
        }
        Value::Array(items) => items.iter().map(|item| count(item, keywords)).sum(),
        _ => 0,
    }
}

/// The automata of a schema's patterns.
#[derive(Default)]
struct Automata {
    bytes: usize,
    /// Bytes of those that names of properties are matched with.
    bytes_of_names: usize,
}

impl Automata {
    fn of(schema: &Value) -> Self {
        let mut all = Self::default();
        all.add(schema);
        all
    }

    fn add(&mut self, schema: &Value) {
        match schema {
            Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("pattern", Value::String(pattern)) => self.bytes += pattern_bytes(pattern),
                        ("patternProperties", Value::Object(patterns)) => {
                            let bytes = patterns.keys().map(|name| pattern_bytes(name)).sum::<usize>();
                            self.bytes += bytes;
                            self.bytes_of_names += bytes;
                        }
                        _ => {}
                    }
                    self.add(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            _ => {}
        }
    }
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

/// The schema with a step in each of its subschemas, and with this module's own keywords.
fn counting(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let mut counting: Map<String, Value> = keywords
                .iter()
                .map(|(keyword, value)| {
                    let keyword = match (keyword.as_str(), value) {
                        ("enum", Value::Array(values)) if OneOf::takes(values) => ONE_OF,
                        ("uniqueItems", Value::Bool(true)) => UNIQUE,
                        (keyword, _) => keyword,
                    };
                    let value = match value {
                        value if LITERALS.contains(&keyword) || keyword == ONE_OF => value.clone(),
                        Value::Object(schemas) if MAPS.contains(&keyword) => {
                            schemas.iter().map(|(name, schema)| (name.clone(), self::counting(schema))).collect()
                        }
                        value => self::counting(value),
                    };
                    (keyword.to_owned(), value)
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
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};
    use serde_json::json;

    use super::*;

    fn validator(schema: &Value) -> Result<Validator, String> {
        Validator::new(schema.as_object().unwrap(), &mut SchemaRoom::of_plugin())
    }

    #[test]
    fn all_schemas_of_a_plugin_have_a_bound_together() {
        let patterns = vec![json!({ "pattern": "^\\p{L}{2}$" }); 60];
        let schema = json!({ "anyOf": patterns });
        let mut room = SchemaRoom::of_plugin();
        let read = |_: &i32| Validator::new(schema.as_object().unwrap(), &mut room).is_ok();
        let taken = (0..1000).take_while(read).count();
        assert!((1..20).contains(&taken), "{taken} schemas");
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
        let misfit = took_little(|| validator.check(&json!({}))).unwrap_err();
        assert!(misfit.problem.contains("too much to check"), "{misfit:?}");
    }

    /// Holds an amount of work to some more of the processor's time than a check may take.
    fn took_little<T>(work: impl FnOnce() -> T) -> T {
        let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let started = now();
        let worked = work();
        let took = now() - started;
        assert!(took < 3 * budget::MAX_CPU, "{took:?} of processor time");
        worked
    }

    fn items(count: usize, item: impl Fn(usize) -> Value) -> Value {
        (0..count).map(item).collect()
    }

    #[test]
    fn an_enum_of_many_values_is_looked_up() {
        // Of kinds that the library compares one by one.
        let values = items(25_000, |number| if number % 2 == 0 { json!(number) } else { json!(number as f64 + 0.5) });
        let validator = validator(&json!({ "items": { "enum": values } })).unwrap();
        let fitting = items(400_000, |number| json!((number % 12_000) as f64 * 2.0));
        assert_eq!(took_little(|| validator.check(&fitting)), Ok(()));
        let misfit = took_little(|| validator.check(&items(400_000, |_| json!([[0.25]])))).unwrap_err();
        assert_eq!(misfit.pointer, "/0");
        assert_eq!(misfit.problem, "[[0.25]] is not one of the 25000 values of `enum`");
    }

    #[test]
    fn items_that_the_library_takes_for_alike_are_told_apart_in_linear_time() {
        // All of them flatten to the same numbers: every number of brackets has its place.
        let nested = |bits: usize| {
            let mut value = json!([0]);
            for bit in 0..17 {
                value = if bits >> bit & 1 == 0 { json!([value, 1]) } else { json!([[value], 1]) };
            }
            value
        };
        let validator = validator(&json!({ "uniqueItems": true })).unwrap();
        let mut many = items(20_000, nested);
        assert_eq!(took_little(|| validator.check(&many)), Ok(()));
        many[19_999] = nested(0);
        let misfit = took_little(|| validator.check(&many)).unwrap_err();
        assert!(misfit.problem.ends_with("has non-unique elements") || misfit.problem.ends_with('…'), "{misfit:?}");
        assert!(validator.check(&json!([1, 1.0])).is_err());
        assert!(validator.check(&json!([1, "1", [1], true])).is_ok());
    }

    #[test]
    fn keywords_with_many_entries_are_stopped_by_the_clock() {
        let names = |value: Value| (0..20_000).map(|name| (format!("{name:x}"), value.clone())).collect::<Map<_, _>>();
        let required = items(20_000, |name| json!(format!("{name:x}")));
        let objects = items(1_300_000, |_| json!({}));
        for (schema, value) in [
            (json!({ "items": { "properties": names(json!(true)) } }), &objects),
            (json!({ "items": { "dependentRequired": names(json!([])) } }), &objects),
            (json!({ "items": { "anyOf": [{ "required": required }, {}] } }), &objects),
        ] {
            let _ = took_little(|| validator(&schema).unwrap().check(value));
        }
    }

    #[test]
    fn a_costly_pattern_is_not_held_against_a_long_text() {
        // Every letter keeps all states of the automaton busy.
        let patterns = ["^(?:[ab]*a[ab]{150})*c$", "(?:a|b|ab|ba){300}c", "^(?:a?){120}[ab]*a[ab]{90}c$"];
        for pattern in patterns {
            let property = json!({ "type": "string", "pattern": pattern });
            let schema = json!({ "properties": { "a": { "anyOf": vec![property; 50] } } });
            let validator = validator(&schema).unwrap();
            for length in [4_000_000_u32, 1_000_000, 250_000, 60_000, 10_000] {
                let letter = |index: u32| if index.wrapping_mul(2_654_435_761) >> 13 & 1 == 0 { 'a' } else { 'b' };
                let text: String = (0..length).map(letter).collect();
                let value = json!({ "a": text });
                let _ = took_little(|| validator.check(&value));
            }
        }
        // Names too, and by patterns of other subschemas.
        let named: Map<String, Value> =
            (0..60).map(|_| "x").enumerate().map(|(index, _)| (format!("a[ab]{{{index}}}c"), json!(true))).collect();
        let schema = json!({ "allOf": [{ "patternProperties": named }], "unevaluatedProperties": false });
        let names: Map<String, Value> =
            (0..40).map(|index| (format!("{index}{}", "ab".repeat(50_000)), json!(1))).collect();
        let _ = took_little(|| validator(&schema).unwrap().check(&Value::Object(names)));
    }

    #[test]
    fn honest_patterns_take_long_texts() {
        let base64 = json!({ "properties": { "a": { "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$" } } });
        assert_eq!(validator(&base64).unwrap().check(&json!({ "a": "QUJD".repeat(900_000) })), Ok(()));
        let word = json!({ "items": { "pattern": "^\\w+$" } });
        assert_eq!(validator(&word).unwrap().check(&items(100_000, |number| json!(format!("word_{number}")))), Ok(()));
        let letters = json!({ "items": { "pattern": "^\\p{L}+$" } });
        assert_eq!(validator(&letters).unwrap().check(&items(100_000, |_| json!("Füße"))), Ok(()));
    }

    #[test]
    fn what_the_library_evaluates_twice_is_stopped_too() {
        let chain = |levels: usize, branch: &str, keyword: &str| {
            let mut defs = Map::new();
            for level in 0..levels {
                let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
                defs.insert(format!("d{level}"), json!({ branch: [next, next], "properties": { "a": true } }));
            }
            defs.insert(format!("d{levels}"), json!({ "properties": { "b": true } }));
            json!({ "$defs": defs, "$ref": "#/$defs/d0", keyword: false })
        };
        for branch in ["anyOf", "allOf", "oneOf"] {
            for keyword in UNEVALUATED {
                // Reading such a schema must end as well.
                assert!(validator(&chain(40, branch, keyword)).is_err());
                let validator = validator(&chain(7, branch, keyword)).unwrap();
                let _ = took_little(|| validator.check(&json!({ "a": 1, "b": 2, "c": 3 })));
                let _ = took_little(|| validator.check(&json!([1, 2, 3])));
            }
        }
    }
}
