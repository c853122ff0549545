//! Real texts, in the sections of real components.

use wasm_encoder::{CustomSection, Section};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use super::*;
use crate::plugins::types::shape::{Case, Field, Label, ResultShape, Shape, Signature};

const WEATHER: &str = r#"
package acme:weather@1.2.0;

/// Types that all use.
interface types {
    /// A place on earth.
    record place {
        /// Degrees north.
        lat: f64,
        lon: f64,
        /// The town's name.
        name: option<town>,
    }

    /// A town.
    /// As it is spelt there.
    type town = string;

    enum sky { /// No cloud at all.
        clear,
        %type, }
}

interface %history {
    use types.{place as somewhere};
    /// The record of a day.
    past: async func(/** Where. */ at: somewhere, day: u32) -> result<list<somewhere>, string>;
}

/// The weather,
/// everywhere.
world weather {
    use types.{place, sky};
    use wasi:clocks/wall-clock@0.2.0.{datetime};
    import wasi:http/outgoing-handler@0.2.0;
    import log: func(text: string);

    /// What the sky will look like.
    variant outlook {
        /// It will be like this.
        likely(sky),
        /// Nobody knows.
        unknown,
    }

    /**
     * Finds the weather of a place.
     *
     * - `days`: how far to look, from 1
     *   to 14
     *
     * @title Weather
     * @param place where
     *   it is asked for
     * @returns what to expect
     *
     * @read-only @open-world
     */
    @since(version = 1.0.0)
    export forecast: func(
        place: place,
        days: u8,
        /// For whom.
        person: option<town>, // not documentation
    ) -> result<outlook, string>;

    export undocumented: func();
    export history;
    export inline: interface {
        /// In the middle.
        middle: func(a: list<u8>) -> u8;
    }
}
"#;

fn name(interface: Option<&str>, function: &str) -> FunctionName {
    FunctionName { interface: interface.map(str::to_owned), function: function.to_owned() }
}

fn with_section(mut wasm: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    CustomSection { name: name.into(), data: data.into() }.append_to(&mut wasm);
    wasm
}

/// A component without a function that has the sections in its core module.
pub(in crate::plugins) fn component(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", "package test:test; world test { export it: func(); }").unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    for (name, data) in sections {
        module = with_section(module, name, data);
    }
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn docs_of(text: &str) -> Docs {
    Docs::from_component(&component(&[("tinymcp-wit", text.as_bytes())]))
}

/// The documentation of `export it: func()` with the comment.
fn commented(comment: &str) -> FunctionDocs {
    let comment: String = comment.lines().map(|line| format!("/// {line}\n")).collect();
    docs_of(&format!("package a:b;\nworld w {{\n{comment}export it: func();\n}}")).function(&name(None, "it"))
}

fn field(name: &str, shape: Shape) -> Field {
    Field { name: name.to_owned(), shape, docs: None }
}

fn place() -> Shape {
    let name = Shape::Option(Box::new(Shape::String));
    Shape::Record(vec![field("lat", Shape::F64), field("lon", Shape::F64), field("name", name)])
}

