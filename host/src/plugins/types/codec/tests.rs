//! Each row of the type table and each message as short cases; schema and codec together over generated types.

pub(in crate::plugins) mod generated;
mod properties;

use serde_json::json;

use super::*;
use crate::plugins::types::shape::{Case, Field, Integer, Label, ResultShape, Shape};

fn field(name: &str, shape: Shape) -> Field {
    Field { name: name.to_owned(), shape, docs: None }
}

fn case(name: &str, shape: Option<Shape>) -> Case {
    Case { name: name.to_owned(), shape, docs: None }
}

fn labels(names: &[&str]) -> Vec<Label> {
    names.iter().map(|name| Label { name: (*name).to_owned(), docs: None }).collect()
}

fn takes(params: Vec<Field>) -> Signature {
    Signature { params, output: ResultShape::Nothing, output_docs: None }
}

fn gives(shape: Shape) -> Signature {
    Signature { params: Vec::new(), output: ResultShape::Value(shape), output_docs: None }
}

fn option(shape: Shape) -> Shape {
    Shape::Option(Box::new(shape))
}

fn list(shape: Shape) -> Shape {
    Shape::List(Box::new(shape))
}

fn map(value: Shape) -> Shape {
    Shape::Map(Box::new(value))
}

fn entries(key: Shape, value: Shape) -> Shape {
    Shape::Entries(Box::new(Shape::Record(vec![field("key", key), field("value", value)])))
}

fn point() -> Shape {
    Shape::Record(vec![
        field("x", Shape::Integer(Integer::S32)),
        field("y", Shape::Integer(Integer::S32)),
        field("label", option(Shape::String)),
    ])
}

fn figure() -> Shape {
    Shape::Variant(vec![case("circle", Some(Shape::F64)), case("empty", None)].into())
}

fn colour() -> Shape {
    Shape::Enum(labels(&["red", "green", "dark-blue"]).into())
}

fn rights() -> Shape {
    Shape::Flags(labels(&["read", "write"]).into())
}

fn outcome() -> Shape {
    Shape::Result { ok: Some(Box::new(Shape::Bool)), err: None }
}

fn text(text: &str) -> Val {
    Val::String(text.to_owned())
}

fn some(val: Val) -> Val {
    Val::Option(Some(Box::new(val)))
}

/// Decodes one argument `it`.
fn decode(shape: Shape, value: Value) -> Result<Val, String> {
    let arguments = Map::from_iter([("it".to_owned(), value)]);
    let decoded = decode_arguments(&takes(vec![field("it", shape)]), &arguments);
    decoded.map(|mut vals| vals.remove(0)).map_err(|error| error.to_string())
}

fn encode(shape: Shape, val: Val) -> Result<Reply, ResultError> {
    encode_result(&gives(shape), &[val], 1 << 20)
}

