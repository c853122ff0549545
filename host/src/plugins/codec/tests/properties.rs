//! Schema and codec agree, for any types and any JSON.
//!
//! Before validation, an optional property with the value `null` is removed wherever the codec reads an object as a
//! record (the two differ there on purpose). The other difference, integers written as floats from 2^53 on, is left out
//! by asking only that what the codec takes is valid.

use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wasmtime::component::Val;

use super::generated::{Aim, leaves, mutations, near, object, params, shapes};
use super::{decode_arguments, encode_result, field, gives, takes};
use crate::plugins::codec::{Reply, ResultError};
use crate::plugins::schema::{input_schema, is_object_result, output_schema};
use crate::plugins::shape::{Field, Shape};

fn validator(schema: &schemars::Schema) -> Validator {
    jsonschema::draft202012::new(schema.as_value()).unwrap()
}

/// The document as the schema sees it: without `null` for optional properties.
fn absent_nulls_removed(fields: &[Field], value: &Value) -> Value {
    let Value::Object(object) = value else { return value.clone() };
    let normalised = object.iter().filter_map(|(name, value)| {
        let field = fields.iter().find(|field| field.name == *name);
        let value = match field.map(|field| &field.shape) {
            Some(Shape::Option(_)) if value.is_null() => return None,
            Some(shape) => inside(shape, value),
            None => value.clone(),
        };
        Some((name.clone(), value))
    });
    Value::Object(normalised.collect())
}

fn inside(shape: &Shape, value: &Value) -> Value {
    let one_key = |find: &dyn Fn(&str) -> Option<Shape>| {
        let Value::Object(object) = value else { return value.clone() };
        let payload = |(name, value): (&String, &Value)| {
            (name.clone(), find(name).map_or_else(|| value.clone(), |shape| inside(&shape, value)))
        };
        Value::Object(object.iter().map(payload).collect::<Map<_, _>>())
    };
    match (shape, value) {
        (Shape::Record(fields), value) => absent_nulls_removed(fields, value),
        (Shape::Option(shape), value) => inside(shape, value),
        (Shape::List(shape), Value::Array(items)) => items.iter().map(|item| inside(shape, item)).collect(),
        (Shape::Tuple(shapes), Value::Array(items)) if shapes.len() == items.len() => {
            shapes.iter().zip(items).map(|(shape, item)| inside(shape, item)).collect()
        }
        (Shape::Variant(cases), _) => {
            one_key(&|name| cases.iter().find(|case| case.name == name).and_then(|case| case.shape.clone()))
        }
        (Shape::Result { ok, err }, _) => one_key(&|name| match name {
            "ok" => ok.as_deref().cloned(),
            "err" => err.as_deref().cloned(),
            _ => None,
        }),
        _ => value.clone(),
    }
}

fn has_large_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64() && number.as_f64().unwrap().abs() >= 9_007_199_254_740_992.0,
        Value::Array(items) => items.iter().any(has_large_float),
        Value::Object(object) => object.values().any(has_large_float),
        _ => false,
    }
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
        (Shape::List(shape), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(shape, a, b))
        }
        (Shape::Tuple(shapes), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && shapes.iter().zip(a.iter().zip(b)).all(|(shape, (a, b))| same(shape, a, b))
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
    let Reply::Structured { value, text } = reply else { panic!("{reply:?}") };
    assert!(validator(&output_schema(&signature).unwrap()).is_valid(&value), "{value}");
    let inner = if is_object_result(shape) { value } else { value["result"].clone() };
    assert_eq!(inner.as_str().map_or_else(|| inner.to_string(), str::to_owned), text);

    // The limit is exact: the text fits into its own length and into nothing less.
    let length = inner.to_string().len() as u64;
    assert!(encode_result(&signature, std::slice::from_ref(val), length).is_ok());
    let error = encode_result(&signature, std::slice::from_ref(val), length - 1).unwrap_err();
    assert_eq!(error, ResultError::TooLarge { max_bytes: length - 1 });
    inner
}

/// Schema and codec take the same; of an exempt document, the codec may refuse what is valid.
fn agree(params: &[Field], arguments: &Value, is_exempt: bool) -> Result<(), TestCaseError> {
    let signature = takes(params.to_vec());
    let is_valid = validator(&input_schema(&signature)).is_valid(&absent_nulls_removed(params, arguments));
    let decoded = decode_arguments(&signature, arguments.as_object().unwrap());
    if is_exempt {
        prop_assert!(is_valid || decoded.is_err(), "{arguments} decoded as {decoded:?}");
    } else {
        prop_assert_eq!(is_valid, decoded.is_ok(), "{} decoded as {:?}", arguments, decoded);
    }
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
        let seen = absent_nulls_removed(&params, &arguments);
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
        agree(&params, &arguments, has_large_float(&arguments))?;
    }

    #[test]
    fn the_borders_of_a_type_are_the_same_for_both(
        (shape, value) in leaves().prop_flat_map(|shape| {
            let value = near(&shape);
            (Just(shape), value)
        }),
    ) {
        let is_exempt = matches!(shape, Shape::Integer(_)) && has_large_float(&value);
        agree(&[field("it", shape)], &json!({ "it": value }), is_exempt)?;
    }

    #[test]
    fn schemas_stay_in_the_common_subset(shape in shapes()) {
        let signature = gives(shape);
        let schema = output_schema(&signature).unwrap();
        prop_assert_eq!(schema.get("type"), Some(&Value::from("object")));
        let text = schema.as_value().to_string();
        for keyword in ["$ref", "$schema", "oneOf", "anyOf", "allOf"] {
            prop_assert!(!text.contains(&format!("\"{keyword}\"")), "{}", text);
        }
        prop_assert!(jsonschema::draft202012::meta::is_valid(schema.as_value()));
    }
}
