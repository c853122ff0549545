//! Generated types, JSON that fits them, and JSON that nearly does.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use super::{case, entries, field, labels};
use crate::plugins::types::shape::{Field, Integer, Shape};

const NAMES: [&str; 5] = ["a", "b-c", "type", "result", "ok"];

const INTEGERS: [Integer; 8] =
    [Integer::S8, Integer::U8, Integer::S16, Integer::U16, Integer::S32, Integer::U32, Integer::S64, Integer::U64];

/// The aim of generated JSON: always to fit its type, or often to miss it by a little.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    Fitting,
    Near,
}

/// Types without types inside.
pub(super) fn leaves() -> impl Strategy<Value = Shape> {
    let some_labels = || subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_map(|names| labels(&names));
    prop_oneof![
        Just(Shape::Bool),
        select(&INTEGERS[..]).prop_map(Shape::Integer),
        Just(Shape::F32),
        Just(Shape::F64),
        Just(Shape::Char),
        Just(Shape::String),
        Just(Shape::Bytes),
        some_labels().prop_map(|labels| Shape::Enum(labels.into())),
        some_labels().prop_map(|labels| Shape::Flags(labels.into())),
    ]
}

/// The types that a map's keys may have, but for strings.
fn keys() -> impl Strategy<Value = Shape> {
    prop_oneof![Just(Shape::Bool), select(&INTEGERS[..]).prop_map(Shape::Integer), Just(Shape::Char)]
}

pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    leaves().prop_recursive(4, 24, 4, |inner| {
        let payload = || prop::option::of(inner.clone());
        prop_oneof![
            inner
                .clone()
                .prop_filter("a list of u8 is Bytes", |item| *item != Shape::Integer(Integer::U8))
                .prop_map(|item| Shape::List(Box::new(item))),
            inner.clone().prop_map(|value| Shape::Map(Box::new(value))),
            (keys(), inner.clone()).prop_map(|(key, value)| entries(key, value)),
            vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            fields(inner.clone(), 1).prop_map(Shape::Record),
            vec(payload(), 1..4).prop_map(|payloads| {
                Shape::Variant(
                    NAMES.iter().zip(payloads).map(|(name, shape)| case(name, shape)).collect::<Vec<_>>().into(),
                )
            }),
            inner
                .clone()
                .prop_filter("no option directly in an option", |value| !matches!(value, Shape::Option(_)))
                .prop_map(|value| Shape::Option(Box::new(value))),
            (payload(), payload()).prop_map(|(ok, err)| Shape::Result { ok: ok.map(Box::new), err: err.map(Box::new) }),
        ]
    })
}

pub(in crate::plugins) fn params() -> impl Strategy<Value = Vec<Field>> {
    fields(shapes().boxed(), 0)
}

fn fields(shape: BoxedStrategy<Shape>, least: usize) -> impl Strategy<Value = Vec<Field>> {
    vec(shape, least..4).prop_map(|shapes| NAMES.iter().zip(shapes).map(|(name, shape)| field(name, shape)).collect())
}

/// An object with the properties of the fields: optional ones absent, `null` or there.
pub(super) fn object(fields: &[Field], aim: Aim) -> BoxedStrategy<Value> {
    let properties: Vec<_> = fields
        .iter()
        .map(|field| {
            let name = field.name.clone();
            let present = value(&field.shape, aim).prop_map(move |value| Some((name.clone(), value)));
            if field.is_required() { present.boxed() } else { prop_oneof![Just(None), present].boxed() }
        })
        .collect();
    properties.prop_map(|properties| Value::Object(properties.into_iter().flatten().collect())).boxed()
}

/// JSON that the shape takes, or nearly takes.
fn value(shape: &Shape, aim: Aim) -> BoxedStrategy<Value> {
    let fitting = match shape {
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Integer(integer) => {
            let (least, greatest) = (i128::from(integer.minimum()), i128::from(integer.maximum()));
            let small = (-300..=300_i128).prop_filter("in range", move |value| (least..=greatest).contains(value));
            prop_oneof![
                (least..=greatest).prop_map(exact),
                small.prop_map(|value| json!(value as f64)),
                select(vec![least, greatest]).prop_map(exact),
            ]
            .boxed()
        }
        Shape::F32 => prop_oneof![any::<f32>(), select(&[f32::MIN, f32::MAX, -0.0, 0.1][..])]
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
        Shape::List(item) => vec(value(item, aim), 0..4).prop_map(Value::from).boxed(),
        Shape::Map(item) => {
            let members =
                vec((prop_oneof![select(&NAMES[..]).prop_map(str::to_owned), any::<String>()], value(item, aim)), 0..4);
            members.prop_map(|members| Value::Object(members.into_iter().collect())).boxed()
        }
        Shape::Entries(entry) => {
            let items = vec(value(entry, aim), 0..4);
            match aim {
                Aim::Near => items.prop_map(Value::from).boxed(),
                Aim::Fitting => items.prop_map(|items| Value::from(without_repeated_keys(items))).boxed(),
            }
        }
        Shape::Tuple(items) => {
            items.iter().map(|item| value(item, aim)).collect::<Vec<_>>().prop_map(Value::from).boxed()
        }
        Shape::Record(fields) => object(fields, aim),
        Shape::Variant(cases) => {
            let cases = cases.iter().map(|case| one_key(&case.name, case.shape.as_ref(), aim));
            Union::new(cases).boxed()
        }
        Shape::Result { ok, err } => {
            prop_oneof![one_key("ok", ok.as_deref(), aim), one_key("err", err.as_deref(), aim)].boxed()
        }
        Shape::Enum(labels) => select(labels.to_vec()).prop_map(|label| Value::from(label.name)).boxed(),
        Shape::Flags(labels) => {
            let names: Vec<Value> = labels.iter().map(|label| Value::from(label.name.as_str())).collect();
            let count = names.len();
            subsequence(names, 0..=count).prop_shuffle().prop_map(Value::from).boxed()
        }
        Shape::Option(inner) => prop_oneof![Just(Value::Null), value(inner, aim)].boxed(),
    };
    match aim {
        Aim::Fitting => fitting,
        Aim::Near => prop_oneof![4 => fitting, 1 => near(shape)].boxed(),
    }
}

