//! Schema and codec agree, for any types and any JSON.
//!
//! They differ on purpose, in four things. Two are removed from a document before it is validated (`normalised`):
//! `null` for an optional property, and spoilt strings, which hold a value as JSON text where its type takes no string.
//! Two are for the codec alone (`is_out_of_range`, `repeats_a_flag`, `repeats_a_key`): the range of 64-bit integers and of
//! `f32`, and flags and keys that come twice.

use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wasmtime::component::Val;

use super::generated::{Aim, is_same_key, leaves, mutations, near, object, params, shapes};
use super::{content, decode_arguments, encode_result, field, gives, takes};
use crate::plugins::types::codec::{Reply, ResultError};
use crate::plugins::types::schema::{input_schema, is_object_result, output_schema};
use crate::plugins::types::shape::{Field, Integer, Shape};

fn validator(schema: &schemars::Schema) -> Validator {
    jsonschema::draft202012::new(schema.as_value()).unwrap()
}

/// The document as the schema sees it: without `null` for optional properties, and with the values that are in strings.
fn normalised(fields: &[Field], value: &Value) -> Value {
    properties(fields, value, true)
}

fn properties(fields: &[Field], value: &Value, as_sent: bool) -> Value {
    let Value::Object(object) = value else { return value.clone() };
    let normalised = object.iter().filter_map(|(name, value)| {
        let field = fields.iter().find(|field| field.name == *name);
        let value = match field.map(|field| &field.shape) {
            Some(Shape::Option(_)) if value.is_null() => return None,
            Some(shape) => inside(shape, value, as_sent),
            None => value.clone(),
        };
        Some((name.clone(), value))
    });
    Value::Object(normalised.collect())
}

/// The value in a spoilt string, if the schema takes it.
fn in_a_string(shape: &Shape, value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    if text.trim() != text || matches!(shape, Shape::Option(_)) {
        return None;
    }
    let value = inside(shape, &serde_json::from_str(text).ok()?, false);
    let takes = |value: &Value| {
        validator(&input_schema(&takes(vec![field("it", shape.clone())]))).is_valid(&json!({ "it": value }))
    };
    let is_taken = !takes(&json!(text)) && !takes(&json!("a")) && takes(&value) && !is_out_of_range(shape, &value);
    // A type that takes any string has its own: base64, enums, characters.
    let is_of_strings = matches!(shape, Shape::String | Shape::Bytes | Shape::Char | Shape::Enum(_));
    (is_taken && !is_of_strings).then_some(value)
}

fn inside(shape: &Shape, value: &Value, as_sent: bool) -> Value {
    if let Some(value) = as_sent.then(|| in_a_string(shape, value)).flatten() {
        return value;
    }
    let one_key = |find: &dyn Fn(&str) -> Option<Option<Shape>>| {
        let Value::Object(object) = value else { return value.clone() };
        let payload = |(name, value): (&String, &Value)| {
            let value = match find(name) {
                Some(Some(shape)) => inside(&shape, value, as_sent),
                Some(None) if as_sent && value == "true" => Value::Bool(true),
                _ => value.clone(),
            };
            (name.clone(), value)
        };
        Value::Object(object.iter().map(payload).collect::<Map<_, _>>())
    };
    match (shape, value) {
        (Shape::Record(fields), value) => properties(fields, value, as_sent),
        (Shape::Option(shape), value) => inside(shape, value, as_sent),
        (Shape::List(shape), Value::Array(items)) => items.iter().map(|item| inside(shape, item, as_sent)).collect(),
        (Shape::Entries(entry), Value::Array(items)) => items.iter().map(|item| inside(entry, item, as_sent)).collect(),
        (Shape::Map(shape), Value::Object(object)) => {
            let members = object.iter().map(|(name, value)| (name.clone(), inside(shape, value, as_sent)));
            Value::Object(members.collect())
        }
        (Shape::Tuple(shapes), Value::Array(items)) if shapes.len() == items.len() => {
            shapes.iter().zip(items).map(|(shape, item)| inside(shape, item, as_sent)).collect()
        }
        (Shape::Variant(cases), _) => {
            one_key(&|name| cases.iter().find(|case| case.name == name).map(|case| case.shape.clone()))
        }
        (Shape::Result { ok, err }, _) => one_key(&|name| match name {
            "ok" => Some(ok.as_deref().cloned()),
            "err" => Some(err.as_deref().cloned()),
            _ => None,
        }),
        _ => value.clone(),
    }
}

