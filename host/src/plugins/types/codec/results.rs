//! From the engine's values to JSON.
//!
//! Only the JSON text is written, and it refuses to grow past the limit: at once the early stop, the exact count, and all
//! that a client gets. A tree of values would take up to forty times as much.

use std::collections::HashSet;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use wasmtime::component::Val;

use super::keys::Keys;
use super::wording::{quoted, reason};
use super::{Path, Reply, ResultError, Structured, lift, rich};
use crate::plugins::types::schema::{RESULT_PROPERTY, is_object_result};
use crate::plugins::types::shape::{ByName, FailureShape, Field, Integer, Label, ResultShape, Shape, SuccessShape};

pub(super) fn reply(output: &ResultShape, results: &[Val], max_bytes: u64) -> Result<Reply, ResultError> {
    match (output, results) {
        (ResultShape::Nothing, []) => Ok(Reply::Nothing),
        (ResultShape::Value(shape), [val]) => structured(shape, val, max_bytes),
        (ResultShape::Fallible { ok, err }, [Val::Result(result)]) => match (ok, err, result) {
            (Some(shape), _, Ok(Some(val))) => structured(shape, val, max_bytes),
            (None, _, Ok(None)) => Ok(Reply::Nothing),
            (_, Some(shape), Err(Some(val))) => failed(shape, val, max_bytes),
            (_, None, Err(None)) => Ok(Reply::Failed { text: reason(String::new()) }),
            _ => Err(mismatch(Path::Root)),
        },
        (ResultShape::Rich { ok, err: FailureShape::Impossible }, [val]) => success(ok, Some(val), max_bytes),
        (ResultShape::Rich { ok, err }, [Val::Result(result)]) => match result {
            Ok(val) => success(ok, val.as_deref(), max_bytes),
            Err(val) => refused(err, val.as_deref(), max_bytes),
        },
        _ => Err(mismatch(Path::Root)),
    }
}

fn success(ok: &SuccessShape, val: Option<&Val>, max_bytes: u64) -> Result<Reply, ResultError> {
    match (ok, val) {
        (SuccessShape::Nothing, None) => Ok(Reply::Nothing),
        (SuccessShape::Value(shape), Some(val)) => structured(shape, val, max_bytes),
        (SuccessShape::Block, Some(val)) => rich::blocks(vec![lift::block(val)?], max_bytes),
        (SuccessShape::Blocks, Some(val)) => rich::blocks(lift::blocks(val)?, max_bytes),
        _ => Err(mismatch(Path::Root)),
    }
}

fn refused(err: &FailureShape, val: Option<&Val>, max_bytes: u64) -> Result<Reply, ResultError> {
    match (err, val) {
        (FailureShape::Nothing, None) => Ok(Reply::Failed { text: reason(String::new()) }),
        (FailureShape::Value(shape), Some(val)) => failed(shape, val, max_bytes),
        (FailureShape::Stop, Some(val)) => rich::encode_stop(lift::stop(val)?, max_bytes),
        _ => Err(mismatch(Path::Root)),
    }
}

/// The value as the output schema has it; a plain string has none.
fn structured(shape: &Shape, val: &Val, max_bytes: u64) -> Result<Reply, ResultError> {
    if let (Shape::String, Val::String(text)) = (shape, val) {
        // The limit is on JSON, in which it may be longer.
        encode(shape, val, Path::Root, max_bytes)?;
        return Ok(Reply::Text(text.clone()));
    }
    let is_object = is_object_result(shape);
    let at = if is_object { Path::Root } else { Path::Property(&Path::Root, RESULT_PROPERTY) };
    Ok(Reply::Structured(Structured::new(encode(shape, val, at, max_bytes)?, !is_object)))
}

fn failed(shape: &Shape, val: &Val, max_bytes: u64) -> Result<Reply, ResultError> {
    let json = encode(shape, val, Path::Root, max_bytes)?;
    // An `err(none)` is a failure without a word, not one with the word `null`.
    let text = if json == "null" { String::new() } else { Structured::new(json, true).into_text() };
    Ok(Reply::Failed { text: reason(text) })
}

/// The value as JSON.
fn encode(shape: &Shape, val: &Val, at: Path<'_>, max_bytes: u64) -> Result<String, ResultError> {
    let mut encoder = Encoder { text: JsonBuffer { json: Vec::new(), max_bytes } };
    encoder.value(shape, val, at)?;
    Ok(String::from_utf8(encoder.text.json).expect("every piece is UTF-8: JSON text that serde_json wrote"))
}

fn mismatch(at: Path<'_>) -> ResultError {
    ResultError::Mismatch { path: at.to_string() }
}

