//! JSON Schemas of a tool's arguments and results (draft 2020-12, in the subset that every client takes).
//!
//! The root is an object; objects are closed (`additionalProperties: false`); there is no `$ref`, no `oneOf`, `anyOf`
//! or `allOf`. What a schema accepts the codec accepts, and every encoded result validates: a property test in
//! `codec` holds the two together. Four things differ on purpose:
//!
//! - `null` for an optional property, and values that a client has sent as JSON text in a string, are taken by the codec
//!   alone;
//! - the range of 64-bit integers and of `f32`, and that no flag and no key of a map comes twice, are held by the codec
//!   alone. JavaScript
//!   clients round a bound beyond 2^53, past the range of 64-bit integers, and a model's API then refuses every request
//!   of the conversation.
//!
//! `clients` has the changes that clients make to schemas, `lint` the faults in plugins' schemas that they do not bear.

use std::iter;

use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::plugins::types::shape::{Case, Field, Integer, Label, Shape, Signature};

pub mod advice;
pub mod clients;
pub(in crate::plugins) mod lint;

/// The greatest integer that JavaScript clients pass on as it is: 2^53 - 1.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Canonical base64 with padding (RFC 4648 §4): the last sextet's unused bits are zero, so that each byte string has
/// one spelling. Only what ECMA-262, RE2 and Rust read alike.
const BASE64_PATTERN: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// The property that holds a result which is no object of its own.
pub const RESULT_PROPERTY: &str = "result";

/// The schema of a call's arguments.
pub fn input_schema(signature: &Signature) -> Schema {
    object(&signature.params)
}

/// The schema of a call's structured content: of the record or variant itself, and of `{"result": …}` for anything
/// else. `None` for a function that gives nothing, and for one that gives a text: several clients show a model the
/// structured content alone, and `{"result": "…"}` is a text that is hard to read.
pub fn output_schema(signature: &Signature) -> Option<Schema> {
    let shape = signature.output.value().filter(|shape| **shape != Shape::String)?;
    let result = described(schema(shape), signature.output_docs.as_deref());
    if is_object_result(shape) {
        return Some(result);
    }
    Some(json_schema!({
        "type": "object",
        "properties": { RESULT_PROPERTY: result },
        "required": [RESULT_PROPERTY],
        "additionalProperties": false,
    }))
}

/// True if a result of this shape is the structured content as it is, without a `result` property around it.
pub fn is_object_result(shape: &Shape) -> bool {
    matches!(shape, Shape::Record(_) | Shape::Variant(_))
}

fn schema(shape: &Shape) -> Schema {
    match shape {
        Shape::Bool => json_schema!({ "type": "boolean" }),
        Shape::Integer(integer) => self::integer(*integer),
        Shape::F32 | Shape::F64 => json_schema!({ "type": "number" }),
        Shape::Char => json_schema!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Shape::String => json_schema!({ "type": "string" }),
        Shape::Bytes => json_schema!({ "type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN }),
        Shape::List(item) => json_schema!({ "type": "array", "items": schema(item) }),
        Shape::Map(value) => json_schema!({ "type": "object", "additionalProperties": schema(value) }),
        Shape::Entries(entry) => json_schema!({ "type": "array", "items": schema(entry) }),
        Shape::Tuple(items) => tuple(items),
        Shape::Record(fields) => object(fields),
        Shape::Variant(cases) => {
            one_of(cases.iter().map(|case: &Case| (case.name.as_str(), case.shape.as_ref(), case.docs.as_deref())))
        }
        Shape::Enum(labels) => label(labels),
        Shape::Option(value) => or_null(schema(value)),
        Shape::Result { ok, err } => one_of([("ok", ok.as_deref(), None), ("err", err.as_deref(), None)].into_iter()),
        Shape::Flags(labels) => json_schema!({ "type": "array", "items": label(labels) }),
    }
}

/// The bounds are there as far as every client keeps them.
fn integer(integer: Integer) -> Schema {
    let mut schema = json_schema!({ "type": "integer" });
    if integer.minimum().unsigned_abs() <= MAX_SAFE {
        schema.insert("minimum".to_owned(), integer.minimum().into());
    }
    if integer.maximum() <= MAX_SAFE {
        schema.insert("maximum".to_owned(), integer.maximum().into());
    }
    schema
}

/// Clients refuse arrays without an `items` object. Where all members look alike it says all there is to say.
fn tuple(members: &[Shape]) -> Schema {
    let members: Vec<Schema> = members.iter().map(schema).collect();
    let mut schema = json_schema!({ "type": "array" });
    if is_uniform(&members) {
        schema
            .insert("items".to_owned(), members.first().map_or_else(|| json!({}), |member| member.clone().to_value()));
    } else {
        schema.insert("prefixItems".to_owned(), members.iter().map(|member| member.clone().to_value()).collect());
        schema.insert("items".to_owned(), json!({}));
    }
    schema.insert("minItems".to_owned(), members.len().into());
    schema.insert("maxItems".to_owned(), members.len().into());
    schema
}

fn is_uniform(members: &[Schema]) -> bool {
    members.iter().all(|member| Some(member) == members.first())
}

fn object(fields: &[Field]) -> Schema {
    let properties: Map<_, _> = fields.iter().map(|field| (field.name.clone(), property(field).to_value())).collect();
    let required: Vec<_> = fields.iter().filter(|field| field.is_required()).map(|field| field.name.as_str()).collect();
    let mut schema = json_schema!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    schema
}

/// An optional property is absent where it has no value, so its schema is that of the value.
fn property(field: &Field) -> Schema {
    let shape = match &field.shape {
        Shape::Option(value) => value,
        shape => shape,
    };
    described(schema(shape), field.docs.as_deref())
}

/// An object with exactly one of the keys; a key without payload has the value `true`, and the type that clients want
/// everywhere.
fn one_of<'a>(cases: impl Iterator<Item = (&'a str, Option<&'a Shape>, Option<&'a str>)>) -> Schema {
    let properties: Map<_, _> = cases
        .map(|(name, shape, docs)| {
            let payload = shape.map_or_else(|| json_schema!({ "type": "boolean", "const": true }), schema);
            (name.to_owned(), described(payload, docs).to_value())
        })
        .collect();
    json_schema!({
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
    })
}

/// One of the names. JSON Schema has no place for a word on each, so the description lists what is known of them.
fn label(labels: &[Label]) -> Schema {
    let names: Vec<_> = labels.iter().map(|label| label.name.as_str()).collect();
    let lines: Vec<_> = labels
        .iter()
        .filter_map(|label| label.docs.as_deref().map(|docs| format!("- `{}`: {docs}", label.name)))
        .collect();
    let schema = json_schema!({ "type": "string", "enum": names });
    described(schema, (!lines.is_empty()).then(|| lines.join("\n")).as_deref())
}

fn or_null(mut schema: Schema) -> Schema {
    if let Some(ty) = schema.get_mut("type") {
        *ty = json!([ty.take(), "null"]);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
    schema
}

/// Puts the docs before what the schema already says of itself.
fn described(mut schema: Schema, docs: Option<&str>) -> Schema {
    if let Some(docs) = docs {
        let own = schema.get("description").and_then(Value::as_str);
        let description = iter::once(docs).chain(own).collect::<Vec<_>>().join("\n\n");
        schema.insert("description".to_owned(), Value::String(description));
    }
    schema
}

#[cfg(test)]
mod tests;