/// True for an integer of 64 bits or an `f32` that its type does not hold, or a flag that comes twice. An integer
/// as a float is one below 2^53 only, since it may be another one's neighbour.
fn is_out_of_range(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Integer(integer), Value::Number(number)) => match number.as_f64() {
            Some(float) if number.is_f64() => float.abs() >= 9_007_199_254_740_992.0,
            _ => *integer == Integer::S64 && number.as_u64() > Some(i64::MAX.unsigned_abs()),
        },
        (Shape::F32, Value::Number(number)) => number.as_f64().is_some_and(|float| float.abs() > f64::from(f32::MAX)),
        (Shape::Flags(_), Value::Array(items)) => repeats_a_flag(items),
        (Shape::List(shape), Value::Array(items)) => items.iter().any(|item| is_out_of_range(shape, item)),
        (Shape::Entries(entry), Value::Array(items)) => {
            items.iter().any(|item| is_out_of_range(entry, item)) || repeats_a_key(items)
        }
        (Shape::Map(shape), Value::Object(object)) => object.values().any(|value| is_out_of_range(shape, value)),
        (Shape::Tuple(shapes), Value::Array(items)) => {
            shapes.iter().zip(items).any(|(shape, item)| is_out_of_range(shape, item))
        }
        (Shape::Option(shape), value) => is_out_of_range(shape, value),
        (Shape::Record(fields), Value::Object(object)) => any_out_of_range(fields, object),
        (Shape::Variant(cases), Value::Object(object)) => object.iter().any(|(name, value)| {
            let case = cases.iter().find(|case| case.name == *name);
            case.and_then(|case| case.shape.as_ref()).is_some_and(|shape| is_out_of_range(shape, value))
        }),
        (Shape::Result { ok, err }, Value::Object(object)) => object.iter().any(|(name, value)| {
            let shape = if name == "ok" { ok } else { err };
            shape.as_deref().is_some_and(|shape| is_out_of_range(shape, value))
        }),
        _ => false,
    }
}

fn any_out_of_range(fields: &[Field], object: &Map<String, Value>) -> bool {
    fields.iter().any(|field| object.get(&field.name).is_some_and(|value| is_out_of_range(&field.shape, value)))
}

fn repeats_a_key(items: &[Value]) -> bool {
    items
        .iter()
        .enumerate()
        .any(|(index, item)| items[..index].iter().any(|other| is_same_key(&other["key"], &item["key"])))
}

fn repeats_a_flag(items: &[Value]) -> bool {
    items.iter().enumerate().any(|(index, item)| items[..index].contains(item))
}

/// The same value of the shape, however its numbers are spelt.
fn same(shape: &Shape, a: &Value, b: &Value) -> bool {
    let same_payload = |shape: Option<&Shape>, a: &Value, b: &Value| shape.map_or(a == b, |shape| same(shape, a, b));
    let key = |value: &Value| {
        value.as_object().and_then(|object| object.iter().next()).map(|(name, value)| (name.clone(), value.clone()))
    };
    match (shape, a, b) {
        (Shape::Integer(_), Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Shape::F32, a, b) => a.as_f64().map(|a| a as f32) == b.as_f64().map(|b| b as f32),
        (Shape::F64, a, b) => a.as_f64() == b.as_f64(),
        (Shape::List(shape) | Shape::Entries(shape), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(shape, a, b))
        }
        (Shape::Tuple(shapes), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && shapes.iter().zip(a.iter().zip(b)).all(|(shape, (a, b))| same(shape, a, b))
        }
        (Shape::Map(shape), Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(shape, a, b)))
        }
        (Shape::Record(fields), Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && fields.iter().all(|field| match (a.get(&field.name), b.get(&field.name)) {
                    (Some(a), Some(b)) => same(&field.shape, a, b),
                    (None, None) => true,
                    _ => false,
                })
        }
        (Shape::Option(shape), a, b) => a == b || same(shape, a, b),
        (Shape::Variant(cases), a, b) => match (key(a), key(b)) {
            (Some((name, a)), Some((other, b))) if name == other => {
                let case = cases.iter().find(|case| case.name == name).unwrap();
                same_payload(case.shape.as_ref(), &a, &b)
            }
            _ => false,
        },
        (Shape::Result { ok, err }, a, b) => match (key(a), key(b)) {
            (Some((name, a)), Some((other, b))) if name == other => {
                same_payload(if name == "ok" { ok } else { err }.as_deref(), &a, &b)
            }
            _ => false,
        },
        (_, a, b) => a == b,
    }
}