/// A buffer for JSON text that refuses to grow beyond its limit.
struct JsonBuffer {
    json: Vec<u8>,
    max_bytes: u64,
}

impl JsonBuffer {
    fn has_room_for(&self, bytes: usize) -> bool {
        let length = self.json.len().saturating_add(bytes);
        u64::try_from(length).is_ok_and(|length| length <= self.max_bytes)
    }
}

impl io::Write for JsonBuffer {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if !self.has_room_for(piece.len()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.json.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Encoder {
    text: JsonBuffer,
}

impl Encoder {
    fn value(&mut self, shape: &Shape, val: &Val, at: Path<'_>) -> Result<(), ResultError> {
        match (shape, val) {
            (Shape::Bool, Val::Bool(value)) => self.write(value),
            (Shape::Integer(integer), val) => self.write(&integer_of(*integer, val).ok_or_else(|| mismatch(at))?),
            (Shape::F32, Val::Float32(float)) => self.float(shortest(*float), at),
            (Shape::F64, Val::Float64(float)) => self.float(*float, at),
            (Shape::Char, Val::Char(char)) => self.write(char),
            (Shape::String, Val::String(text)) => self.write(text),
            (Shape::Bytes, Val::List(items)) => self.bytes(items, at),
            (Shape::List(shape), Val::List(vals)) => self.array(vals.iter().map(|val| (&**shape, val)), at),
            (Shape::Map(shape), Val::Map(pairs)) => self.map(shape, pairs, at),
            (Shape::Entries(entry), Val::Map(pairs)) => self.entries(entry, pairs, at),
            (Shape::Tuple(shapes), Val::Tuple(vals)) if shapes.len() == vals.len() => {
                self.array(shapes.iter().zip(vals), at)
            }
            (Shape::Record(fields), Val::Record(vals)) if fields.len() == vals.len() => self.record(fields, vals, at),
            (Shape::Variant(cases), Val::Variant(name, payload)) => {
                let case = cases.named(name).ok_or_else(|| mismatch(at))?;
                self.case(name, case.shape.as_ref(), payload.as_deref(), at)
            }
            (Shape::Result { ok, .. }, Val::Result(Ok(payload))) => {
                self.case("ok", ok.as_deref(), payload.as_deref(), at)
            }
            (Shape::Result { err, .. }, Val::Result(Err(payload))) => {
                self.case("err", err.as_deref(), payload.as_deref(), at)
            }
            (Shape::Enum(labels), Val::Enum(name)) => {
                labels.position(name).ok_or_else(|| mismatch(at))?;
                self.write(name)
            }
            (Shape::Option(_), Val::Option(None)) => self.write(&()),
            (Shape::Option(shape), Val::Option(Some(val))) => self.value(shape, val, at),
            (Shape::Flags(labels), Val::Flags(names)) => self.flags(labels, names, at),
            _ => Err(mismatch(at)),
        }
    }

    /// A NaN or an infinity is an error: `null` would be another value.
    fn float(&mut self, float: f64, at: Path<'_>) -> Result<(), ResultError> {
        if !float.is_finite() {
            return Err(ResultError::NotFinite { path: at.to_string(), number: float.to_string() });
        }
        self.write(&float)
    }

    fn bytes(&mut self, items: &[Val], at: Path<'_>) -> Result<(), ResultError> {
        let length = base64::encoded_len(items.len(), true);
        if !length.is_some_and(|length| self.text.has_room_for(length)) {
            return Err(self.too_large());
        }
        let byte = |item: &Val| match item {
            Val::U8(byte) => Some(*byte),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
        self.write(&STANDARD.encode(bytes.ok_or_else(|| mismatch(at))?))
    }

    fn array<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a Shape, &'a Val)>,
        at: Path<'_>,
    ) -> Result<(), ResultError> {
        self.punctuation("[")?;
        for (index, (shape, val)) in items.enumerate() {
            if index > 0 {
                self.punctuation(",")?;
            }
            self.value(shape, val, Path::Item(&at, index))?;
        }
        self.punctuation("]")
    }

    fn map(&mut self, shape: &Shape, pairs: &[(Val, Val)], at: Path<'_>) -> Result<(), ResultError> {
        let mut names = HashSet::with_capacity(pairs.len());
        self.punctuation("{")?;
        for (key, val) in pairs {
            let Val::String(name) = key else { return Err(mismatch(at)) };
            let path = Path::Property(&at, name);
            let is_first = names.is_empty();
            if !names.insert(name.as_str()) {
                return Err(ResultError::RepeatedKey { path: path.to_string(), key: quoted(name) });
            }
            if !is_first {
                self.punctuation(",")?;
            }
            self.write(name)?;
            self.punctuation(":")?;
            self.value(shape, val, path)?;
        }
        self.punctuation("}")
    }

    fn entries(&mut self, entry: &Shape, pairs: &[(Val, Val)], at: Path<'_>) -> Result<(), ResultError> {
        let Shape::Record(fields) = entry else { return Err(mismatch(at)) };
        let [key_field, value_field] = fields.as_slice() else { return Err(mismatch(at)) };
        let mut keys = Keys::default();
        self.punctuation("[")?;
        for (index, (key, val)) in pairs.iter().enumerate() {
            let path = Path::Item(&at, index);
            if index > 0 {
                self.punctuation(",")?;
            }
            if !keys.insert(key).ok_or_else(|| mismatch(path))? {
                let key = encode(&key_field.shape, key, path, self.text.max_bytes)?;
                return Err(ResultError::RepeatedKey { path: path.to_string(), key });
            }
            self.object([(key_field, key), (value_field, val)].into_iter(), path)?;
        }
        self.punctuation("]")
    }

    fn record(&mut self, fields: &[Field], vals: &[(String, Val)], at: Path<'_>) -> Result<(), ResultError> {
        if let Some((field, _)) = fields.iter().zip(vals).find(|(field, (name, _))| field.name != *name) {
            return Err(mismatch(Path::Property(&at, &field.name)));
        }
        self.object(fields.iter().zip(vals.iter().map(|(_, val)| val)), at)
    }

    /// Optional fields without a value are left out.
    fn object<'a>(
        &mut self,
        members: impl Iterator<Item = (&'a Field, &'a Val)>,
        at: Path<'_>,
    ) -> Result<(), ResultError> {
        let mut is_first = true;
        self.punctuation("{")?;
        for (field, val) in members {
            let path = Path::Property(&at, &field.name);
            if matches!((&field.shape, val), (Shape::Option(_), Val::Option(None))) {
                continue;
            }
            if !std::mem::replace(&mut is_first, false) {
                self.punctuation(",")?;
            }
            self.write(&field.name)?;
            self.punctuation(":")?;
            self.value(&field.shape, val, path)?;
        }
        self.punctuation("}")
    }

    fn case(
        &mut self,
        name: &str,
        shape: Option<&Shape>,
        payload: Option<&Val>,
        at: Path<'_>,
    ) -> Result<(), ResultError> {
        let path = Path::Property(&at, name);
        self.punctuation("{")?;
        self.write(name)?;
        self.punctuation(":")?;
        match (shape, payload) {
            (Some(shape), Some(val)) => self.value(shape, val, path)?,
            (None, None) => self.write(&true)?,
            (Some(_), None) | (None, Some(_)) => return Err(mismatch(path)),
        }
        self.punctuation("}")
    }

    fn flags(&mut self, labels: &ByName<Label>, names: &[String], at: Path<'_>) -> Result<(), ResultError> {
        let mut seen = vec![false; labels.len()];
        for name in names {
            let flag = labels.position(name).ok_or_else(|| mismatch(at))?;
            if std::mem::replace(&mut seen[flag], true) {
                return Err(mismatch(at));
            }
        }
        self.write(names)
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ResultError> {
        // Only the limit can fail: strings and finite numbers always serialise.
        serde_json::to_writer(&mut self.text, value).map_err(|_| self.too_large())
    }

    fn punctuation(&mut self, piece: &str) -> Result<(), ResultError> {
        io::Write::write_all(&mut self.text, piece.as_bytes()).map_err(|_| self.too_large())
    }

    fn too_large(&self) -> ResultError {
        ResultError::TooLarge { max_bytes: self.text.max_bytes }
    }
}

fn integer_of(integer: Integer, val: &Val) -> Option<Value> {
    match (integer, val) {
        (Integer::S8, Val::S8(value)) => Some((*value).into()),
        (Integer::U8, Val::U8(value)) => Some((*value).into()),
        (Integer::S16, Val::S16(value)) => Some((*value).into()),
        (Integer::U16, Val::U16(value)) => Some((*value).into()),
        (Integer::S32, Val::S32(value)) => Some((*value).into()),
        (Integer::U32, Val::U32(value)) => Some((*value).into()),
        (Integer::S64, Val::S64(value)) => Some((*value).into()),
        (Integer::U64, Val::U64(value)) => Some((*value).into()),
        _ => None,
    }
}

/// The double with the shortest decimal that reads back as `float`: 0.1 and not 0.10000000149011612.
fn shortest(float: f32) -> f64 {
    let exact = f64::from(float);
    let shortest = format!("{float:e}").parse().unwrap_or(exact);
    // That of the greatest `f32` lies above the schema's maximum, and rounding twice may miss the float.
    let is_same = shortest as f32 == float && shortest.abs() <= f64::from(f32::MAX);
    if is_same { shortest } else { exact }
}