/// The first entry for each key, however its number is spelt.
fn without_repeated_keys(items: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !kept.iter().any(|known| is_same_key(&known["key"], &item["key"])) {
            kept.push(item);
        }
    }
    kept
}

/// True if two keys that fit their type are one.
pub(super) fn is_same_key(a: &Value, b: &Value) -> bool {
    let is_float = a.is_f64() || b.is_f64();
    a == b || is_float && a.as_f64().is_some() && a.as_f64() == b.as_f64()
}

/// JSON around the borders of what a shape takes, on either side.
pub(super) fn near(shape: &Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Integer(integer) => {
            let (least, greatest) = (i128::from(integer.minimum()), i128::from(integer.maximum()));
            let border = select(vec![least, greatest]);
            prop_oneof![
                (border, -1..=1_i128).prop_map(|(border, offset)| exact(border + offset)),
                (-600..600_i32).prop_map(|half| json!(f64::from(half) / 2.0)),
            ]
            .boxed()
        }
        Shape::F32 => {
            let greatest = f64::from(f32::MAX);
            let borders = [greatest, greatest.next_up(), -greatest, (-greatest).next_down(), 3.402_823_5e38];
            select(borders.to_vec()).prop_map(Value::from).boxed()
        }
        Shape::Char => select(&["", "a", "é", "ab", "👍🏽"][..]).prop_map(Value::from).boxed(),
        Shape::Bytes => {
            let ends =
                ["", "=", "A", "AA", "AAA", "AA=", "A===", "AA==", "AB==", "Aw==", "AAB=", "AAE=", "A-A=", "AA==A"];
            (0..3_usize, select(ends.to_vec())).prop_map(|(groups, end)| json!("Ab+/".repeat(groups) + end)).boxed()
        }
        Shape::Flags(_) | Shape::List(_) | Shape::Entries(_) | Shape::Tuple(_) => {
            vec(scalar(), 0..4).prop_map(Value::from).boxed()
        }
        _ => scalar().boxed(),
    }
}

fn one_key(name: &str, shape: Option<&Shape>, aim: Aim) -> BoxedStrategy<Value> {
    let name = name.to_owned();
    let payload = shape.map_or_else(|| Just(json!(true)).boxed(), |shape| value(shape, aim));
    payload.prop_map(move |value| Value::Object(Map::from_iter([(name.clone(), value)]))).boxed()
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn exact(value: i128) -> Value {
    match (u64::try_from(value), i64::try_from(value)) {
        (Ok(value), _) => value.into(),
        (_, Ok(value)) => value.into(),
        // Beyond 64 bits, a JSON number is read as a double.
        _ => json!(value as f64),
    }
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
    Quote(&'static str, &'static str),
}

pub(super) fn mutations() -> impl Strategy<Value = Mutation> {
    let change = prop_oneof![
        scalar().prop_map(Change::Replace),
        any::<Index>().prop_map(Change::Remove),
        (select(&NAMES[..]), scalar()).prop_map(|(name, value)| Change::Insert(name, value)),
        Just(Change::Repeat),
        select(&[-1.0, 0.5, 2.0, 256.0, 1e20, 1e300][..]).prop_map(Change::Scale),
        prop_oneof![select(&['=', 'A', '_', '\n', 'é'][..]), any::<char>()].prop_map(Change::Edit),
        prop_oneof![
            Just(("", "")).boxed(),
            select(&[(" ", ""), ("", "\n"), ("+", ""), ("0", ""), ("\"", "\"")][..]).boxed()
        ]
        .prop_map(|(before, after)| Change::Quote(before, after)),
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
        if pointer.is_empty() && matches!(self.change, Change::Replace(_) | Change::Quote(..)) {
            return;
        }
        match (&self.change, value) {
            (Change::Replace(new), value) => *value = new.clone(),
            (Change::Quote(before, after), value) => *value = format!("{before}{value}{after}").into(),
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
