//! JSON with comments, changed by its concrete syntax tree.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Map, Value};

use super::{At, EditError};

/// What clients take beyond JSON: comments, and commas at ends.
fn options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn parse(text: &str) -> Result<CstRootNode, EditError> {
    CstRootNode::parse(text, &options()).map_err(|error| EditError::Unreadable(format!("JSON: {error}")))
}

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    let root = parse(text)?;
    let Some(value) = root.value() else { return Ok(Value::Null) };
    value.to_serde_value().ok_or_else(|| EditError::Unreadable("JSON: a value in it has no form of JSON".to_owned()))
}

pub(super) fn put(text: &str, at: At<'_>, entry: &Map<String, Value>, stale: &[String]) -> Result<String, EditError> {
    let root = parse(text)?;
    let is_new = root.value().is_none();
    let mut object = match root.value() {
        None => root.object_value_or_set(),
        Some(value) => value.as_object().ok_or(EditError::NotATable)?,
    };
    for table in at.tables {
        let there = object.get(table).and_then(|member| member.value());
        let is_open =
            there.as_ref().is_none_or(|value| value.as_object().is_some() || value.as_null_keyword().is_some());
        if !is_open {
            return Err(EditError::NoTable(table.clone()));
        }
        object = object.object_value_or_set(table);
    }
    match object.get(at.name) {
        None => drop(object.append(at.name, Value::Object(entry.clone()).written())),
        Some(member) => match member.object_value() {
            None => member.set_value(Value::Object(entry.clone()).written()),
            Some(there) => update(&there, entry, stale),
        },
    }
    let mut text = root.to_string();
    if is_new && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Changes the members that differ, and no others.
fn update(there: &CstObject, entry: &Map<String, Value>, stale: &[String]) {
    for member in stale.iter().filter_map(|key| there.get(key)) {
        member.remove();
    }
    for (key, value) in entry {
        match there.get(key) {
            None => drop(there.append(key, value.written())),
            Some(member) => {
                let is_same = member.value().and_then(|value| value.to_serde_value()).as_ref() == Some(value);
                if !is_same {
                    member.set_value(value.written());
                }
            }
        }
    }
}

pub(super) fn take(text: &str, at: At<'_>) -> Result<String, EditError> {
    let root = parse(text)?;
    if let Some(member) = find(&root, at).and_then(|table| table.get(at.name)) {
        member.remove();
    }
    Ok(root.to_string())
}

/// A name that one object has twice.
pub(super) fn twice(text: &str) -> Option<String> {
    let mut nodes = parse(text).ok()?.children();
    while let Some(node) = nodes.pop() {
        if let Some(object) = node.as_object() {
            let mut names = std::collections::BTreeSet::new();
            let of_members = object.properties().into_iter().filter_map(|member| member.name()?.decoded_value().ok());
            for name in of_members {
                if !names.insert(name.clone()) {
                    return Some(name);
                }
            }
        }
        nodes.extend(node.children());
    }
    None
}

fn find(root: &CstRootNode, at: At<'_>) -> Option<CstObject> {
    at.tables.iter().try_fold(root.object_value()?, |object, table| object.object_value(table))
}

/// The comments outside of the entry, in their order.
pub(super) fn comments(text: &str, at: At<'_>) -> Vec<String> {
    let Ok(root) = parse(text) else { return Vec::new() };
    let own = find(&root, at).and_then(|table| table.get(at.name)).map(CstNode::from);
    let mut found = Vec::new();
    let mut nodes: Vec<CstNode> = root.children().into_iter().rev().collect();
    while let Some(node) = nodes.pop() {
        if let Some(comment) = node.as_comment() {
            found.push(comment.raw_value().trim_end().to_owned());
        }
        let is_own = own.as_ref().is_some_and(|own| is_same(own, &node));
        if !is_own {
            nodes.extend(node.children().into_iter().rev());
        }
    }
    found
}

/// True for two handles to one member.
fn is_same(own: &CstNode, other: &CstNode) -> bool {
    let places = |node: &CstNode| {
        let mut places = Vec::new();
        let mut at = Some(node.clone());
        while let Some(node) = at {
            places.push(node.child_index());
            at = node.parent().map(CstNode::from);
        }
        places
    };
    own.as_object_prop().is_some() && other.as_object_prop().is_some() && places(own) == places(other)
}

/// A value as it is written.
trait Written {
    fn written(&self) -> CstInputValue;
}

impl Written for Value {
    fn written(&self) -> CstInputValue {
        match self {
            Self::Null => CstInputValue::Null,
            Self::Bool(bool) => CstInputValue::Bool(*bool),
            Self::Number(number) => CstInputValue::Number(number.to_string()),
            Self::String(text) => CstInputValue::String(text.clone()),
            Self::Array(items) => CstInputValue::Array(items.iter().map(Written::written).collect()),
            Self::Object(members) => {
                CstInputValue::Object(members.iter().map(|(key, value)| (key.clone(), value.written())).collect())
            }
        }
    }
}
