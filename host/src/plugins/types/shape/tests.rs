//! Signatures read from real components, which are made from WIT text.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Config, Engine};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use super::reader::KnownTypes;
use super::*;

/// The signature of `export it: func…`, in a world with the given types.
fn read(types: &str, function: &str) -> Result<Signature, ShapeError> {
    let text = format!(
        "package test:test; interface types {{ resource thing; {types} }}
         world test {{ use types.{{thing{}}}; export it: func{function}; }}",
        names(types)
    );
    let component = component(&text);
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    config.wasm_component_model_error_context(true);
    config.wasm_component_model_map(true);
    config.wasm_component_model_fixed_length_lists(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_binary(&engine, &component).unwrap();
    let ty = component.component_type();
    let Some(ComponentItem::ComponentFunc(function)) = ty.get_export(&engine, "it").map(|export| export.ty) else {
        panic!("no function `it`");
    };
    Signature::from_function(&function, &KnownTypes::default())
}

/// Every type that the text defines, for a `use`.
fn names(types: &str) -> String {
    let is_keyword = |word: &&str| matches!(*word, "record" | "variant" | "enum" | "flags" | "type");
    let words: Vec<&str> = types.split_whitespace().collect();
    words.windows(2).filter(|pair| is_keyword(&pair[0])).map(|pair| format!(", {}", pair[1])).collect()
}

fn component(text: &str) -> Vec<u8> {
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let package = resolve.push_str("test.wit", text).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn field(name: &str, shape: Shape) -> Field {
    Field { name: name.to_owned(), shape, docs: None }
}

fn labels(names: [&str; 2]) -> Vec<Label> {
    names.map(|name| Label { name: name.to_owned(), docs: None }).to_vec()
}

#[test]
fn every_type_is_read_with_its_names() {
    let types = "
        record point { x: s32, label: option<string> }
        variant figure { circle(f64), no-figure }
        enum colour { red, dark-blue }
        flags rights { read, write }
    ";
    let signature =
        read(types, "(an-integer: u64, p: point, f: figure, c: colour, r: rights) -> list<tuple<f32, char>>");
    let figure = vec![
        Case { name: "circle".to_owned(), shape: Some(Shape::F64), docs: None },
        Case { name: "no-figure".to_owned(), shape: None, docs: None },
    ];
    let point = vec![field("x", Shape::Integer(Integer::S32)), field("label", Shape::Option(Box::new(Shape::String)))];
    let expected = Signature {
        params: vec![
            field("an-integer", Shape::Integer(Integer::U64)),
            field("p", Shape::Record(point)),
            field("f", Shape::Variant(figure.into())),
            field("c", Shape::Enum(labels(["red", "dark-blue"]).into())),
            field("r", Shape::Flags(labels(["read", "write"]).into())),
        ],
        output: ResultShape::Value(Shape::List(Box::new(Shape::Tuple(vec![Shape::F32, Shape::Char])))),
        output_docs: None,
    };
    assert_eq!(signature, Ok(expected));
}

#[test]
fn a_list_of_bytes_is_bytes() {
    let signature = read("", "(a: list<u8>, b: list<s8>)").unwrap();
    let list = Shape::List(Box::new(Shape::Integer(Integer::S8)));
    assert_eq!(signature.params, [field("a", Shape::Bytes), field("b", list)]);
}

#[test]
fn a_map_is_an_object_or_a_list_of_entries() {
    let signature = read("", "(a: map<string, list<u8>>, b: map<char, option<s8>>)").unwrap();
    let entry = Shape::Record(vec![
        field("key", Shape::Char),
        field("value", Shape::Option(Box::new(Shape::Integer(Integer::S8)))),
    ]);
    let expected = [field("a", Shape::Map(Box::new(Shape::Bytes))), field("b", Shape::Entries(Box::new(entry)))];
    assert_eq!(signature.params, expected);
    assert_eq!(signature.to_string(), "(a: map<string, list<u8>>, b: map<char, option<s8>>)");
}

#[test]
fn only_the_whole_result_can_fail_the_call() {
    let output = |function: &str| {
        let signature = read("", function).unwrap();
        (signature.result_count(), signature.output)
    };
    assert_eq!(output("()"), (0, ResultShape::Nothing));
    assert_eq!(output("() -> result"), (1, ResultShape::Fallible { ok: None, err: None }));
    assert_eq!(output("() -> result<_, string>"), (1, ResultShape::Fallible { ok: None, err: Some(Shape::String) }));
    let nested = Shape::Result { ok: Some(Box::new(Shape::Bool)), err: None };
    assert_eq!(output("() -> option<result<bool>>"), (1, ResultShape::Value(Shape::Option(Box::new(nested)))));
}

#[test]
fn what_has_no_json_form_is_named_with_its_place() {
    let part = "record part { body: list<maybe> } type maybe = option<s8>;";
    assert!(read(part, "(p: part)").is_ok());

    let check = |types: &str, function: &str, expected: &str| {
        assert_eq!(read(types, function).unwrap_err().to_string(), expected);
    };
    check("", "(body: stream<u8>)", "parameter `body`: a `stream` has no JSON form");
    check("", "(a: u8, b: borrow<thing>)", "parameter `b`: a `resource` has no JSON form");
    check("", "() -> thing", "result: a `resource` has no JSON form");
    check("", "() -> result<list<future>, string>", "result `ok[]`: a `future` has no JSON form");
    check("", "(e: error-context)", "parameter `e`: an `error-context` has no JSON form");
    check("", "(m: map<string, stream<u8>>)", "parameter `m.*`: a `stream` has no JSON form");
    check("", "(m: map<u8, stream<u8>>)", "parameter `m[].value`: a `stream` has no JSON form");
    check("", "(l: list<u8, 4>)", "parameter `l`: a `list of fixed length` has no JSON form");
    check(
        "record part { names: tuple<u8, maybe> } type maybe = option<inner>; type inner = option<bool>;",
        "(request: list<part>)",
        "parameter `request[].names[1]`: an `option` directly inside an `option` has no JSON form; use a `variant`",
    );
}

#[test]
fn deep_and_large_types_are_refused() {
    // Pairs of pairs, 14 times over, are more than 16,000 types in half a kilobyte.
    let tuple = |index: usize| format!("type t{index} = tuple<t{}, t{}>;\n", index - 1, index - 1);
    let wide: String = std::iter::once("type t0 = bool;\n".to_owned()).chain((1..=14).map(tuple)).collect();
    let error = read(&wide, "(a: t14)").unwrap_err();
    assert!(matches!(error, ShapeError::TooLarge { .. }), "{error}");

    let list = |index: usize| format!("type t{index} = list<t{}>;\n", index - 1);
    let deep = |depth: usize| -> String {
        std::iter::once("type t0 = bool;\n".to_owned()).chain((1..=depth).map(list)).collect()
    };
    assert!(read(&deep(63), "(a: t63)").is_ok());
    let error = read(&deep(64), "(a: t64)").unwrap_err();
    assert!(error.to_string().ends_with("types nest deeper than 64 levels; flatten them"), "{error}");
}

#[test]
fn a_property_has_a_name_of_64_characters_at_most() {
    let (longest, long) = (format!("a{}", "b".repeat(63)), format!("a{}", "b".repeat(64)));
    let record = |name: &str| format!("record r {{ {name}: bool }}");
    let variant = |name: &str| format!("variant v {{ {name} }}");
    assert!(read("", &format!("({longest}: bool)")).is_ok());
    assert!(read(&record(&longest), "(it: r)").is_ok());
    // An enum's names are values.
    assert!(read(&format!("enum e {{ {long} }}"), "(it: e)").is_ok());
    // An error is text, and in no schema.
    assert!(read(&record(&long), "() -> result<_, r>").is_ok());
    for (types, function, place) in [
        (record(&long), "() -> result<r, string>".to_owned(), format!("result `ok.{long}`")),
        (String::new(), format!("({long}: bool)"), format!("parameter `{long}`")),
        (record(&long), "(it: list<r>)".to_owned(), format!("parameter `it[].{long}`")),
        (variant(&long), "(it: v)".to_owned(), format!("parameter `it.{long}`")),
        (record(&long), "() -> r".to_owned(), format!("result `{long}`")),
    ] {
        let error = read(&types, &function).unwrap_err();
        assert_eq!(error, ShapeError::NameTooLong { place, chars: 65 });
        assert!(error.to_string().ends_with("shorten it"), "{error}");
    }
}