#[test]
fn what_nobody_sees_is_written_out_in_a_message() {
    let told = decode(Shape::Integer(Integer::S64), json!("5\u{200b}\u{85}\u{202e}\u{7f}")).unwrap_err();
    assert!(told.contains(r#"got string "5\u200b\u0085\u202e\u007f"; send it"#), "{told}");
}

#[test]
fn a_key_comes_once() {
    let numbers = || entries(Shape::Integer(Integer::S32), Shape::Bool);
    let sent = json!([{ "key": 5, "value": true }, { "key": 5.0, "value": true }]);
    assert_eq!(
        decode(numbers(), sent),
        Err("argument `$.it[1].key`: repeats number 5.0; each key may be given once".to_owned())
    );
    let sent = json!([{ "key": "5", "value": true }, { "key": 5, "value": true }]);
    assert!(decode(numbers(), sent).unwrap_err().contains("repeats number 5"));
    let twice = |key: Val| Val::Map(vec![(key.clone(), Val::Bool(true)), (key, Val::Bool(false))]);
    let told = encode(map(Shape::Bool), twice(text("a b"))).unwrap_err().to_string();
    assert_eq!(told, "result `$.result[\"a b\"]`: a map with the key \"a b\" twice has no JSON form");
    let told = encode(numbers(), twice(Val::S32(5))).unwrap_err().to_string();
    assert_eq!(told, "result `$.result[1]`: a map with the key 5 twice has no JSON form");
}

#[test]
fn the_keys_of_an_object_may_be_long() {
    let name = "k".repeat(1000);
    let value = json!({ name.clone(): 1 });
    let val = Val::Map(vec![(text(&name), Val::U8(1))]);
    assert_eq!(decode(map(Shape::Integer(Integer::U8)), value.clone()), Ok(val.clone()));
    // As text in a string, as some clients send objects.
    assert_eq!(decode(map(Shape::Integer(Integer::U8)), json!(value.to_string())), Ok(val));
}

#[test]
fn every_type_goes_both_ways() {
    let record = |label: Val| {
        Val::Record(vec![("x".to_owned(), Val::S32(1)), ("y".to_owned(), Val::S32(-2)), ("label".to_owned(), label)])
    };
    let rows = [
        (Shape::Bool, json!(true), Val::Bool(true)),
        (Shape::Integer(Integer::S8), json!(-128), Val::S8(-128)),
        (Shape::Integer(Integer::U8), json!(255), Val::U8(255)),
        (Shape::Integer(Integer::S16), json!(-32768), Val::S16(-32768)),
        (Shape::Integer(Integer::U16), json!(65535), Val::U16(65535)),
        (Shape::Integer(Integer::S32), json!(i32::MIN), Val::S32(i32::MIN)),
        (Shape::Integer(Integer::U32), json!(u32::MAX), Val::U32(u32::MAX)),
        (Shape::Integer(Integer::S64), json!(i64::MIN), Val::S64(i64::MIN)),
        (Shape::Integer(Integer::U64), json!(u64::MAX), Val::U64(u64::MAX)),
        (Shape::F32, json!(0.1), Val::Float32(0.1)),
        (Shape::F64, json!(0.1), Val::Float64(0.1)),
        (Shape::Char, json!("é"), Val::Char('é')),
        (Shape::String, json!("a\"b\n"), text("a\"b\n")),
        (Shape::Bytes, json!("AP8="), Val::List(vec![Val::U8(0), Val::U8(255)])),
        (Shape::Bytes, json!(""), Val::List(Vec::new())),
        (list(Shape::Bool), json!([true, false]), Val::List(vec![Val::Bool(true), Val::Bool(false)])),
        (
            map(option(Shape::Bool)),
            json!({ "a": true, "with space": null, "": false }),
            Val::Map(vec![
                (text("a"), some(Val::Bool(true))),
                (text("with space"), Val::Option(None)),
                (text(""), some(Val::Bool(false))),
            ]),
        ),
        (
            entries(Shape::Integer(Integer::U64), Shape::String),
            json!([{ "key": u64::MAX, "value": "most" }, { "key": 0, "value": "least" }]),
            Val::Map(vec![(Val::U64(u64::MAX), text("most")), (Val::U64(0), text("least"))]),
        ),
        (
            entries(Shape::Char, option(Shape::Bool)),
            json!([{ "key": "a" }]),
            Val::Map(vec![(Val::Char('a'), Val::Option(None))]),
        ),
        (
            Shape::Tuple(vec![Shape::Bool, Shape::Char]),
            json!([true, "a"]),
            Val::Tuple(vec![Val::Bool(true), Val::Char('a')]),
        ),
        (point(), json!({ "x": 1, "y": -2 }), record(Val::Option(None))),
        (point(), json!({ "x": 1, "y": -2, "label": "p" }), record(some(text("p")))),
        (list(option(Shape::Bool)), json!([null, true]), Val::List(vec![Val::Option(None), some(Val::Bool(true))])),
        (colour(), json!("dark-blue"), Val::Enum("dark-blue".to_owned())),
        (rights(), json!(["read"]), Val::Flags(vec!["read".to_owned()])),
        (figure(), json!({ "circle": 1.5 }), Val::Variant("circle".to_owned(), Some(Box::new(Val::Float64(1.5))))),
        (figure(), json!({ "empty": true }), Val::Variant("empty".to_owned(), None)),
        (outcome(), json!({ "ok": false }), Val::Result(Ok(Some(Box::new(Val::Bool(false)))))),
        (outcome(), json!({ "err": true }), Val::Result(Err(None))),
    ];
    for (shape, json, val) in rows {
        assert_eq!(decode(shape.clone(), json.clone()), Ok(val.clone()), "{shape:?}");
        if shape == Shape::String {
            assert_eq!(encode(shape, val), Ok(Reply::Text(json.as_str().unwrap().to_owned())));
            continue;
        }
        let Ok(Reply::Structured(structured)) = encode(shape.clone(), val) else { panic!("{shape:?}") };
        let is_object = crate::plugins::types::schema::is_object_result(&shape);
        assert_eq!(content(&structured), if is_object { json } else { json!({ "result": json }) });
    }
}

#[test]
fn other_spellings_mean_the_same() {
    let rows = [
        (Shape::Integer(Integer::U8), "1.0", Val::U8(1)),
        (Shape::Integer(Integer::U8), "-0.0", Val::U8(0)),
        (Shape::Integer(Integer::U16), "1e3", Val::U16(1000)),
        (Shape::Integer(Integer::S64), "-9007199254740991.0", Val::S64(1 - (1 << 53))),
        (Shape::F64, "1", Val::Float64(1.0)),
        (Shape::F32, "16777217", Val::Float32(16_777_216.0)),
        (Shape::F32, "1e-60", Val::Float32(0.0)),
        (option(Shape::Bool), "null", Val::Option(None)),
    ];
    for (shape, json, val) in rows {
        assert_eq!(decode(shape, serde_json::from_str(json).unwrap()), Ok(val), "{json}");
    }
    let absent = decode_arguments(&takes(vec![field("it", option(Shape::Bool))]), &Map::new());
    assert_eq!(absent, Ok(vec![Val::Option(None)]));
}

#[test]
fn json_in_a_string_is_taken_where_the_type_takes_no_string() {
    let numbers = || list(Shape::Integer(Integer::U32));
    let point_at = |x: i32, label: Val| {
        Val::Record(vec![("x".to_owned(), Val::S32(x)), ("y".to_owned(), Val::S32(2)), ("label".to_owned(), label)])
    };
    let one = || Val::List(vec![Val::U32(1), Val::U32(2)]);
    let rows = [
        (Shape::Bool, json!("true"), Val::Bool(true)),
        (Shape::Integer(Integer::U64), json!("9007199254740993"), Val::U64((1 << 53) + 1)),
        (Shape::Integer(Integer::U64), json!("18446744073709551615"), Val::U64(u64::MAX)),
        (Shape::Integer(Integer::S64), json!("-9223372036854775808"), Val::S64(i64::MIN)),
        (Shape::Integer(Integer::U8), json!("1.0"), Val::U8(1)),
        (Shape::F64, json!("-1.5e3"), Val::Float64(-1500.0)),
        (Shape::F32, json!("0.1"), Val::Float32(0.1)),
        (numbers(), json!("[1, 2]"), one()),
        (numbers(), json!(["1", 2]), one()),
        (
            Shape::Tuple(vec![Shape::Bool, Shape::Char]),
            json!("[true,\"a\"]"),
            Val::Tuple(vec![Val::Bool(true), Val::Char('a')]),
        ),
        (point(), json!("{\"x\":1,\"y\":2}"), point_at(1, Val::Option(None))),
        (point(), json!({ "x": "1", "y": 2, "label": "3" }), point_at(1, some(text("3")))),
        (point(), json!("{\"x\":1,\"y\":2,\"label\":null}"), point_at(1, Val::Option(None))),
        (figure(), json!({ "circle": "1.5" }), Val::Variant("circle".to_owned(), Some(Box::new(Val::Float64(1.5))))),
        (figure(), json!("{\"empty\":true}"), Val::Variant("empty".to_owned(), None)),
        (figure(), json!({ "empty": "true" }), Val::Variant("empty".to_owned(), None)),
        (outcome(), json!({ "ok": "false" }), Val::Result(Ok(Some(Box::new(Val::Bool(false)))))),
        (rights(), json!("[\"read\"]"), Val::Flags(vec!["read".to_owned()])),
        (option(Shape::Bool), json!("false"), some(Val::Bool(false))),
        // These take strings, and get them.
        (Shape::String, json!("5"), text("5")),
        (Shape::Char, json!("5"), Val::Char('5')),
        (option(Shape::String), json!("null"), some(text("null"))),
        (Shape::Bytes, json!("1234"), Val::List(vec![Val::U8(0xd7), Val::U8(0x6d), Val::U8(0xf8)])),
        (list(Shape::String), json!("[\"1\"]"), Val::List(vec![text("1")])),
    ];
    for (shape, json, val) in rows {
        assert_eq!(decode(shape, json.clone()), Ok(val), "{json}");
    }
}

#[test]
fn other_texts_stay_strings() {
    let number = || Shape::Integer(Integer::U64);
    let numbers = || list(Shape::Integer(Integer::U32));
    let quoted = [
        (number(), "+1"),
        (number(), "010"),
        (number(), " 1"),
        (number(), "1 "),
        (number(), "1\n"),
        (number(), "\u{feff}1"),
        (number(), "1\u{a0}"),
        (number(), "0x10"),
        (number(), "1_000"),
        (number(), "\"1\""),
        (number(), "18446744073709551616"),
        (number(), "-1"),
        (number(), "9007199254740993.0"),
        (number(), ""),
        (number(), "null"),
        (number(), "true"),
        (Shape::F64, "NaN"),
        (Shape::F64, "1e400"),
        (Shape::F32, "1e39"),
        (Shape::Bool, "True"),
        (Shape::Bool, "1"),
        (option(Shape::Bool), "null"),
        (numbers(), "1,2"),
        (numbers(), "[\"1\"]"),
        (numbers(), "\"[1]\""),
        (numbers(), "[1,]"),
        (list(numbers()), "[\"[1]\"]"),
        (point(), "{\"x\":\"1\",\"y\":2}"),
        (point(), "{\"x\":1}"),
        (figure(), "{\"empty\":\"true\"}"),
        (figure(), "empty"),
        (rights(), "[\"read\",\"read\"]"),
    ];
    for (shape, sent) in quoted {
        let error = decode(shape, json!(sent)).unwrap_err();
        assert!(error.starts_with("argument `$.it`") && error.ends_with("; send it without quotes"), "{sent}: {error}");
    }
    let unquoted = [
        (Shape::Bytes, json!("[1,2]")),
        (colour(), json!("\"red\"")),
        (Shape::Char, json!("\"a\"")),
        (Shape::String, json!(5)),
        (rights(), json!(["\"read\""])),
    ];
    for (shape, sent) in unquoted {
        let error = decode(shape, sent).unwrap_err();
        assert!(!error.contains("quotes"), "{error}");
    }
    let error = decode(figure(), json!({ "empty": "yes" })).unwrap_err();
    assert!(error.contains("`$.it.empty`") && error.ends_with("; send it without quotes"), "{error}");
}

#[test]
fn cases_of_a_large_enum_are_found_at_once() {
    let names: Vec<String> = (0..10_000).map(|index| format!("case-{index:05}")).collect();
    let shape = list(Shape::Enum(labels(&names.iter().map(String::as_str).collect::<Vec<_>>()).into()));
    let many = Value::Array(names.iter().rev().cycle().take(300_000).map(|name| json!(name)).collect());
    let vals = decode(shape.clone(), many.clone()).unwrap();
    let Ok(Reply::Structured(back)) = encode_result(&gives(shape), &[vals], u64::MAX) else { panic!() };
    assert_eq!(content(&back)["result"], many);
}

#[test]
fn fields_that_are_left_out_weigh_as_well() {
    let fields = (0..50).map(|index| field(&format!("field-{index}"), option(Shape::Bool))).collect();
    let signature = takes(vec![field("it", list(Shape::Record(fields)))]);
    let empty = Map::from_iter([("it".to_owned(), Value::Array(vec![json!({}); 1000]))]);
    assert!(weigh_arguments(&signature, &empty) >= 1000 * 50 * size_of::<Val>());
}

#[test]
fn a_large_value_in_a_string_has_to_come_as_json() {
    let signature = takes(vec![field("it", list(list(Shape::Integer(Integer::U8))))]);
    let of = |count: usize| format!("[{}]", vec!["[0]"; count].join(","));
    let decode = |text: String| decode_arguments(&signature, &Map::from_iter([("it".to_owned(), Value::String(text))]));
    assert!(decode(of(1000)).is_ok());
    assert!(decode(of(100_000)).unwrap_err().to_string().contains("without quotes"));
}

#[test]
fn a_value_in_a_string_weighs_as_much_as_without() {
    let flags = || list(rights());
    let rows = [
        (list(Shape::Integer(Integer::U32)), json!(vec![1; 1000])),
        (list(Shape::Bytes), json!([json!("AAAA".repeat(100)), json!("AAAA")])),
        (list(point()), json!([{ "x": 1, "y": 2, "label": "p" }, { "x": 1, "y": 2 }])),
        (option(figure()), json!({ "circle": 1.5 })),
        (flags(), json!([["read", "write"]])),
    ];
    for (shape, value) in rows {
        let signature = takes(vec![field("it", shape)]);
        let weight = |value: Value| weigh_arguments(&signature, &Map::from_iter([("it".to_owned(), value)]));
        assert!(weight(value.clone()) > weight(json!("x")), "{value}");
        assert_eq!(weight(json!(value.to_string())), weight(value.clone()), "{value}");
    }
}

#[test]
fn what_nests_without_end_in_a_string_ends_as_it_does_without() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let error = decode(list(list(Shape::F64)), json!(deep)).unwrap_err();
    assert!(error.ends_with("; send it without quotes"), "{error}");
}

#[test]
fn a_wrong_argument_is_named_with_its_place() {
    let unsigned = || Shape::Integer(Integer::U8);
    let long = "x".repeat(100);
    let shown = format!("string \"{}…\"", "x".repeat(60));
    let base64 = "expected a base64 string (standard alphabet, padded)";
    let rows = [
        (unsigned(), json!("many"), "`$.it`: expected an integer from 0 to 255, got string \"many\"; send it without quotes".to_owned()),
        (unsigned(), json!(256), "`$.it`: expected an integer from 0 to 255, got number 256".to_owned()),
        (unsigned(), json!(1.5), "`$.it`: expected an integer from 0 to 255, got number 1.5".to_owned()),
        (unsigned(), json!(null), "`$.it`: expected an integer from 0 to 255, got null".to_owned()),
        (
            Shape::Integer(Integer::U64),
            // What `9007199254740993.0` reads as, too.
            json!(9_007_199_254_740_992.0),
            "`$.it`: expected an integer from 0 to 18446744073709551615, from 2^53 on without fraction or exponent, \
             got number 9007199254740992.0"
                .to_owned(),
        ),
        (Shape::F32, json!(1e39), "`$.it`: expected a number from -3.4028234663852886e38 to 3.4028234663852886e38, got number 1e+39".to_owned()),
        (Shape::F64, json!(" 1"), "`$.it`: expected a number, got string \" 1\"; send it without quotes".to_owned()),
        (Shape::Bool, json!(long), format!("`$.it`: expected true or false, got {shown}; send it without quotes")),
        (Shape::Char, json!("ab"), "`$.it`: expected a string of one character, got string \"ab\"".to_owned()),
        (Shape::Char, json!(""), "`$.it`: expected a string of one character, got string \"\"".to_owned()),
        (Shape::String, json!([1]), "`$.it`: expected a string, got an array of 1 item".to_owned()),
        (Shape::Bytes, json!("AP8"), format!("`$.it`: {base64}, got string \"AP8\"")),
        (Shape::Bytes, json!("AP9="), format!("`$.it`: {base64}, got string \"AP9=\"")),
        (Shape::Bytes, json!("AP8_"), format!("`$.it`: {base64}, got string \"AP8_\"")),
        (list(point()), json!([{ "x": 1, "y": 2 }, { "x": true, "y": 2 }]),
            "`$.it[1].x`: expected an integer from -2147483648 to 2147483647, got true".to_owned()),
        (list(Shape::Bool), json!({}), "`$.it`: expected an array, got an object with 0 properties".to_owned()),
        (list(option(Shape::Bool)), json!([1]), "`$.it[0]`: expected true or false, got number 1".to_owned()),
        (Shape::Tuple(vec![Shape::Bool; 2]), json!([true]), "`$.it`: expected an array of 2 items, got an array of 1 item".to_owned()),
        (point(), json!({ "y": 2 }), "`$.it.x`: missing; expected an integer from -2147483648 to 2147483647".to_owned()),
        (point(), json!({ "x": 1, "y": 2, "lable": "p" }), "`$.it.lable`: unknown; this object takes `label`, `x`, `y`".to_owned()),
        (point(), json!({ "x": 1, "y": 2, "a b": 3 }), "`$.it[\"a b\"]`: unknown; this object takes `x`, `y`, `label`".to_owned()),
        (point(), json!(1), "`$.it`: expected an object, got number 1".to_owned()),
        (colour(), json!("gren"), "`$.it`: expected one of `green`, `red`, `dark-blue`, got string \"gren\"".to_owned()),
        (colour(), json!(1), "`$.it`: expected one of `red`, `green`, `dark-blue`, got number 1".to_owned()),
        (rights(), json!(["read", "read"]), "`$.it[1]`: repeats `read`; each flag may be given once".to_owned()),
        (rights(), json!(["wirte"]), "`$.it[0]`: expected one of `write`, `read`, got string \"wirte\"".to_owned()),
        (rights(), json!("read"), "`$.it`: expected an array of names out of `read`, `write`, got string \"read\"; send it without quotes".to_owned()),
        (figure(), json!({ "cirkle": 1 }), "`$.it.cirkle`: unknown; there is `circle`, `empty`".to_owned()),
        (figure(), json!({ "circle": 1, "empty": true }),
            "`$.it`: expected an object with exactly one of the keys `circle`, `empty`, got an object with 2 properties".to_owned()),
        (figure(), json!({ "empty": null }), "`$.it.empty`: expected true (this case has no value), got null".to_owned()),
        (outcome(), json!({ "okay": 1 }), "`$.it.okay`: unknown; there is `ok`, `err`".to_owned()),
        (outcome(), json!({}), "`$.it`: expected an object with exactly one of the keys `ok`, `err`, got an object with 0 properties".to_owned()),
    ];
    for (shape, value, expected) in rows {
        assert_eq!(decode(shape, value).unwrap_err(), format!("argument {expected}"));
    }
}

#[test]
fn a_misspelt_argument_is_told_before_the_missing_one() {
    let signature = takes(vec![field("size", Shape::F64), field("color", Shape::String)]);
    let check = |value: Value, expected: &str| {
        let error = decode_arguments(&signature, value.as_object().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(json!({ "size": 1, "colour": "red" }), "argument `$.colour`: unknown; this tool takes `color`, `size`");
    check(json!({ "size": 1 }), "argument `$.color`: missing; expected a string");
    let error = decode_arguments(&takes(Vec::new()), json!({ "a": 1 }).as_object().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "argument `$.a`: unknown; this tool takes nothing");
}

#[test]
fn long_lists_of_names_are_cut() {
    let names: Vec<String> = (0..300).map(|index| format!("name-{index}")).collect();
    let fields = names.iter().map(|name| field(name, option(Shape::Bool))).collect();
    let error = decode_arguments(&takes(fields), json!({ "name_42": true }).as_object().unwrap()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("takes `name-42`, `name-0`, "), "{error}");
    assert!(error.ends_with("`name-8` and 290 more"), "{error}");
}

#[test]
fn surplus_and_repetition_take_linear_time() {
    let surplus: Map<String, Value> = (0..200_000).map(|index| (format!("k{index}"), Value::Null)).collect();
    assert!(decode_arguments(&takes(vec![field("it", Shape::Bool)]), &surplus).is_err());
    let repeated = Value::Array(vec![json!("write"); 200_000]);
    assert!(decode(rights(), repeated).unwrap_err().contains("repeats"));
}

/// The structured content.
fn content(structured: &Structured) -> Value {
    serde_json::from_str(&structured.content().concat()).unwrap()
}

#[test]
fn a_reply_has_a_text_copy() {
    let check = |shape: Shape, val: Val, expected_value: Value, expected_text: &str| {
        let Ok(Reply::Structured(structured)) = encode(shape, val) else { panic!("{expected_text}") };
        assert_eq!((content(&structured), &*structured.text()), (expected_value, expected_text));
    };
    assert_eq!(encode(Shape::String, text("a\nb")), Ok(Reply::Text("a\nb".to_owned())));
    check(option(Shape::String), some(text("a\nb")), json!({ "result": "a\nb" }), "a\nb");
    check(colour(), Val::Enum("red".to_owned()), json!({ "result": "red" }), "red");
    check(Shape::F64, Val::Float64(3.0), json!({ "result": 3.0 }), "3.0");
    check(Shape::Integer(Integer::U64), Val::U64(u64::MAX), json!({ "result": u64::MAX }), "18446744073709551615");
    check(option(Shape::String), Val::Option(None), json!({ "result": null }), "null");
    check(list(Shape::Char), Val::List(vec![Val::Char('"')]), json!({ "result": ["\""] }), r#"["\""]"#);
    let empty = Val::Variant("empty".to_owned(), None);
    check(figure(), empty, json!({ "empty": true }), r#"{"empty":true}"#);
}

#[test]
fn an_err_is_a_failed_call() {
    let check = |ok: Option<Shape>, err: Option<Shape>, result: Result<Option<Val>, Option<Val>>| {
        let signature = Signature { params: Vec::new(), output: ResultShape::Fallible { ok, err }, output_docs: None };
        let boxed = result.map(|val| val.map(Box::new)).map_err(|val| val.map(Box::new));
        encode_result(&signature, &[Val::Result(boxed)], 100)
    };
    let failed = |text: &str| Ok(Reply::Failed { text: text.to_owned() });
    assert_eq!(check(None, Some(Shape::String), Err(Some(text("no such city")))), failed("no such city"));
    assert_eq!(check(None, Some(colour()), Err(Some(Val::Enum("red".to_owned())))), failed("red"));
    assert_eq!(check(None, Some(Shape::F64), Err(Some(Val::Float64(0.5)))), failed("0.5"));
    let silent = "the tool failed and gave no reason";
    assert_eq!(check(None, None, Err(None)), failed(silent));
    for blank in ["", " \n\t", "\u{200b}", "\0", "\u{2800}", "\u{3164}\u{3000}\u{2800} ", "\u{1d159}\u{1d173}"] {
        assert_eq!(check(None, Some(Shape::String), Err(Some(text(blank)))), failed(silent), "{blank:?}");
        let some_blank = Err(Some(some(text(blank))));
        assert_eq!(check(None, Some(option(Shape::String)), some_blank), failed(silent), "{blank:?}");
    }
    assert_eq!(check(None, Some(option(Shape::F64)), Err(Some(Val::Option(None)))), failed(silent));
    assert_eq!(check(None, Some(Shape::String), Err(Some(text("null")))), failed("null"));
    let ok = Ok(Some(text("")));
    assert_eq!(check(Some(Shape::String), Some(Shape::String), ok), Ok(Reply::Text(String::new())));
    assert_eq!(check(None, None, Ok(None)), Ok(Reply::Nothing));
    assert_eq!(
        check(Some(Shape::Bool), None, Ok(Some(Val::Bool(true)))),
        Ok(Reply::Structured(Structured::new("true".to_owned(), true)))
    );
    assert_eq!(check(Some(Shape::Bool), None, Ok(None)), Err(ResultError::Mismatch { path: "$".to_owned() }));
}

#[test]
fn a_function_without_result_gives_nothing() {
    assert_eq!(encode_result(&takes(Vec::new()), &[], 0), Ok(Reply::Nothing));
}

#[test]
fn numbers_without_json_form_are_errors_with_their_place() {
    let check = |shape: Shape, val: Val, expected: &str| {
        assert_eq!(encode(shape, val).unwrap_err().to_string(), expected);
    };
    check(Shape::F64, Val::Float64(f64::NAN), "result `$.result`: NaN has no JSON form");
    let circle = Val::Variant("circle".to_owned(), Some(Box::new(Val::Float64(f64::NEG_INFINITY))));
    check(figure(), circle, "result `$.circle`: -inf has no JSON form");
    let floats = Val::List(vec![Val::Float32(1.0), Val::Float32(f32::INFINITY)]);
    check(list(Shape::F32), floats, "result `$.result[1]`: inf has no JSON form");
}

#[test]
fn an_f32_is_written_as_short_as_it_can_be() {
    let check = |float: f32, expected: &str| {
        let Ok(Reply::Structured(structured)) = encode(Shape::F32, Val::Float32(float)) else { panic!("{float}") };
        assert_eq!(structured.text(), expected);
    };
    check(0.1, "0.1");
    check(-0.0, "-0.0");
    check(f32::MAX, "3.4028234663852886e+38");
    check(f32::MIN_POSITIVE, "1.1754944e-38");
}

#[test]
fn values_of_another_type_are_errors_and_no_panics() {
    let rows = [
        (Shape::Bool, Val::U8(1)),
        (Shape::Integer(Integer::U8), Val::U16(1)),
        (Shape::Bytes, Val::List(vec![Val::U16(1)])),
        (list(Shape::Bool), Val::FixedLengthList(Vec::new())),
        (Shape::Tuple(vec![Shape::Bool]), Val::Tuple(Vec::new())),
        (point(), Val::Record(vec![("x".to_owned(), Val::S32(1))])),
        (
            point(),
            Val::Record(vec![
                ("a".to_owned(), Val::S32(1)),
                ("b".to_owned(), Val::S32(1)),
                ("c".to_owned(), Val::S32(1)),
            ]),
        ),
        (figure(), Val::Variant("square".to_owned(), None)),
        (figure(), Val::Variant("circle".to_owned(), None)),
        (colour(), Val::Enum("mauve".to_owned())),
        (rights(), Val::Flags(vec!["read".to_owned(), "read".to_owned()])),
        (rights(), Val::Flags(vec!["run".to_owned()])),
        (outcome(), Val::Result(Err(Some(Box::new(Val::Bool(true)))))),
    ];
    for (shape, val) in rows {
        let error = encode(shape.clone(), val);
        assert!(matches!(error, Err(ResultError::Mismatch { .. })), "{shape:?}: {error:?}");
    }
    assert!(encode_result(&gives(Shape::Bool), &[], 100).is_err());
}

#[test]
fn a_result_stops_at_its_limit() {
    let numbers = Val::List(vec![Val::U16(100); 3]);
    let limited = |max_bytes| {
        encode_result(&gives(list(Shape::Integer(Integer::U16))), std::slice::from_ref(&numbers), max_bytes)
    };
    assert!(limited("[100,100,100]".len() as u64).is_ok());
    assert_eq!(limited(12), Err(ResultError::TooLarge { max_bytes: 12 }));
    assert_eq!(limited(12).unwrap_err().to_string(), "result larger than 12 bytes");

    let bytes = Val::List(vec![Val::U8(0); 300]);
    assert!(encode_result(&gives(Shape::Bytes), std::slice::from_ref(&bytes), 402).is_ok());
    assert!(encode_result(&gives(Shape::Bytes), &[bytes], 401).is_err());
    assert!(encode_result(&gives(Shape::String), &[text("\n")], 3).is_err());
}