#[test]
fn a_function_is_described() {
    let mut docs = docs_of(WEATHER);
    assert_eq!(docs.take_warnings(), Vec::<String>::new());
    assert_eq!(docs.world(), Some("The weather,\neverywhere."));
    let forecast = docs.function(&name(None, "forecast"));
    assert_eq!(
        forecast.description.as_deref(),
        Some("Finds the weather of a place.\n\n- `days`: how far to look, from 1\n  to 14")
    );
    assert_eq!(forecast.title.as_deref(), Some("Weather"));
    assert_eq!(forecast.returns.as_deref(), Some("what to expect"));
    assert_eq!(forecast.hints, Hints { read_only: Some(true), open_world: Some(true), ..Hints::default() });
    let params =
        [("person", "For whom."), ("place", "where\nit is asked for"), ("days", "how far to look, from 1\nto 14")];
    assert_eq!(forecast.params, params.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn a_signature_takes_the_words_on_its_types() {
    let docs = docs_of(WEATHER);
    let sky = Shape::Enum(["clear", "type"].map(|name| Label { name: name.to_owned(), docs: None }).to_vec().into());
    let outlook = Shape::Variant(
        vec![
            Case { name: "likely".to_owned(), shape: Some(sky), docs: None },
            Case { name: "unknown".to_owned(), shape: None, docs: None },
        ]
        .into(),
    );
    let mut signature = Signature {
        params: vec![field("place", place()), field("days", Shape::Bool), field("person", Shape::String)],
        output: ResultShape::Fallible { ok: Some(outlook), err: Some(Shape::String) },
        output_docs: None,
    };
    signature.apply_docs(&docs.function(&name(None, "forecast")));
    let words: Vec<_> = signature.params.iter().map(|param| param.docs.as_deref()).collect();
    assert_eq!(words, [Some("where\nit is asked for"), Some("how far to look, from 1\nto 14"), Some("For whom.")]);
    let Shape::Record(fields) = &signature.params[0].shape else { panic!() };
    let words: Vec<_> = fields.iter().map(|field| field.docs.as_deref()).collect();
    assert_eq!(words, [Some("Degrees north."), None, Some("The town's name.")]);
    assert_eq!(signature.output_docs.as_deref(), Some("what to expect"));
    let ResultShape::Fallible { ok: Some(Shape::Variant(cases)), .. } = &signature.output else { panic!() };
    let words: Vec<_> = cases.iter().map(|case| case.docs.as_deref()).collect();
    assert_eq!(words, [Some("It will be like this."), Some("Nobody knows.")]);
    let Some(Shape::Enum(labels)) = &cases[0].shape else { panic!() };
    let words: Vec<_> = labels.iter().map(|label| label.docs.as_deref()).collect();
    assert_eq!(words, [Some("No cloud at all."), None]);
}

#[test]
fn words_are_found_through_use_list_and_result() {
    let docs = docs_of(WEATHER);
    let past = docs.function(&name(Some("acme:weather/history@1.2.0"), "past"));
    assert_eq!(past.description.as_deref(), Some("The record of a day."));
    let places = Shape::List(Box::new(place()));
    let mut signature = Signature {
        params: vec![field("at", place()), field("day", Shape::Bool)],
        output: ResultShape::Fallible { ok: Some(places), err: None },
        output_docs: None,
    };
    signature.apply_docs(&past);
    assert_eq!(signature.params[0].docs.as_deref(), Some("Where."));
    let ResultShape::Fallible { ok: Some(Shape::List(item)), .. } = &signature.output else { panic!() };
    let Shape::Record(fields) = &**item else { panic!() };
    assert_eq!(fields[0].docs.as_deref(), Some("Degrees north."));
}

#[test]
fn a_parameter_without_words_takes_those_of_its_type() {
    let docs = docs_of(
        "interface i {
            type alias = town;
            /// A town.
            type town = string;
            go: func(to: option<alias>, also: list<alias>) -> alias;
        }",
    );
    let mut signature = Signature {
        params: vec![
            field("to", Shape::Option(Box::new(Shape::String))),
            field("also", Shape::List(Box::new(Shape::String))),
        ],
        output: ResultShape::Value(Shape::String),
        output_docs: None,
    };
    signature.apply_docs(&docs.function(&name(Some("a:b/i"), "go")));
    assert_eq!(signature.params[0].docs.as_deref(), Some("A town."));
    assert_eq!(signature.params[1].docs, None);
    assert_eq!(signature.output_docs.as_deref(), Some("A town."));
}

#[test]
fn text_that_does_not_line_up_says_nothing() {
    let docs = docs_of(WEATHER);
    let mut signature = Signature {
        params: vec![field("at", Shape::List(Box::new(place()))), field("other", place())],
        output: ResultShape::Value(place()),
        output_docs: None,
    };
    let before = signature.clone();
    let mut past = docs.function(&name(Some("acme:weather/history"), "past"));
    past.params.clear();
    signature.apply_docs(&past);
    assert_eq!(signature.params[1], before.params[1]);
    assert_eq!(signature.output, before.output);
    let Shape::List(item) = &signature.params[0].shape else { panic!() };
    assert_eq!(**item, place());
}

#[test]
fn functions_are_found_by_their_interface() {
    let docs = docs_of(WEATHER);
    let check = |interface: Option<&str>, function: &str, expected: Option<&str>| {
        assert_eq!(docs.function(&name(interface, function)).description.as_deref(), expected, "{interface:?}");
    };
    check(Some("inline"), "middle", Some("In the middle."));
    check(Some("acme:weather/history@1.2.0"), "past", Some("The record of a day."));
    check(Some("other:weather/history@1.2.0"), "past", None);
    check(None, "past", None);
    check(None, "log", None);
    check(None, "undocumented", None);
}

#[test]
fn tags_end_a_comment() {
    let check = |comment: &str, description: Option<&str>, hints: Hints| {
        let docs = commented(comment);
        assert_eq!((docs.description.as_deref(), docs.hints), (description, hints), "{comment}");
    };
    let none = Hints::default();
    let read_only = Hints { read_only: Some(true), ..none };
    check("Reads. @read-only", Some("Reads."), read_only);
    check("Reads.\n@read-only", Some("Reads."), read_only);
    check("@read-only @idempotent", None, Hints { idempotent: Some(true), ..read_only });
    check("Drops all.\n\n@destructive\n\n", Some("Drops all."), Hints { destructive: Some(true), ..none });
    check("@read-only tools are fine.", Some("@read-only tools are fine."), none);
    check("@read-only\nThis is text.", Some("@read-only\nThis is text."), none);
    check("Write to a@read-only.example", Some("Write to a@read-only.example"), none);
    check("Text.\n@author Ann\n@read-only", Some("Text.\n@author Ann"), read_only);
    check("Text.\n@read-only\n@author Ann", Some("Text.\n@author Ann"), read_only);
}

#[test]
fn tags_carry_text_over_lines() {
    let docs = commented("Adds.\n@param a the first\nnumber\n@param `b` the second\n@title Add\n@returns\nthe sum");
    assert_eq!(docs.description.as_deref(), Some("Adds."));
    let params = [("a", "the first\nnumber"), ("b", "the second")];
    assert_eq!(docs.params, params.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert_eq!(docs.title.as_deref(), Some("Add"));
    assert_eq!(docs.returns.as_deref(), Some("the sum"));
    let docs = commented("Adds.\n- `a`: the first\n@param a\n@param b");
    assert_eq!(docs.params, [("a".to_owned(), "the first".to_owned())], "a tag without a text is none");
}

#[test]
fn sections_are_found_at_any_depth() {
    let text = b"world w { /// Here.\n export it: func(); }";
    let outside = with_section(component(&[]), "tinymcp-wit", text);
    let inside = component(&[("tinymcp-wit", text)]);
    for component in [outside, inside] {
        let docs = Docs::from_component(&component);
        assert_eq!(docs.function(&name(None, "it")).description.as_deref(), Some("Here."));
    }
}

#[test]
fn package_docs_are_read_where_there_is_no_text() {
    let section = br#"{"worlds":{"my-world":{"docs":"All of it.","func_exports":{"it":{"docs":"Does it.\n@param a what"}},
        "interfaces":{"inline":{"funcs":{"deep":{"docs":"Deep."}}}}}},"interfaces":{"named":{"funcs":{"old":"Old."}}}}"#;
    let section = [&[1], &section[..]].concat();
    let docs = Docs::from_component(&component(&[("package-docs", &section)]));
    assert_eq!(docs.world(), Some("All of it."));
    let it = docs.function(&name(None, "it"));
    assert_eq!(it.description.as_deref(), Some("Does it."));
    assert_eq!(it.params, [("a".to_owned(), "what".to_owned())]);
    assert_eq!(docs.function(&name(Some("inline"), "deep")).description.as_deref(), Some("Deep."));
    assert_eq!(docs.function(&name(Some("a:b/named@0.1.0"), "old")).description.as_deref(), Some("Old."));

    let text = b"world w { /// From the text.\n export it: func(); }";
    let docs = Docs::from_component(&component(&[("package-docs", &section), ("tinymcp-wit", text)]));
    assert_eq!(docs.function(&name(None, "it")).description.as_deref(), Some("From the text."));
}

