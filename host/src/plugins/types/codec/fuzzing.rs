//! Generated types, and foreign JSON and values of them.
//!
//! A type is written as letters, one for each type in it, the outer one first: `lo3` is `list<option<s16>>`.

use serde_json::{Map, Value};
use wasmtime::component::Val;

use super::{Reply, ResultError, decode_arguments, encode_result, weigh_arguments};
use crate::fuzzing::promises::assert_shown;
use crate::plugins::types::schema::{input_schema, is_object_result, output_schema};
use crate::plugins::types::shape::{Case, Field, Integer, Label, ResultShape, Shape, Signature};

const NAMES: [&str; 4] = ["a", "b-c", "result", "ok"];

const INTEGERS: [Integer; 8] =
    [Integer::S8, Integer::U8, Integer::S16, Integer::U16, Integer::S32, Integer::U32, Integer::S64, Integer::U64];

/// Types inside each other.
const MAX_DEPTH: usize = 8;

/// No number of the result is above it.
const LARGE: u64 = 64 << 20;

/// The name of the argument.
const IT: &str = "it";

/// A line of letters for a type, and JSON for one argument of it.
pub(crate) fn json_to_values(bytes: &[u8]) {
    let Some((shape, json)) = typed(bytes) else { return };
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
    let arguments = Map::from_iter([(IT.to_owned(), value)]);
    let takes = takes(&shape);
    let weight = weigh_arguments(&takes, &arguments);
    let mut vals = match decode_arguments(&takes, &arguments) {
        Ok(vals) => vals,
        Err(error) => return assert_shown(&error.to_string(), 4096),
    };
    let memory = vals.iter().map(memory).sum::<usize>();
    assert!(memory <= weight, "values of {memory} bytes were weighed as {weight}");
    let val = vals.pop().expect("one argument");
    let json = echo(&shape, &val, LARGE).expect("every argument is a result");
    let again = Map::from_iter([(IT.to_owned(), json)]);
    assert_eq!(decode_arguments(&takes, &again).as_deref(), Ok(&[val][..]), "{again:?} is read as something else");
    assert!(is_valid(&input_schema(&takes), &Value::Object(again)), "the schema refuses it");
}

/// A line of letters for a type, and bytes of which a value of it is made.
pub(crate) fn values_to_json(bytes: &[u8]) {
    let Some((shape, bytes)) = typed(bytes) else { return };
    let mut source = Source(bytes);
    let max_bytes = 16_u64 << (source.byte() % 16);
    let val = source.val(&shape);
    match echo(&shape, &val, max_bytes) {
        Ok(json) => {
            let arguments = Map::from_iter([(IT.to_owned(), json)]);
            let decoded = decode_arguments(&takes(&shape), &arguments);
            assert_eq!(decoded.as_deref(), Ok(&[val][..]), "{arguments:?} is read as something else");
        }
        Err(ResultError::TooLarge { max_bytes: told }) => {
            assert_eq!(told, max_bytes);
            let whole = echo(&shape, &val, LARGE);
            assert!(whole.is_err() || whole.is_ok_and(|json| json.to_string().len() as u64 > max_bytes));
        }
        Err(error @ ResultError::NotFinite { .. }) => {
            assert!(has(&val, &|val| match val {
                Val::Float32(float) => !float.is_finite(),
                Val::Float64(float) => !float.is_finite(),
                _ => false,
            }));
            assert_shown(&error.to_string(), 4096);
        }
        Err(error @ ResultError::RepeatedKey { .. }) => {
            assert!(has(&val, &|val| match val {
                Val::Map(entries) => {
                    entries.iter().enumerate().any(|(at, (key, _))| entries[..at].iter().any(|(other, _)| other == key))
                }
                _ => false,
            }));
            assert_shown(&error.to_string(), 4096);
        }
        Err(error) => panic!("{error}"),
    }
}

/// Encodes a value as a result, and returns the JSON of the value itself.
fn echo(shape: &Shape, val: &Val, max_bytes: u64) -> Result<Value, ResultError> {
    let signature = Signature { params: Vec::new(), output: ResultShape::Value(shape.clone()), output_docs: None };
    let (value, text) = match encode_result(&signature, std::slice::from_ref(val), max_bytes)? {
        Reply::Structured(structured) => {
            let value: Value = serde_json::from_str(&structured.content().concat()).expect("it is JSON");
            let text = structured.into_text();
            assert!(is_valid(&output_schema(&signature).expect("it has a value"), &value), "{value}");
            let inner = if is_object_result(shape) { value } else { value["result"].clone() };
            (inner, text)
        }
        Reply::Text(text) => (Value::from(text.as_str()), text),
        reply => panic!("{reply:?}"),
    };
    assert!(text.len() as u64 <= max_bytes, "{} of {max_bytes} bytes", text.len());
    let said = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    assert_eq!(said, text, "text and value differ");
    Ok(value)
}