/// Returns a value as a result and asks whether the output schema takes it.
fn echo(shape: &Shape, val: &Val) -> Value {
    let signature = gives(shape.clone());
    let reply = encode_result(&signature, std::slice::from_ref(val), u64::MAX).unwrap();
    let (inner, text) = match reply {
        Reply::Structured(structured) => {
            let (value, text) = (content(&structured), structured.into_text());
            assert!(validator(&output_schema(&signature).unwrap()).is_valid(&value), "{value}");
            (if is_object_result(shape) { value } else { value["result"].clone() }, text)
        }
        Reply::Text(text) => {
            assert_eq!((shape, output_schema(&signature)), (&Shape::String, None));
            (json!(text), text)
        }
        reply => panic!("{reply:?}"),
    };
    assert_eq!(inner.as_str().map_or_else(|| inner.to_string(), str::to_owned), text);

    // The limit is exact: the text fits into its own length and into nothing less.
    let length = inner.to_string().len() as u64;
    assert!(encode_result(&signature, std::slice::from_ref(val), length).is_ok());
    let error = encode_result(&signature, std::slice::from_ref(val), length - 1).unwrap_err();
    assert_eq!(error, ResultError::TooLarge { max_bytes: length - 1 });
    inner
}

/// Schema and codec take the same, but for what the head of this module names.
fn agree(params: &[Field], arguments: &Value) -> Result<(), TestCaseError> {
    let signature = takes(params.to_vec());
    let seen = normalised(params, arguments);
    let is_held = !any_out_of_range(params, seen.as_object().unwrap());
    let is_valid = validator(&input_schema(&signature)).is_valid(&seen) && is_held;
    let decoded = decode_arguments(&signature, arguments.as_object().unwrap());
    prop_assert_eq!(is_valid, decoded.is_ok(), "{} decoded as {:?}", arguments, decoded);
    Ok(())
}

fn params_and_arguments(aim: Aim) -> impl Strategy<Value = (Vec<Field>, Value)> {
    params().prop_flat_map(move |params| {
        let arguments = object(&params, aim);
        (Just(params), arguments)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_fits_is_decoded_and_comes_back_the_same((params, arguments) in params_and_arguments(Aim::Fitting)) {
        let signature = takes(params.clone());
        let seen = normalised(&params, &arguments);
        prop_assert!(validator(&input_schema(&signature)).is_valid(&seen), "{}", seen);
        let vals = decode_arguments(&signature, arguments.as_object().unwrap());
        prop_assert!(vals.is_ok(), "{:?}", vals);
        let vals = vals.unwrap();
        for (field, val) in params.iter().zip(&vals) {
            let given = seen.get(&field.name).unwrap_or(&Value::Null);
            let echoed = echo(&field.shape, val);
            prop_assert!(same(&field.shape, given, &echoed), "{} came back as {}", given, echoed);
        }
        let record = Shape::Record(params.clone());
        let names = params.iter().map(|field| field.name.clone());
        let echoed = echo(&record, &Val::Record(names.zip(vals).collect()));
        prop_assert!(same(&record, &seen, &echoed), "{} came back as {}", seen, echoed);
    }

    #[test]
    fn schema_and_codec_accept_the_same(
        (params, arguments) in params_and_arguments(Aim::Near),
        mutations in vec(mutations(), 0..3),
    ) {
        let mut arguments = arguments;
        mutations.iter().for_each(|mutation| mutation.apply(&mut arguments));
        agree(&params, &arguments)?;
    }

    #[test]
    fn the_borders_of_a_type_are_the_same_for_both(
        (shape, value) in leaves().prop_flat_map(|shape| {
            let value = near(&shape);
            (Just(shape), value)
        }),
    ) {
        agree(&[field("it", shape)], &json!({ "it": value }))?;
    }

    #[test]
    fn schemas_stay_in_the_common_subset(shape in shapes()) {
        let schema = input_schema(&takes(vec![field("it", shape)]));
        prop_assert_eq!(schema.get("type"), Some(&Value::from("object")));
        let text = schema.as_value().to_string();
        for keyword in ["$ref", "$schema", "oneOf", "anyOf", "allOf", "uniqueItems"] {
            prop_assert!(!text.contains(&format!("\"{keyword}\"")), "{}", text);
        }
        prop_assert!(jsonschema::draft202012::meta::is_valid(schema.as_value()));
    }
}