#[test]
fn what_cannot_be_read_is_a_warning() {
    let check = |component: &[u8], expected: &str| {
        let warnings = Docs::from_component(component).take_warnings();
        assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{warnings:?}");
    };
    let large = vec![b' '; (256 << 10) + 1];
    check(&component(&[("tinymcp-wit", &large)]), "section `tinymcp-wit` ignored: more than 256 KiB");
    check(&component(&[("tinymcp-wit", b"\xff")]), "section `tinymcp-wit` ignored: invalid utf-8");
    check(&component(&[("package-docs", b"\x07{}")]), "section `package-docs` not read: version 7 is unknown");
    check(&component(&[("package-docs", b"")]), "section `package-docs` not read: it is empty");
    check(&component(&[("package-docs", b"\x01{")]), "section `package-docs` not read: invalid JSON");
    check(b"\0asm\x0d\0\x01\0\x01\xff", "documentation read in part");
    // wasmparser has several lines for it.
    check(b"\x7fELF", "documentation read in part: magic header not detected: bad magic number - expected=[ 0x0, 0x61");
    check(
        &component(&[("tinymcp-wit", b"world w {\n export it: func(;\n}")]),
        "WIT text not understood: expected a name in line 2",
    );
}

#[test]
fn what_follows_an_unreadable_item_is_read() {
    let docs = docs_of(
        "package a:b;
         nonsense { x: y; }
         }
         world w {
             strange thing { a { b } }
             export broken: func(a: !!) -> u8;
             record broken { a: !!, b: u8 }
             /// Fine.
             export it: func();
             resource r { constructor(); get: func() -> u8; }
             /// Also fine.
             export too: func();
         }",
    );
    assert_eq!(docs.function(&name(None, "it")).description.as_deref(), Some("Fine."));
    assert_eq!(docs.function(&name(None, "too")).description.as_deref(), Some("Also fine."));
}

