//! From JSON to the engine's values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use wasmtime::component::Val;

use super::keys::Keys;
use super::unquote::{self, Reading};
use super::wording::{description, expectation, listed, names, unknown_property};
use super::{ArgumentError, Path};
use crate::plugins::types::shape::{ByName, Case, Field, Integer, Label, Shape};

/// The bound below which a JSON number with a fraction or exponent stands for a whole number: 2^53. From there on,
/// neighbouring integers read as the same double (`9007199254740993.0` as 2^53), so the one that was meant is not known.
const WHOLE_FLOATS_END: f64 = 9_007_199_254_740_992.0;

/// Decodes an object's properties, in the order of the fields: the arguments of a call, or a record.
pub(super) fn properties(
    fields: &[Field],
    object: &Map<String, Value>,
    at: Path<'_>,
    reading: Reading,
) -> Result<Vec<Val>, ArgumentError> {
    let mut known = 0;
    let mut vals = Vec::with_capacity(fields.len());
    for field in fields {
        let path = Path::Property(&at, &field.name);
        let val = match object.get(&field.name) {
            Some(value) => {
                known += 1;
                value_of(&field.shape, value, path, reading)?
            }
            None if !field.is_required() => Val::Option(None),
            None => return Err(missing_or_misspelt(field, fields, object, at)),
        };
        vals.push(val);
    }
    // The names are looked through only where there is a surplus: not in a call that is right.
    if known < object.len()
        && let Some(name) = unknown_property(fields, object.keys())
    {
        return Err(unknown(name, fields, at));
    }
    Ok(vals)
}

fn value_of(shape: &Shape, value: &Value, at: Path<'_>, reading: Reading) -> Result<Val, ArgumentError> {
    let val = match (shape, value) {
        (Shape::Bool, Value::Bool(value)) => Some(Val::Bool(*value)),
        (Shape::Integer(integer), Value::Number(number)) => integer_of(*integer, number),
        (Shape::F32, Value::Number(number)) => f32_of(number).map(Val::Float32),
        (Shape::F64, Value::Number(number)) => number.as_f64().map(Val::Float64),
        (Shape::Char, Value::String(text)) => only_char(text).map(Val::Char),
        (Shape::String, Value::String(text)) => Some(Val::String(text.clone())),
        (Shape::Bytes, Value::String(text)) => bytes_of(text),
        (Shape::List(item), Value::Array(items)) => {
            let vals = items.iter().enumerate();
            let vals = vals.map(|(index, value)| value_of(item, value, Path::Item(&at, index), reading));
            Some(Val::List(vals.collect::<Result<_, _>>()?))
        }
        (Shape::Map(shape), Value::Object(object)) => {
            let entry = |(name, value): (&String, &Value)| {
                let val = value_of(shape, value, Path::Property(&at, name), reading)?;
                Ok((Val::String(name.clone()), val))
            };
            Some(Val::Map(object.iter().map(entry).collect::<Result<_, ArgumentError>>()?))
        }
        (Shape::Entries(entry), Value::Array(items)) => Some(entries_of(entry, items, at, reading)?),
        (Shape::Tuple(shapes), Value::Array(items)) if shapes.len() == items.len() => {
            let vals = shapes.iter().zip(items).enumerate();
            let vals = vals.map(|(index, (shape, value))| value_of(shape, value, Path::Item(&at, index), reading));
            Some(Val::Tuple(vals.collect::<Result<_, _>>()?))
        }
        (Shape::Record(fields), Value::Object(object)) => {
            let names = fields.iter().map(|field| field.name.clone());
            Some(Val::Record(names.zip(properties(fields, object, at, reading)?).collect()))
        }
        (Shape::Variant(cases), Value::Object(object)) => match only_property(object) {
            Some((name, payload)) => Some(variant_of(cases, name, payload, at, reading)?),
            None => None,
        },
        (Shape::Result { ok, err }, Value::Object(object)) => match only_property(object) {
            Some((name, payload)) => Some(result_of(ok.as_deref(), err.as_deref(), name, payload, at, reading)?),
            None => None,
        },
        (Shape::Enum(labels), Value::String(name)) => {
            return enum_of(labels, name).ok_or_else(|| ArgumentError::Unexpected {
                path: at.to_string(),
                expected: format!("one of {}", listed(names(labels), Some(name))),
                got: description(value),
            });
        }
        (Shape::Option(_), Value::Null) => Some(Val::Option(None)),
        (Shape::Option(some), value) => {
            // The inner type's words alone: that `null` would do as well is no help to who sent something else.
            Some(Val::Option(Some(Box::new(value_of(some, value, at, reading)?))))
        }
        (Shape::Flags(labels), Value::Array(items)) => Some(flags_of(labels, items, at)?),
        _ => None,
    };
    val.or_else(|| unquoted(shape, value, at, reading)).ok_or_else(|| unexpected(shape, value, at))
}

