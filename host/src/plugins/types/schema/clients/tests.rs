//! Generated schemas, as each client's converter makes them, against what the API behind it takes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::lint::{each, problems};
use super::super::{MAX_SAFE, input_schema};
use super::*;
use crate::plugins::types::codec::tests::generated::params;
use crate::plugins::types::shape::{Case, Integer, Label, ResultShape};

/// A file, whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    sources: Vec<String>,
    sends: Vec<Sends>,
    takes: Takes,
    #[serde(default)]
    cannot: BTreeMap<String, String>,
}

/// The converter's effect on a schema, for some models.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sends {
    r#for: String,
    /// The keywords that stay, if not all.
    keeps: Option<Vec<String>>,
    /// The keywords that go.
    #[serde(default)]
    drops: Vec<String>,
    /// True if every property becomes a required one.
    #[serde(default)]
    requires_all: bool,
    /// True if `type: [T, "null"]` becomes `type: T, nullable: true`.
    #[serde(default)]
    nullable: bool,
    /// The type that a schema without any keyword gets.
    empty_is: Option<String>,
}

/// The API's rules, beyond those that `lint` has for all of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Takes {
    /// The draft of JSON Schema by which schemas are checked.
    draft: Option<String>,
    /// The keywords, if not all.
    keywords: Option<Vec<String>>,
    /// True if every schema must have a type.
    #[serde(default)]
    typed: bool,
    /// True if every object must be closed, and all its properties required.
    #[serde(default)]
    closed: bool,
    /// True if enums have strings only.
    #[serde(default)]
    string_enums: bool,
    /// True if a type may be a list of types.
    #[serde(default = "yes")]
    type_lists: bool,
    /// The same for a parameter's type.
    #[serde(default = "yes")]
    parameter_type_lists: bool,
    /// True if there may be `oneOf`, `anyOf`, `allOf` inside.
    #[serde(default = "yes")]
    composition: bool,
    /// True if there may be references.
    #[serde(default = "yes")]
    references: bool,
}

fn yes() -> bool {
    true
}

fn files() -> Vec<File> {
    CLIENTS.iter().map(|file| toml::from_str(file).unwrap()).collect()
}

/// Keywords without which nobody knows what to say.
const NEEDED: [&str; 2] = ["prefixItems", "patternProperties"];

impl Sends {
    /// Converts a schema and all inside it.
    ///
    /// # Errors
    /// What a model would have to know is lost.
    fn convert(&self, schema: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut converted = Map::new();
        for (keyword, value) in schema {
            let stays =
                self.keeps.as_ref().is_none_or(|keeps| keeps.contains(keyword)) && !self.drops.contains(keyword);
            let is_needed =
                NEEDED.contains(&keyword.as_str()) || keyword == "additionalProperties" && value.is_object();
            if !stays && is_needed {
                return Err(format!("`{keyword}` is lost"));
            }
            if stays {
                converted.insert(keyword.clone(), self.convert_value(keyword, value)?);
            }
        }
        if let (true, Some(ty)) = (converted.is_empty(), &self.empty_is) {
            converted.insert("type".to_owned(), json!(ty));
        }
        if let (true, Some(Value::Object(properties))) = (self.requires_all, converted.get("properties")) {
            let names: Vec<&String> = properties.keys().collect();
            let all = json!(names);
            if schema.get("required").unwrap_or(&json!([])) != &all {
                return Err("what may be absent is required".to_owned());
            }
            converted.insert("required".to_owned(), all);
        }
        if let (true, Some(Value::Array(types))) = (self.nullable, converted.get("type").cloned())
            && let [ty, Value::String(null)] = types.as_slice()
            && null == "null"
        {
            converted.insert("type".to_owned(), ty.clone());
            converted.insert("nullable".to_owned(), Value::Bool(true));
        }
        Ok(converted)
    }

