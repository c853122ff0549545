//! Descriptions in a component's custom sections, which any author writes.

use super::outline::BlockKind;
use super::{Docs, FunctionDocs, MAX_DESCRIPTION_BYTES, MAX_TITLE_BYTES, WIT_SECTION, wit_texts};
use crate::fuzzing::promises::assert_shown;
use crate::plugins::names::FunctionName;
use crate::plugins::types::shape::{Case, Field, Label, ResultShape, Shape, Signature};

/// Documentation of one signature, in all.
const MAX_SIGNATURE_BYTES: usize = 64 << 10;

/// Functions whose documentation is looked at.
const MAX_FUNCTIONS: usize = 16;

/// A WIT text, as a component embeds it.
pub(crate) fn wit_section(bytes: &[u8]) {
    let component = with_section(WIT_SECTION, bytes);
    let texts = wit_texts(&component);
    assert!(texts.len() <= 1 && texts.iter().all(|text| text.as_bytes() == bytes));
    check(&component);
}

/// The section of the WIT tools.
pub(crate) fn package_docs(bytes: &[u8]) {
    check(&with_section("package-docs", bytes));
}

/// A component with nothing but a custom section.
fn with_section(name: &str, data: &[u8]) -> Vec<u8> {
    let content = [leb128(name.len()), name.as_bytes().to_vec(), data.to_vec()].concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), vec![0], leb128(content.len()), content].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

fn check(component: &[u8]) {
    let mut docs = Docs::from_component(component);
    docs.world().into_iter().for_each(|text| assert_description(text, MAX_DESCRIPTION_BYTES));
    let names: Vec<FunctionName> = docs
        .blocks
        .iter()
        .flat_map(|block| {
            let interface = (block.kind == BlockKind::Interface).then(|| block.name.clone());
            let name =
                move |function: &str| FunctionName { interface: interface.clone(), function: function.to_owned() };
            block.functions.iter().map(move |function| name(&function.name))
        })
        .take(MAX_FUNCTIONS)
        .collect();
    for name in &names {
        let function = docs.function(name);
        for text in [&function.description, &function.returns].into_iter().flatten() {
            assert_description(text, MAX_DESCRIPTION_BYTES);
        }
        function.title.iter().for_each(|title| assert_shown(title, MAX_TITLE_BYTES));
        function.params.iter().for_each(|(_, text)| assert_description(text, MAX_DESCRIPTION_BYTES));
        apply(&function);
    }
    let exported: Vec<&FunctionName> = names.iter().step_by(2).collect();
    for warning in docs.take_warnings().iter().chain(&docs.mismatches(&exported)) {
        assert_shown(warning, component.len() + 256);
    }
}

/// Puts the documentation onto a signature whose names the text may have.
fn apply(docs: &FunctionDocs) {
    let field = |name: &str, shape| Field { name: name.to_owned(), shape, docs: None };
    let label = |name: &str| Label { name: name.to_owned(), docs: None };
    let record = Shape::Record(vec![
        field("x", Shape::F64),
        field("a", Shape::Option(Box::new(Shape::Enum(vec![label("a"), label("red")].into())))),
    ]);
    let case = Case { name: "a".to_owned(), shape: Some(record.clone()), docs: None };
    let list = Shape::List(Box::new(Shape::Variant(vec![case].into())));
    let names = docs.params.iter().map(|(name, _)| name.as_str()).take(4);
    let params = names.chain(["a"]).map(|name| field(name, record.clone())).collect();
    let mut signature =
        Signature { params, output: ResultShape::Fallible { ok: Some(list), err: None }, output_docs: None };
    signature.apply_docs(docs);
    let mut found = Vec::new();
    for field in &signature.params {
        found.extend(field.docs.as_deref());
        collect(&field.shape, &mut found);
    }
    signature.output.value().into_iter().for_each(|shape| collect(shape, &mut found));
    found.extend(signature.output_docs.as_deref());
    assert!(found.iter().map(|text| text.len()).sum::<usize>() <= MAX_SIGNATURE_BYTES);
    found.into_iter().for_each(|text| assert_description(text, MAX_DESCRIPTION_BYTES));
}

fn collect<'s>(shape: &'s Shape, found: &mut Vec<&'s str>) {
    match shape {
        Shape::Record(fields) => found.extend(fields.iter().filter_map(|field| field.docs.as_deref())),
        Shape::Variant(cases) => found.extend(cases.iter().filter_map(|case| case.docs.as_deref())),
        Shape::Enum(labels) => found.extend(labels.iter().filter_map(|label| label.docs.as_deref())),
        _ => {}
    }
    shape.parts().into_iter().for_each(|(_, part)| collect(part, found));
}

/// Line breaks stay in a description.
fn assert_description(text: &str, max_bytes: usize) {
    assert!(!text.is_empty());
    assert_shown(&text.replace('\n', " "), max_bytes);
}
