//! The memory that arguments take as the engine's values.

use std::mem::size_of;

use serde_json::{Map, Value};
use wasmtime::component::Val;

use super::unquote::{self, Reading};
use crate::plugins::types::shape::{Field, Shape};

/// The engine's value itself.
pub(super) const VAL: usize = size_of::<Val>();

/// A name beside a value: of a record's field, a variant's case, an enum's case, a flag.
const NAME: usize = size_of::<String>();

/// What an allocation takes beside its bytes, and the least that it takes.
const ALLOCATION: usize = 16;
const LEAST_ALLOCATION: usize = 32;

/// Items for which a list allocates at first.
const FIRST_ITEMS: usize = 4;

fn of_text(length: usize) -> usize {
    if length == 0 { 0 } else { (length + ALLOCATION).max(LEAST_ALLOCATION) }
}

fn of_items(count: usize) -> usize {
    if count == 0 { 0 } else { count.max(FIRST_ITEMS) * VAL + ALLOCATION }
}

/// The bytes that decoding these properties takes, about. What does not fit its shape weighs nothing: decoding stops
/// there.
pub(super) fn of_properties(fields: &[Field], object: &Map<String, Value>, reading: Reading) -> usize {
    let weigh = |field: &Field| {
        let value = object.get(&field.name).map_or(0, |value| of_value(&field.shape, value, reading));
        VAL + NAME + of_text(field.name.len()) + value
    };
    ALLOCATION + fields.iter().map(weigh).sum::<usize>()
}

/// The same of one value, beyond the value's own place.
fn of_value(shape: &Shape, value: &Value, reading: Reading) -> usize {
    match (shape, value) {
        (Shape::String, Value::String(text)) => of_text(text.len()),
        // Three bytes of four characters, and each is a value of its own.
        (Shape::Bytes, Value::String(text)) => text.len() / 4 * 3 * VAL,
        (Shape::List(item), Value::Array(items)) => {
            of_items(items.len()) + items.iter().map(|value| of_value(item, value, reading)).sum::<usize>()
        }
        // An entry is a record for a moment.
        (Shape::Entries(entry), Value::Array(items)) => {
            items.iter().map(|value| 2 * VAL + of_value(entry, value, reading)).sum()
        }
        (Shape::Map(shape), Value::Object(object)) => {
            object.iter().map(|(key, value)| 2 * VAL + of_text(key.len()) + of_value(shape, value, reading)).sum()
        }
        (Shape::Tuple(shapes), Value::Array(items)) => {
            shapes.iter().zip(items).map(|(shape, value)| VAL + of_value(shape, value, reading)).sum()
        }
        (Shape::Record(fields), Value::Object(object)) => of_properties(fields, object, reading),
        (Shape::Variant(cases), Value::Object(object)) => {
            let payload = |name: &str| cases.named(name)?.shape.as_ref();
            of_case(object, reading, payload)
        }
        (Shape::Result { ok, err }, Value::Object(object)) => of_case(object, reading, |name| match name {
            "ok" => ok.as_deref(),
            "err" => err.as_deref(),
            _ => None,
        }),
        (Shape::Option(_), Value::Null) => 0,
        (Shape::Option(some), value) => VAL + ALLOCATION + of_value(some, value, reading),
        (Shape::Enum(_), Value::String(name)) => of_text(name.len()),
        (Shape::Flags(labels), Value::Array(items)) => items.len().min(labels.len()) * 3 * NAME,
        // What is in a string weighs what it would weigh without.
        (shape, Value::String(text)) if reading == Reading::AsSent => {
            unquote::value_in(shape, text).map_or(0, |value| of_value(shape, &value, Reading::Unquoted))
        }
        _ => 0,
    }
}

fn of_case<'a>(object: &Map<String, Value>, reading: Reading, payload: impl Fn(&str) -> Option<&'a Shape>) -> usize {
    let Some((name, value)) = object.iter().next() else { return 0 };
    NAME + of_text(name.len()) + VAL + ALLOCATION + payload(name).map_or(0, |shape| of_value(shape, value, reading))
}