    fn convert_value(&self, keyword: &str, value: &Value) -> Result<Value, String> {
        let convert = |value: &Value| match value {
            Value::Object(schema) => self.convert(schema).map(Value::Object),
            other => Ok(other.clone()),
        };
        match (keyword, value) {
            ("properties", Value::Object(properties)) => {
                let converted = properties.iter().map(|(name, schema)| Ok((name.clone(), convert(schema)?)));
                converted.collect::<Result<Map<_, _>, String>>().map(Value::Object)
            }
            ("items" | "additionalProperties", value) => convert(value),
            ("prefixItems", Value::Array(schemas)) => schemas.iter().map(convert).collect(),
            (_, value) => Ok(value.clone()),
        }
    }
}

impl Takes {
    /// The first thing that the API refuses.
    fn refuses(&self, schema: &Map<String, Value>) -> Option<String> {
        let whole = Value::Object(schema.clone());
        let is_valid = match self.draft.as_deref() {
            Some("2020-12") => jsonschema::draft202012::meta::is_valid(&whole),
            Some("draft-07") => jsonschema::draft7::meta::is_valid(&whole),
            Some(other) => panic!("unknown draft {other}"),
            None => true,
        };
        if !is_valid {
            return Some("not of its draft".to_owned());
        }
        if schema.get("type") != Some(&json!("object")) || !schema.get("properties").is_some_and(Value::is_object) {
            return Some("the root is no object with properties".to_owned());
        }
        let mut refused = Vec::new();
        each(schema, "", &mut |schema, place| {
            let own = problems(schema, place.is_empty()).into_iter().map(str::to_owned);
            refused.extend(own.chain(self.refuses_one(schema, place)).map(|problem| format!("{place}: {problem}")));
        });
        refused.into_iter().next()
    }

    fn refuses_one(&self, schema: &Map<String, Value>, place: &str) -> Option<String> {
        let has = |keyword: &str| schema.contains_key(keyword);
        if let Some(keywords) = &self.keywords
            && let Some(unknown) = schema.keys().find(|keyword| !keywords.contains(keyword))
        {
            return Some(format!("`{unknown}` is not permitted"));
        }
        let has_type_list = schema.get("type").is_some_and(Value::is_array);
        let is_parameter = place.starts_with("/properties/") && place.matches('/').count() == 2;
        let is_object = schema.get("type") == Some(&json!("object"));
        let names: Vec<&String> =
            schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|all| all.keys()).collect();
        let no_names = json!([]);
        let rules = [
            (self.typed && !has("type"), "no type"),
            (!self.type_lists && has_type_list, "a list of types"),
            (!self.parameter_type_lists && is_parameter && has_type_list, "a list of types"),
            (!self.composition && ["oneOf", "anyOf", "allOf"].into_iter().any(has), "composition"),
            (!self.references && has("$ref"), "a reference"),
            (self.closed && is_object && schema.get("additionalProperties") != Some(&json!(false)), "an open object"),
            (self.closed && schema.get("required").unwrap_or(&no_names) != &json!(names), "an optional property"),
            (
                self.string_enums
                    && schema
                        .get("enum")
                        .and_then(Value::as_array)
                        .is_some_and(|all| !all.iter().all(Value::is_string)),
                "an enum with something else than strings",
            ),
        ];
        rules.into_iter().find_map(|(is_broken, problem)| is_broken.then(|| problem.to_owned()))
    }
}

