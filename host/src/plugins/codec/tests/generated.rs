//! Generated types, JSON that fits them, and JSON that nearly does.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::{Map, Value, json};

use super::{case, field, labels};
use crate::plugins::shape::{Field, Integer, Shape};

const NAMES: [&str; 5] = ["a", "b-c", "type", "result", "ok"];

const INTEGERS: [Integer; 8] =
    [Integer::S8, Integer::U8, Integer::S16, Integer::U16, Integer::S32, Integer::U32, Integer::S64, Integer::U64];

pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    let some_labels = || subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_map(|names| labels(&names));
    let leaf = prop_oneof![
        Just(Shape::Bool),
        select(&INTEGERS[..]).prop_map(Shape::Integer),
        Just(Shape::F32),
        Just(Shape::F64),
        Just(Shape::Char),
        Just(Shape::String),
        Just(Shape::Bytes),
        some_labels().prop_map(Shape::Enum),
        some_labels().prop_map(Shape::Flags),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let payload = || prop::option::of(inner.clone());
        prop_oneof![
            inner
                .clone()
                .prop_filter("a list of u8 is Bytes", |item| *item != Shape::Integer(Integer::U8))
                .prop_map(|item| Shape::List(Box::new(item))),
            vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            fields(inner.clone(), 1).prop_map(Shape::Record),
            vec(payload(), 1..4).prop_map(|payloads| {
                Shape::Variant(NAMES.iter().zip(payloads).map(|(name, shape)| case(name, shape)).collect())
            }),
            inner
                .clone()
                .prop_filter("no option directly in an option", |value| !matches!(value, Shape::Option(_)))
                .prop_map(|value| Shape::Option(Box::new(value))),
            (payload(), payload()).prop_map(|(ok, err)| Shape::Result { ok: ok.map(Box::new), err: err.map(Box::new) }),
        ]
    })
}

pub(super) fn params() -> impl Strategy<Value = Vec<Field>> {
    fields(shapes().boxed(), 0)
}

fn fields(shape: BoxedStrategy<Shape>, least: usize) -> impl Strategy<Value = Vec<Field>> {
    vec(shape, least..4).prop_map(|shapes| NAMES.iter().zip(shapes).map(|(name, shape)| field(name, shape)).collect())
}

/// An object with the properties of the fields: optional ones absent, `null` or there.
pub(super) fn object(fields: &[Field]) -> BoxedStrategy<Value> {
    let properties: Vec<_> = fields
        .iter()
        .map(|field| {
            let name = field.name.clone();
            let present = value(&field.shape).prop_map(move |value| Some((name.clone(), value)));
            if field.is_required() { present.boxed() } else { prop_oneof![Just(None), present].boxed() }
        })
        .collect();
    properties.prop_map(|properties| Value::Object(properties.into_iter().flatten().collect())).boxed()
}

/// JSON that the shape takes.
fn value(shape: &Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Integer(integer) => {
            let (least, greatest) = (i128::from(integer.minimum()), i128::from(integer.maximum()));
            let near = -3..=3_i128;
            let small = (-300..=300_i128).prop_filter("in range", move |value| (least..=greatest).contains(value));
            prop_oneof![
                (least..=greatest).prop_map(exact),
                small.clone().prop_map(exact),
                small.prop_map(|value| json!(value as f64)),
                near.prop_map(move |offset| exact((greatest - offset.abs()).max(least))),
            ]
            .boxed()
        }
        Shape::F32 => any::<f32>()
            .prop_filter("finite", |float| float.is_finite())
            .prop_map(|float| json!(f64::from(float)))
            .boxed(),
        Shape::F64 => prop_oneof![
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
        ]
        .boxed(),
        Shape::Char => any::<char>().prop_map(|char| Value::from(char.to_string())).boxed(),
        Shape::String => any::<String>().prop_map(Value::from).boxed(),
        Shape::Bytes => vec(any::<u8>(), 0..8).prop_map(|bytes| Value::from(base64(&bytes))).boxed(),
        Shape::List(item) => vec(value(item), 0..4).prop_map(Value::from).boxed(),
        Shape::Tuple(items) => items.iter().map(value).collect::<Vec<_>>().prop_map(Value::from).boxed(),
        Shape::Record(fields) => object(fields),
        Shape::Variant(cases) => {
            let cases: Vec<_> = cases.iter().map(|case| one_key(&case.name, case.shape.as_ref())).collect();
            proptest::strategy::Union::new(cases).boxed()
        }
        Shape::Result { ok, err } => prop_oneof![one_key("ok", ok.as_deref()), one_key("err", err.as_deref())].boxed(),
        Shape::Enum(labels) => select(labels.clone()).prop_map(|label| Value::from(label.name)).boxed(),
        Shape::Flags(labels) => {
            let names: Vec<Value> = labels.iter().map(|label| Value::from(label.name.as_str())).collect();
            let count = names.len();
            subsequence(names, 0..=count).prop_shuffle().prop_map(Value::from).boxed()
        }
        Shape::Option(inner) => prop_oneof![Just(Value::Null), value(inner)].boxed(),
    }
}