fn takes(shape: &Shape) -> Signature {
    let params = vec![Field { name: IT.to_owned(), shape: shape.clone(), docs: None }];
    Signature { params, output: ResultShape::Nothing, output_docs: None }
}

fn is_valid(schema: &schemars::Schema, value: &Value) -> bool {
    jsonschema::draft202012::new(schema.as_value()).expect("it is a schema").is_valid(value)
}

/// The bytes that a value takes, at least.
fn memory(val: &Val) -> usize {
    let inside = match val {
        Val::String(text) | Val::Enum(text) => text.len(),
        Val::List(vals) | Val::Tuple(vals) => vals.iter().map(memory).sum(),
        Val::Map(entries) => entries.iter().map(|(key, val)| memory(key) + memory(val)).sum(),
        Val::Record(fields) => fields.iter().map(|(name, val)| size_of::<String>() + name.len() + memory(val)).sum(),
        Val::Variant(name, val) => name.len() + val.as_deref().map_or(0, memory),
        Val::Option(val) | Val::Result(Ok(val) | Err(val)) => val.as_deref().map_or(0, memory),
        Val::Flags(names) => names.iter().map(|name| size_of::<String>() + name.len()).sum(),
        _ => 0,
    };
    size_of::<Val>() + inside
}

/// True if it is of a value or one inside it.
fn has(val: &Val, is: &dyn Fn(&Val) -> bool) -> bool {
    let inside = match val {
        Val::List(vals) | Val::Tuple(vals) => vals.iter().any(|val| has(val, is)),
        Val::Map(entries) => entries.iter().any(|(_, val)| has(val, is)),
        Val::Record(fields) => fields.iter().any(|(_, val)| has(val, is)),
        Val::Variant(_, val) | Val::Option(val) | Val::Result(Ok(val) | Err(val)) => {
            val.as_deref().is_some_and(|val| has(val, is))
        }
        _ => false,
    };
    inside || is(val)
}

/// The type in the first line, and the bytes of the others.
fn typed(bytes: &[u8]) -> Option<(Shape, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((Source(&bytes[..end]).shape(MAX_DEPTH), &bytes[end + 1..]))
}