fn entries_of(entry: &Shape, items: &[Value], at: Path<'_>, reading: Reading) -> Result<Val, ArgumentError> {
    let mut keys = Keys::default();
    let mut pairs = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = Path::Item(&at, index);
        let fields = match value_of(entry, item, path, reading)? {
            Val::Record(fields) => <[_; 2]>::try_from(fields).ok(),
            _ => None,
        };
        let Some([(name, key), (_, value)]) = fields else { return Err(unexpected(entry, item, path)) };
        if keys.insert(&key) != Some(true) {
            let path = Path::Property(&path, &name);
            let key = item.get(&name).map_or_else(|| "a key".to_owned(), description);
            return Err(ArgumentError::RepeatedKey { path: path.to_string(), key });
        }
        pairs.push((key, value));
    }
    Ok(Val::Map(pairs))
}

/// The value in a string that has been refused as it was sent.
fn unquoted(shape: &Shape, value: &Value, at: Path<'_>, reading: Reading) -> Option<Val> {
    let (Reading::AsSent, Value::String(text)) = (reading, value) else { return None };
    let value = unquote::value_in(shape, text)?;
    value_of(shape, &value, at, Reading::Unquoted).ok()
}

/// The exact integer, if the type holds it.
fn integer_of(integer: Integer, number: &Number) -> Option<Val> {
    let exact = whole(number)?;
    match integer {
        Integer::S8 => exact.try_into().ok().map(Val::S8),
        Integer::U8 => exact.try_into().ok().map(Val::U8),
        Integer::S16 => exact.try_into().ok().map(Val::S16),
        Integer::U16 => exact.try_into().ok().map(Val::U16),
        Integer::S32 => exact.try_into().ok().map(Val::S32),
        Integer::U32 => exact.try_into().ok().map(Val::U32),
        Integer::S64 => exact.try_into().ok().map(Val::S64),
        Integer::U64 => exact.try_into().ok().map(Val::U64),
    }
}

/// `1`, `1.0` and `1e0` are the same integer in JSON Schema; so are `0` and `-0.0`.
fn whole(number: &Number) -> Option<i128> {
    if let Some(exact) = number.as_u64() {
        return Some(exact.into());
    }
    if let Some(exact) = number.as_i64() {
        return Some(exact.into());
    }
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() < WHOLE_FLOATS_END).then_some(float as i128)
}

/// The nearest `f32` to a number within the type's bounds.
fn f32_of(number: &Number) -> Option<f32> {
    // From the integer itself, since rounding twice may miss the nearest.
    if let Some(exact) = number.as_u64() {
        return Some(exact as f32);
    }
    if let Some(exact) = number.as_i64() {
        return Some(exact as f32);
    }
    let float = number.as_f64()?;
    (float.abs() <= f64::from(f32::MAX)).then_some(float as f32)
}

fn only_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// Canonical padded base64 only, as the schema's pattern has it.
fn bytes_of(text: &str) -> Option<Val> {
    let bytes = STANDARD.decode(text).ok()?;
    Some(Val::List(bytes.into_iter().map(Val::U8).collect()))
}

fn only_property(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut properties = object.iter();
    let (name, value) = properties.next()?;
    properties.next().is_none().then_some((name, value))
}

fn variant_of(
    cases: &ByName<Case>,
    name: &str,
    payload: &Value,
    at: Path<'_>,
    reading: Reading,
) -> Result<Val, ArgumentError> {
    let Some(case) = cases.named(name) else {
        return Err(unknown_case(name, cases.iter().map(|case| case.name.as_str()), at));
    };
    let payload = payload_of(case.shape.as_ref(), payload, Path::Property(&at, name), reading)?;
    Ok(Val::Variant(case.name.clone(), payload))
}

