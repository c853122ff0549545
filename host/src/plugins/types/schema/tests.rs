//! Each row of the type table.

use super::*;
use crate::plugins::types::shape::{FailureShape, Integer, ResultShape, SuccessShape};

fn field(name: &str, shape: Shape, docs: Option<&str>) -> Field {
    Field { name: name.to_owned(), shape, docs: docs.map(str::to_owned) }
}

fn label(name: &str, docs: Option<&str>) -> Label {
    Label { name: name.to_owned(), docs: docs.map(str::to_owned) }
}

fn option(shape: Shape) -> Shape {
    Shape::Option(Box::new(shape))
}

fn gives(output: ResultShape) -> Signature {
    Signature { params: Vec::new(), output, output_docs: None }
}

#[test]
fn every_type_has_its_schema() {
    let colours = || Shape::Enum(vec![label("red", None), label("green", None)].into());
    let variant = Shape::Variant(
        vec![
            Case { name: "circle".to_owned(), shape: Some(Shape::F64), docs: None },
            Case { name: "empty".to_owned(), shape: None, docs: Some("Nothing.".to_owned()) },
        ]
        .into(),
    );
    let rows = [
        (Shape::Bool, json!({ "type": "boolean" })),
        (Shape::String, json!({ "type": "string" })),
        (Shape::Char, json!({ "type": "string", "minLength": 1, "maxLength": 1 })),
        (Shape::Integer(Integer::S8), json!({ "type": "integer", "minimum": -128, "maximum": 127 })),
        (Shape::Integer(Integer::U16), json!({ "type": "integer", "minimum": 0, "maximum": 65535 })),
        (Shape::Integer(Integer::S64), json!({ "type": "integer" })),
        (Shape::Integer(Integer::U64), json!({ "type": "integer", "minimum": 0 })),
        (Shape::F32, json!({ "type": "number" })),
        (Shape::F64, json!({ "type": "number" })),
        (Shape::Bytes, json!({ "type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN })),
        (Shape::List(Box::new(Shape::Bool)), json!({ "type": "array", "items": { "type": "boolean" } })),
        (
            Shape::Tuple(vec![Shape::Bool, Shape::String]),
            json!({
                "type": "array",
                "prefixItems": [{ "type": "boolean" }, { "type": "string" }],
                "items": {},
                "minItems": 2,
                "maxItems": 2,
            }),
        ),
        (
            Shape::Tuple(vec![Shape::F64, Shape::F64]),
            json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 }),
        ),
        (
            Shape::Record(vec![field("z", Shape::Bool, Some("Last letter.")), field("a", option(colours()), None)]),
            json!({
                "type": "object",
                "properties": {
                    "z": { "type": "boolean", "description": "Last letter." },
                    "a": { "type": "string", "enum": ["red", "green"] },
                },
                "required": ["z"],
                "additionalProperties": false,
            }),
        ),
        (option(colours()), json!({ "type": ["string", "null"], "enum": ["red", "green", null] })),
        (option(Shape::Integer(Integer::U8)), json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 255 })),
        (
            variant,
            json!({
                "type": "object",
                "properties": {
                    "circle": { "type": "number" },
                    "empty": { "type": "boolean", "const": true, "description": "Nothing." },
                },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": false,
            }),
        ),
        (
            Shape::Result { ok: Some(Box::new(Shape::Bool)), err: None },
            json!({
                "type": "object",
                "properties": { "ok": { "type": "boolean" }, "err": { "type": "boolean", "const": true } },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": false,
            }),
        ),
        (
            Shape::Flags(vec![label("read", None)].into()),
            json!({ "type": "array", "items": { "type": "string", "enum": ["read"] } }),
        ),
    ];
    for (shape, expected) in rows {
        assert_eq!(schema(&shape).as_value(), &expected);
    }
}

#[test]
fn arguments_are_a_closed_object_in_the_order_of_the_parameters() {
    let mut signature = gives(ResultShape::Nothing);
    assert_eq!(
        input_schema(&signature).as_value().to_string(),
        r#"{"type":"object","properties":{},"additionalProperties":false}"#
    );
    signature.params = vec![
        field("to", Shape::String, Some("Who is greeted.")),
        field("loud", option(Shape::Bool), None),
        field("at", Shape::Char, None),
    ];
    let properties = r#"{"to":{"type":"string","description":"Who is greeted."},"loud":{"type":"boolean"},"at":{"type":"string","minLength":1,"maxLength":1}}"#;
    assert_eq!(
        input_schema(&signature).as_value().to_string(),
        format!(r#"{{"type":"object","properties":{properties},"required":["to","at"],"additionalProperties":false}}"#)
    );
}

#[test]
fn results_that_are_no_object_are_wrapped_in_one() {
    let check = |output: ResultShape, expected: Option<Value>| {
        let mut signature = gives(output);
        signature.output_docs = Some("What came of it.".to_owned());
        assert_eq!(output_schema(&signature).map(Schema::to_value), expected);
    };
    let wrapped = |result: Value| {
        Some(json!({
            "type": "object",
            "properties": { "result": result },
            "required": ["result"],
            "additionalProperties": false,
        }))
    };
    check(ResultShape::Nothing, None);
    check(ResultShape::Fallible { ok: None, err: Some(Shape::String) }, None);
    check(ResultShape::Value(Shape::String), None);
    check(ResultShape::Fallible { ok: Some(Shape::String), err: Some(Shape::String) }, None);
    check(ResultShape::Rich { ok: SuccessShape::Value(Shape::String), err: FailureShape::Stop }, None);
    check(
        ResultShape::Value(option(Shape::String)),
        wrapped(json!({ "type": ["string", "null"], "description": "What came of it." })),
    );
    check(
        ResultShape::Fallible { ok: Some(Shape::Bool), err: None },
        wrapped(json!({ "type": "boolean", "description": "What came of it." })),
    );
    check(
        ResultShape::Value(Shape::Record(vec![field("a", Shape::Bool, None)])),
        Some(json!({
            "type": "object",
            "properties": { "a": { "type": "boolean" } },
            "required": ["a"],
            "additionalProperties": false,
            "description": "What came of it.",
        })),
    );
}

#[test]
fn words_on_the_names_of_an_enum_are_in_the_description() {
    let colours =
        Shape::Enum(vec![label("red", Some("Stop.")), label("grey", None), label("green", Some("Go."))].into());
    let expected = "Of the light.\n\n- `red`: Stop.\n- `green`: Go.";
    let light = field("light", option(colours), Some("Of the light."));
    assert_eq!(property(&light).get("description"), Some(&json!(expected)));
}

#[test]
fn the_pattern_takes_canonical_base64_only() {
    let validator = jsonschema::draft202012::new(schema(&Shape::Bytes).as_value()).unwrap();
    for canonical in ["", "AAAA", "AA==", "AAA=", "+/+/", "AAAA/w==", "AP8="] {
        assert!(validator.is_valid(&json!(canonical)), "{canonical}");
    }
    for other in ["A", "AA", "AAA", "AA=", "A===", "====", "AB==", "AAB=", "AA==AAAA", "AA-_", " AAAA", "AAAA\n"] {
        assert!(!validator.is_valid(&json!(other)), "{other}");
    }
}