/// Bytes that types and values are made of. At the end of them there are zeros.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A number of parts, from 1 to 4; no more than there are bytes for.
    fn count(&mut self) -> usize {
        (usize::from(self.byte() % 4) + 1).min(self.0.len().max(1))
    }

    /// The length of a list.
    fn length(&mut self) -> usize {
        usize::from(self.byte() % 8).min(self.0.len())
    }

    fn shape(&mut self, depth: usize) -> Shape {
        if depth == 0 {
            return Shape::Bool;
        }
        match self.byte() {
            digit @ b'0'..=b'7' => Shape::Integer(INTEGERS[usize::from(digit - b'0')]),
            b'f' => Shape::F32,
            b'd' => Shape::F64,
            b'c' => Shape::Char,
            b's' => Shape::String,
            b'y' => Shape::Bytes,
            b'l' => match self.shape(depth - 1) {
                Shape::Integer(Integer::U8) => Shape::Bytes,
                item => Shape::List(Box::new(item)),
            },
            b'm' => Shape::Map(Box::new(self.shape(depth - 1))),
            b'e' => {
                let key = match self.byte() {
                    digit @ b'0'..=b'7' => Shape::Integer(INTEGERS[usize::from(digit - b'0')]),
                    b'c' => Shape::Char,
                    _ => Shape::Bool,
                };
                let field = |name: &str, shape| Field { name: name.to_owned(), shape, docs: None };
                let value = self.shape(depth - 1);
                Shape::Entries(Box::new(Shape::Record(vec![field("key", key), field("value", value)])))
            }
            b't' => Shape::Tuple((0..self.count()).map(|_| self.shape(depth - 1)).collect()),
            b'r' => {
                let names = NAMES.iter().take(self.count());
                let field = |name: &&str| Field { name: (*name).to_owned(), shape: self.shape(depth - 1), docs: None };
                Shape::Record(names.map(field).collect())
            }
            b'v' => {
                let names = NAMES.iter().take(self.count());
                let case = |name: &&str| Case { name: (*name).to_owned(), shape: self.payload(depth - 1), docs: None };
                Shape::Variant(names.map(case).collect::<Vec<_>>().into())
            }
            b'n' => Shape::Enum(self.labels().into()),
            b'g' => Shape::Flags(self.labels().into()),
            b'o' => match self.shape(depth - 1) {
                inner @ Shape::Option(_) => inner,
                inner => Shape::Option(Box::new(inner)),
            },
            b'x' => {
                Shape::Result { ok: self.payload(depth - 1).map(Box::new), err: self.payload(depth - 1).map(Box::new) }
            }
            _ => Shape::Bool,
        }
    }

    /// The type of a case; `u` for none.
    fn payload(&mut self, depth: usize) -> Option<Shape> {
        if self.0.first() == Some(&b'u') {
            self.byte();
            return None;
        }
        Some(self.shape(depth))
    }

    fn labels(&mut self) -> Vec<Label> {
        NAMES.iter().take(self.count()).map(|name| Label { name: (*name).to_owned(), docs: None }).collect()
    }

    /// A value of a type.
    fn val(&mut self, shape: &Shape) -> Val {
        match shape {
            Shape::Bool => Val::Bool(self.byte() % 2 == 1),
            Shape::Integer(Integer::S8) => Val::S8(self.byte().cast_signed()),
            Shape::Integer(Integer::U8) => Val::U8(self.byte()),
            Shape::Integer(Integer::S16) => Val::S16(i16::from_le_bytes(self.array())),
            Shape::Integer(Integer::U16) => Val::U16(u16::from_le_bytes(self.array())),
            Shape::Integer(Integer::S32) => Val::S32(i32::from_le_bytes(self.array())),
            Shape::Integer(Integer::U32) => Val::U32(u32::from_le_bytes(self.array())),
            Shape::Integer(Integer::S64) => Val::S64(i64::from_le_bytes(self.array())),
            Shape::Integer(Integer::U64) => Val::U64(u64::from_le_bytes(self.array())),
            Shape::F32 => Val::Float32(f32::from_le_bytes(self.array())),
            Shape::F64 => Val::Float64(f64::from_le_bytes(self.array())),
            Shape::Char => Val::Char(self.char()),
            Shape::String => Val::String(self.string()),
            Shape::Bytes => Val::List((0..self.length()).map(|_| Val::U8(self.byte())).collect()),
            Shape::List(item) => Val::List((0..self.length()).map(|_| self.val(item)).collect()),
            Shape::Map(value) => {
                Val::Map((0..self.length()).map(|_| (Val::String(self.string()), self.val(value))).collect())
            }
            Shape::Entries(entry) => {
                let Shape::Record(fields) = &**entry else { unreachable!("an entry is a record") };
                let length = self.length();
                let entry = |_| (self.val(&fields[0].shape), self.val(&fields[1].shape));
                Val::Map((0..length).map(entry).collect())
            }
            Shape::Tuple(shapes) => Val::Tuple(shapes.iter().map(|shape| self.val(shape)).collect()),
            Shape::Record(fields) => {
                Val::Record(fields.iter().map(|field| (field.name.clone(), self.val(&field.shape))).collect())
            }
            Shape::Variant(cases) => {
                let case = &cases[usize::from(self.byte()) % cases.len()];
                Val::Variant(case.name.clone(), case.shape.as_ref().map(|shape| Box::new(self.val(shape))))
            }
            Shape::Enum(labels) => Val::Enum(labels[usize::from(self.byte()) % labels.len()].name.clone()),
            Shape::Flags(labels) => {
                let set = self.byte();
                let labels = labels.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
                Val::Flags(labels.map(|(_, label)| label.name.clone()).collect())
            }
            Shape::Option(some) => Val::Option((self.byte() % 2 == 1).then(|| Box::new(self.val(some)))),
            Shape::Result { ok, err } => {
                let is_ok = self.byte() % 2 == 1;
                let payload = if is_ok { ok } else { err }.as_deref().map(|shape| Box::new(self.val(shape)));
                Val::Result(if is_ok { Ok(payload) } else { Err(payload) })
            }
        }
    }

    fn char(&mut self) -> char {
        char::from_u32(u32::from_le_bytes(self.array()) >> 11).unwrap_or('\u{202e}')
    }

    fn string(&mut self) -> String {
        let length = usize::from(self.byte() % 32).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}