fn result_of(
    ok: Option<&Shape>,
    err: Option<&Shape>,
    name: &str,
    payload: &Value,
    at: Path<'_>,
    reading: Reading,
) -> Result<Val, ArgumentError> {
    let path = Path::Property(&at, name);
    match name {
        "ok" => Ok(Val::Result(Ok(payload_of(ok, payload, path, reading)?))),
        "err" => Ok(Val::Result(Err(payload_of(err, payload, path, reading)?))),
        _ => Err(unknown_case(name, ["ok", "err"].into_iter(), at)),
    }
}

fn payload_of(
    shape: Option<&Shape>,
    value: &Value,
    at: Path<'_>,
    reading: Reading,
) -> Result<Option<Box<Val>>, ArgumentError> {
    match (shape, value) {
        (Some(shape), value) => Ok(Some(Box::new(value_of(shape, value, at, reading)?))),
        (None, Value::Bool(true)) => Ok(None),
        (None, Value::String(text)) if reading == Reading::AsSent && text == "true" => Ok(None),
        (None, value) => {
            let expected = "true (this case has no value)".to_owned();
            Err(refused(expected, value, value.is_string(), at))
        }
    }
}

fn enum_of(labels: &ByName<Label>, name: &str) -> Option<Val> {
    labels.named(name).map(|label| Val::Enum(label.name.clone()))
}

fn flags_of(labels: &ByName<Label>, items: &[Value], at: Path<'_>) -> Result<Val, ArgumentError> {
    let mut seen = vec![false; labels.len()];
    // More items than flags must repeat one, which ends the loop, however many came.
    let mut flags = Vec::with_capacity(items.len().min(labels.len()));
    for (index, item) in items.iter().enumerate() {
        let path = Path::Item(&at, index);
        let name = item.as_str();
        let Some(flag) = name.and_then(|name| labels.position(name)) else {
            return Err(ArgumentError::Unexpected {
                path: path.to_string(),
                expected: format!("one of {}", listed(names(labels), name)),
                got: description(item),
            });
        };
        let name = labels[flag].name.clone();
        if std::mem::replace(&mut seen[flag], true) {
            return Err(ArgumentError::Repeated { path: path.to_string(), name });
        }
        flags.push(name);
    }
    Ok(Val::Flags(flags))
}

fn unexpected(shape: &Shape, value: &Value, at: Path<'_>) -> ArgumentError {
    let mut expected = expectation(shape);
    if let (Shape::Integer(Integer::S64 | Integer::U64), Value::Number(number)) = (shape, value)
        && number.is_f64()
        && number.as_f64().is_some_and(|float| float.abs() >= WHOLE_FLOATS_END)
    {
        expected.push_str(", from 2^53 on without fraction or exponent");
    }
    refused(expected, value, value.is_string() && unquote::takes_no_string(shape), at)
}

fn refused(expected: String, value: &Value, is_quoted: bool, at: Path<'_>) -> ArgumentError {
    let (path, got) = (at.to_string(), description(value));
    if is_quoted {
        return ArgumentError::Quoted { path, expected, got };
    }
    ArgumentError::Unexpected { path, expected, got }
}

/// A misspelt name leaves its field empty; the misspelling is the better thing to tell.
fn missing_or_misspelt(field: &Field, fields: &[Field], object: &Map<String, Value>, at: Path<'_>) -> ArgumentError {
    match unknown_property(fields, object.keys()) {
        Some(name) => unknown(name, fields, at),
        None => ArgumentError::Missing {
            path: Path::Property(&at, &field.name).to_string(),
            expected: expectation(&field.shape),
        },
    }
}

fn unknown(name: &str, fields: &[Field], at: Path<'_>) -> ArgumentError {
    let taker = if matches!(at, Path::Root) { "this tool" } else { "this object" };
    let known = if fields.is_empty() {
        format!("{taker} takes nothing")
    } else {
        format!("{taker} takes {}", listed(fields.iter().map(|field| field.name.as_str()), Some(name)))
    };
    ArgumentError::Unknown { path: Path::Property(&at, name).to_string(), known }
}

fn unknown_case<'a>(name: &str, cases: impl Iterator<Item = &'a str>, at: Path<'_>) -> ArgumentError {
    let known = format!("there is {}", listed(cases, Some(name)));
    ArgumentError::Unknown { path: Path::Property(&at, name).to_string(), known }
}