#[test]
fn hostile_text_ends() {
    let deep = "package a:b { interface i { export x: interface { type t = list<".repeat(4_000);
    let tags = "@title\na\n\nb\n".repeat(20_000);
    let circle = "interface a { use b.{t}; type u = v; type v = u; f: func(p: t, q: u); } interface b { use a.{t}; }";
    for text in
        [deep.as_str(), "/*".repeat(100_000).as_str(), "}".repeat(100_000).as_str(), "@(".repeat(50_000).as_str()]
    {
        docs_of(text);
    }
    assert_eq!(commented(&tags).title, None);
    let mut signature = Signature {
        params: vec![field("p", place()), field("q", place())],
        output: ResultShape::Nothing,
        output_docs: None,
    };
    signature.apply_docs(&docs_of(circle).function(&name(Some("x:y/a"), "f")));
    assert_eq!(signature.params[1].docs, None);
}

#[test]
fn the_words_of_one_signature_are_bounded() {
    let long = "x".repeat(2_000);
    let record = || Shape::Record(vec![field("f", Shape::Bool)]);
    let text = format!("interface i {{ record r {{ /// {long}\n f: u8 }} go: func(a: tuple<{}>) }}", "r,".repeat(100));
    let mut signature = Signature {
        params: vec![field("a", Shape::Tuple(std::iter::repeat_with(record).take(100).collect()))],
        output: ResultShape::Nothing,
        output_docs: None,
    };
    signature.apply_docs(&docs_of(&text).function(&name(Some("i"), "go")));
    let Shape::Tuple(items) = &signature.params[0].shape else { panic!() };
    let described = items.iter().filter(|item| matches!(item, Shape::Record(fields) if fields[0].docs.is_some()));
    assert_eq!(described.count(), (64 << 10) / 2_000);
}

#[test]
fn descriptions_are_cut_and_visible() {
    let docs = commented(&"é".repeat(2_000));
    let description = docs.description.unwrap();
    assert!(description.len() <= 2 << 10 && description.ends_with("é…"), "{}", description.len());

    let check = |raw: &str, expected: &str| assert_eq!(clean(raw), expected);
    check("a\r\nb\rc\u{2028}d", "a\nb\nc\nd");
    check("tab\there\u{7}\u{1b}[31m\u{9f}", "tab here[31m");
    check("\u{202e}evil\u{2069}\u{200e}", "evil");
    check("zero\u{200b}\u{200d}\u{feff}\u{2060}width", "zerowidth");
    check("tags\u{e0041}\u{e0042}\u{e007f}", "tags");
    check("naïve 日本語 🙂", "naïve 日本語 🙂");
}

#[test]
fn mismatches_are_told_to_the_author() {
    let docs = docs_of(
        "world w { /// A.\n export a: func(); export b: func(); /// C.\n export c: func(); } world other { export d: func(); }",
    );
    let (a, b) = (name(None, "a"), name(None, "b"));
    assert_eq!(
        docs.mismatches(&[&a, &b]),
        [
            "function `b` has no documentation: write a `///` comment above it in the WIT",
            "documentation of function `c`, which is no tool of the component",
        ]
    );
}