fn one_key(name: &str, shape: Option<&Shape>) -> BoxedStrategy<Value> {
    let name = name.to_owned();
    let payload = shape.map_or_else(|| Just(json!(true)).boxed(), value);
    payload.prop_map(move |value| Value::Object(Map::from_iter([(name.clone(), value)]))).boxed()
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn exact(value: i128) -> Value {
    u64::try_from(value).map_or_else(|_| json!(i64::try_from(value).unwrap()), Value::from)
}

/// One change somewhere in a document.
#[derive(Debug, Clone)]
pub(super) struct Mutation {
    place: Index,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove(Index),
    Insert(&'static str, Value),
    Repeat,
    Scale(f64),
    Edit(char),
}

pub(super) fn mutations() -> impl Strategy<Value = Mutation> {
    let change = prop_oneof![
        scalar().prop_map(Change::Replace),
        any::<Index>().prop_map(Change::Remove),
        (select(&NAMES[..]), scalar()).prop_map(|(name, value)| Change::Insert(name, value)),
        Just(Change::Repeat),
        select(&[-1.0, 0.5, 2.0, 256.0, 1e20, 1e300][..]).prop_map(Change::Scale),
        prop_oneof![select(&['=', 'A', '_', '\n', 'é'][..]), any::<char>()].prop_map(Change::Edit),
    ];
    (any::<Index>(), change).prop_map(|(place, change)| Mutation { place, change })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-300..300_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(&NAMES[..]).prop_map(Value::from),
        select(&["AA==", "AB==", "AAA=", "AAB=", "AAAA", "A", "=", "AA==AA==", "AAA"][..]).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!({ "ok": true })),
        Just(json!([null])),
    ]
}

impl Mutation {
    pub(super) fn apply(&self, document: &mut Value) {
        let mut places = Vec::new();
        collect_pointers(document, String::new(), &mut places);
        let pointer = self.place.get(&places);
        let Some(value) = document.pointer_mut(pointer) else { return };
        // The root stays an object: a request cannot carry other arguments.
        if pointer.is_empty() && matches!(self.change, Change::Replace(_)) {
            return;
        }
        match (&self.change, value) {
            (Change::Replace(new), value) => *value = new.clone(),
            (Change::Remove(index), Value::Object(object)) if !object.is_empty() => {
                let name = object.keys().nth(index.index(object.len())).unwrap().clone();
                object.remove(&name);
            }
            (Change::Remove(index), Value::Array(items)) if !items.is_empty() => {
                items.remove(index.index(items.len()));
            }
            (Change::Insert(name, new), Value::Object(object)) => {
                object.insert((*name).to_owned(), new.clone());
            }
            (Change::Insert(_, new), Value::Array(items)) => items.push(new.clone()),
            (Change::Repeat, Value::Array(items)) => items.extend(items.first().cloned()),
            (Change::Scale(factor), Value::Number(number)) => {
                if let Some(scaled) = number.as_f64().and_then(|float| serde_json::Number::from_f64(float * factor)) {
                    *number = scaled;
                }
            }
            (Change::Edit(char), Value::String(text)) => text.push(*char),
            _ => {}
        }
    }
}

fn collect_pointers(value: &Value, pointer: String, places: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_pointers(item, format!("{pointer}/{index}"), places);
            }
        }
        Value::Object(object) => {
            for (name, value) in object {
                collect_pointers(value, format!("{pointer}/{name}"), places);
            }
        }
        _ => {}
    }
    places.push(pointer);
}