impl File {
    /// The first thing that goes wrong with a schema on its way to the model.
    fn problem(&self, schema: &Value) -> Option<String> {
        let schema = schema.as_object().unwrap();
        self.sends.iter().find_map(|sends| match sends.convert(schema) {
            Ok(converted) => self.takes.refuses(&converted).map(|problem| format!("{}: {problem}", sends.r#for)),
            Err(loss) => Some(format!("{}: {loss}", sends.r#for)),
        })
    }
}

/// The clients that refuse a schema.
pub(crate) fn refusing_clients(schema: &Value) -> Vec<String> {
    files().into_iter().filter(|file| file.problem(schema).is_some()).map(|file| file.name).collect()
}

fn takes_one(shape: Shape) -> Signature {
    let params = vec![Field { name: "it".to_owned(), shape, docs: None }];
    Signature { params, output: ResultShape::Nothing, output_docs: None }
}

fn labels() -> Vec<Label> {
    ["red", "green"].into_iter().map(|name| Label { name: name.to_owned(), docs: None }).collect()
}

/// The schema of a type that a file may list.
fn witness(ty: &str) -> Value {
    let of = |shape: Shape| input_schema(&takes_one(shape)).to_value();
    let option = |shape: Shape| Shape::Option(Box::new(shape));
    match ty {
        "char" => of(Shape::Char),
        "list<u8>" => of(Shape::Bytes),
        "option" => of(option(Shape::Bool)),
        "option<enum>" => of(Shape::List(Box::new(option(Shape::Enum(labels().into()))))),
        "result" => of(Shape::Result { ok: None, err: None }),
        "tuple of several types" => of(Shape::Tuple(vec![Shape::Bool, Shape::String])),
        "variant" => of(Shape::Variant(vec![Case { name: "a".to_owned(), shape: None, docs: None }].into())),
        "map" => of(Shape::Map(Box::new(Shape::Bool))),
        other => panic!("no witness of `{other}`"),
    }
}

#[test]
fn every_file_names_its_sources_and_only_two_have_exceptions() {
    for file in files() {
        assert!(!file.sources.is_empty() && file.sources.iter().all(|source| source.starts_with("https://")));
        let may_have = matches!(file.name.as_str(), "OpenAI (strict)" | "Gemini");
        assert_eq!(!file.cannot.is_empty(), may_have, "{}", file.name);
    }
}

#[test]
fn what_a_file_lists_cannot_be_said() {
    for file in files() {
        for ty in file.cannot.keys() {
            assert!(file.problem(&witness(ty)).is_some(), "{} can say `{ty}`", file.name);
        }
    }
}

#[test]
fn what_clients_refuse_is_found() {
    let one = |schema: Value| json!({ "type": "object", "properties": { "it": schema }, "required": ["it"] });
    let everywhere = [
        one(json!({ "type": "integer", "maximum": u64::MAX })),
        one(json!({ "type": "integer", "maximum": MAX_SAFE + 1 })),
        one(json!({ "type": "array", "minItems": 2 })),
        json!({ "type": "object", "properties": { "x".repeat(65): { "type": "string" } } }),
        json!({ "properties": {} }),
    ];
    for file in files() {
        for schema in &everywhere {
            assert!(file.problem(schema).is_some(), "{} takes {schema}", file.name);
        }
    }
    let cursor = files().into_iter().find(|file| file.name == "Cursor").unwrap();
    assert!(cursor.problem(&one(json!({ "type": ["string", "null"] }))).is_some());
    assert!(cursor.problem(&one(json!({ "anyOf": [{ "type": "string" }] }))).is_some());
}

#[test]
fn the_types_are_named_with_their_places() {
    let at = Shape::Tuple(vec![Shape::F64, Shape::String]);
    let record = Shape::Record(vec![
        Field { name: "at".to_owned(), shape: at, docs: None },
        Field { name: "by".to_owned(), shape: Shape::Option(Box::new(Shape::Char)), docs: None },
    ]);
    let found = unsayable(&takes_one(Shape::List(Box::new(record))));
    let found: Vec<_> = found.iter().map(|found| (found.client.as_str(), found.ty, found.places.join(" "))).collect();
    assert_eq!(
        found,
        [
            ("Gemini", "tuple of several types", "it[].at".to_owned()),
            ("OpenAI (strict)", "char", "it[].by".to_owned()),
            ("OpenAI (strict)", "option", "it[].by".to_owned()),
            ("OpenAI (strict)", "tuple of several types", "it[].at".to_owned()),
        ]
    );
    let plain = [Shape::F64, Shape::Integer(Integer::U64), Shape::Tuple(vec![Shape::F64, Shape::F64])];
    for shape in plain {
        assert_eq!(unsayable(&takes_one(shape)), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_else_is_taken(params in params()) {
        let signature = Signature { params, output: ResultShape::Nothing, output_docs: None };
        let schema = input_schema(&signature).to_value();
        let unsayable = unsayable(&signature);
        for file in files() {
            if !unsayable.iter().any(|found| found.client == file.name) {
                prop_assert_eq!(file.problem(&schema), None, "{}: {}", file.name, schema);
            }
        }
    }
}