/// The needs of a component with these sections, and the warnings about them.
fn needs_of(sections: &[(&str, &[u8])]) -> (Option<String>, usize) {
    let mut docs = Docs::from_component(&component(sections));
    let needs = docs.needs().are_declared().then(|| docs.needs().to_string());
    let warnings = docs.take_warnings();
    (needs, warnings.iter().filter(|warning| warning.contains("need of nothing")).count())
}

#[test]
fn needs_count_in_every_comment() {
    let text = "/// About\n/// @needs http https://a.example\npackage a:b;\n/// @needs kv\ninterface other {\n/// A record\n/// @needs env TZ\nrecord r { a: u8 }\n}\n/// World\n/// @keep-warm @needs secret A\nworld w {\n/** It\n * @needs dir /data\n * and more text\n */\nexport it: func();\n??? not understood\n/// @needs tcp a.example:1\nexport that: func() -> $;\n}";
    let (needs, warnings) = needs_of(&[(WIT_SECTION, text.as_bytes())]);
    let expected = "http https://a.example, tcp a.example:1, secret A, env TZ, kv, dir /data";
    assert_eq!((needs.as_deref(), warnings), (Some(expected), 0));
    assert_eq!(
        needs_of(&[(WIT_SECTION, b"/// Say `@needs kv`, or @needs kv in a sentence.\npackage a:b;")]),
        (None, 0)
    );
    assert_eq!(needs_of(&[(WIT_SECTION, b"/// @needskv\npackage a:b;")]), (None, 0));
}

#[test]
fn needs_are_no_part_of_a_description() {
    let docs = commented("Finds it.\n@read-only @needs kv\n@needs secret A\n@returns what it found\n  there");
    assert_eq!(docs.description.as_deref(), Some("Finds it."));
    assert_eq!(docs.returns.as_deref(), Some("what it found\nthere"));
    assert_eq!(docs.hints.read_only, Some(true));
    assert_eq!(commented("One.\n@needs kv\nTwo.").description.as_deref(), Some("One.\n\nTwo."));
}

#[test]
fn a_declaration_that_is_lost_is_one_of_nothing() {
    for declaration in ["kv 1GiB", "", "everything", "secret A-B", "http *"] {
        let text = format!("/// @needs {declaration}\npackage a:b;");
        assert_eq!(needs_of(&[(WIT_SECTION, text.as_bytes())]), (Some(String::new()), 1), "{declaration}");
    }
    let long = format!("/// @needs kv\npackage a:b;\n{}", "/// x\n".repeat(60_000));
    assert_eq!(needs_of(&[(WIT_SECTION, long.as_bytes())]), (Some(String::new()), 1));
    let long = format!("package a:b;\n{}", "/// x\n".repeat(60_000));
    assert_eq!(needs_of(&[(WIT_SECTION, long.as_bytes())]), (None, 0));
    assert_eq!(needs_of(&[(WIT_SECTION, b"/// @needs kv\n\xff")]), (Some(String::new()), 1));
    assert_eq!(needs_of(&[(NEEDS_SECTION, b"kv\n\xff")]), (Some(String::new()), 1));
    let many = "kv\n".repeat(10_000);
    assert_eq!(needs_of(&[(NEEDS_SECTION, many.as_bytes())]), (Some(String::new()), 1));
}

#[test]
fn needs_have_a_section_of_their_own() {
    let sections: [(&str, &[u8]); 2] =
        [(NEEDS_SECTION, b"kv\r\n\n  secret A \n"), (WIT_SECTION, b"/// @needs env TZ\npackage a:b;")];
    assert_eq!(needs_of(&sections), (Some("secret A, env TZ, kv".to_owned()), 0));
    let (package_docs, both) =
        (&b"\x01{\"worlds\":{\"w\":{\"docs\":\"About\\n@needs kv\"}}}"[..], &b"package a:b;"[..]);
    assert_eq!(needs_of(&[("package-docs", package_docs)]), (Some("kv".to_owned()), 0));
    assert_eq!(needs_of(&[("package-docs", package_docs), (WIT_SECTION, both)]), (Some("kv".to_owned()), 0));
}
