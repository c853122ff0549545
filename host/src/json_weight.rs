//! The memory that JSON takes as a tree of [`Value`]s: up to a hundred times the bytes of its text, and known before
//! anything is built.

use std::mem::size_of;

use serde_json::{Map, Value};

const VALUE: usize = size_of::<Value>();

/// A member of an object: its hash, its name and its value.
const MEMBER: usize = size_of::<u64>() + size_of::<String>() + VALUE;

/// The table by which an object finds its members: for each a position and a byte, with a quarter left free.
const TABLE: usize = 12;

/// What an allocation takes beside its bytes, and the least that it takes.
const ALLOCATION: usize = 16;
const LEAST_ALLOCATION: usize = 32;

/// Items for which a list allocates at first.
const FIRST_ITEMS: usize = 4;

/// From here on memory that a list has in reserve is untouched, and takes none.
const LARGE: usize = 1024;

/// The levels that the parser takes; a deeper text is never a tree.
const MAX_DEPTH: usize = 128;

/// A list or an object that is open.
#[derive(Clone, Copy)]
struct Open {
    is_object: bool,
    is_empty: bool,
    commas: usize,
}

impl Open {
    fn items(self) -> usize {
        if self.is_empty { 0 } else { self.commas + 1 }
    }

    fn weight(self) -> usize {
        let items = self.items();
        let room = match items {
            0 => return 0,
            1..=FIRST_ITEMS => FIRST_ITEMS,
            _ if items <= LARGE => items.next_power_of_two(),
            _ => items,
        };
        let allocations = if self.is_object { 2 * ALLOCATION } else { ALLOCATION };
        room * if self.is_object { MEMBER + TABLE } else { VALUE } + allocations
    }
}

/// The tree of a text: its bytes, about, and its values. Of a text that is no JSON, those of the part before its
/// mistake.
pub(crate) struct Tree {
    pub(crate) bytes: usize,
    pub(crate) values: usize,
}

/// The bytes of the tree, about; of a text that is no JSON, those of the part before its mistake.
pub(crate) fn of_text(text: &[u8]) -> usize {
    tree(text).bytes
}

/// The tree of this text.
pub(crate) fn tree(text: &[u8]) -> Tree {
    let mut open = [Open { is_object: false, is_empty: true, commas: 0 }; MAX_DEPTH + 1];
    // The text itself is the item of a list, so that there is always an open one.
    let mut depth = 0;
    let mut weight = VALUE;
    let mut values = 1;
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => {
                let length = string_length(rest);
                rest = rest.get(length + 1..).unwrap_or_default();
                weight = weight.saturating_add(of_string(length));
                open[depth].is_empty = false;
            }
            b'[' | b'{' => {
                open[depth].is_empty = false;
                if depth == MAX_DEPTH {
                    break;
                }
                depth += 1;
                open[depth] = Open { is_object: *byte == b'{', is_empty: true, commas: 0 };
            }
            b']' | b'}' => {
                let Some(outer) = depth.checked_sub(1) else { break };
                weight = weight.saturating_add(open[depth].weight());
                values += open[depth].items();
                depth = outer;
            }
            b',' => open[depth].commas += 1,
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            _ => open[depth].is_empty = false,
        }
    }
    let open = &open[1..=depth];
    Tree {
        bytes: open.iter().fold(weight, |weight, open| weight.saturating_add(open.weight())),
        values: values + open.iter().map(|open| open.items()).sum::<usize>(),
    }
}

/// The bytes to the quote that ends a string, escapes as they are.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) = text[at..].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        at += next;
        if text[at] == b'"' {
            return at;
        }
        // What is escaped ends nothing.
        at = (at + 2).min(text.len());
    }
    text.len()
}

fn of_string(length: usize) -> usize {
    if length == 0 { 0 } else { (length + ALLOCATION).max(LEAST_ALLOCATION) }
}

/// The bytes of a tree that is there.
pub(crate) fn of_value(value: &Value) -> usize {
    VALUE + beyond(value)
}

/// The same of an object.
pub(crate) fn of_object(members: &Map<String, Value>) -> usize {
    let open = Open { is_object: true, is_empty: members.is_empty(), commas: members.len().saturating_sub(1) };
    let names = members.iter().map(|(name, value)| of_string(name.len()) + beyond(value));
    open.weight() + names.sum::<usize>()
}

fn beyond(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => of_string(text.len()),
        Value::Array(items) if items.is_empty() => 0,
        Value::Array(items) => {
            let room = if items.len() > LARGE { items.len() } else { items.capacity() };
            room * VALUE + ALLOCATION + items.iter().map(beyond).sum::<usize>()
        }
        Value::Object(members) => of_object(members),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weight of a text, which is at least that of its tree and not much more.
    fn weigh(text: &str) -> usize {
        let value: Value = serde_json::from_str(text).unwrap();
        let (before, after) = (of_text(text.as_bytes()), of_value(&value));
        assert!(after <= before && before <= after + after / 2, "{before} {after}: {}", &text[..text.len().min(80)]);
        before
    }

    #[test]
    fn a_tree_weighs_more_than_its_text() {
        let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        assert_eq!(weigh("1"), VALUE);
        assert!(weigh(&many("0", 1 << 20)) >= VALUE << 20);
        assert!(weigh(&many("[0]", 100_000)) >= 100_000 * FIRST_ITEMS * VALUE);
        assert!(weigh(&many(r#"{"a":{}}"#, 10_000)) >= 10_000 * FIRST_ITEMS * MEMBER);
        let wide = (0..2000).map(|name| format!(r#""{name}":[]"#)).collect::<Vec<_>>().join(",");
        assert!(weigh(&format!("{{{wide}}}")) >= 2000 * MEMBER);
        weigh(r#"{"a":"\"[,,,\\","b":[true,null,-1.5e3,"x\u00e4"]}"#);
        // What is in a string is a string.
        assert!(of_text(format!("\"{}\"", ",".repeat(100_000)).as_bytes()) < 101_000);
    }

    #[test]
    fn the_values_of_a_text_are_counted() {
        for (text, values) in [("1", 1), ("[]", 1), (r#"["","",{"a,":[1,2]}]"#, 7), (r#"["[,]""#, 2), ("[1,[2", 4)] {
            assert_eq!(tree(text.as_bytes()).values, values, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_weighs_what_comes_before_its_mistake() {
        for text in ["", "]", "}]", "\"", "\"\\", "[\"\\\"", "[1,[2", "\u{feff}{", ",,,", "{:}"] {
            assert!(of_text(text.as_bytes()) < 4096, "{text}");
        }
        assert!(of_text(&[b'['; 1 << 20]) < 1 << 20);
        assert!(of_text(&b"[0,".repeat(100)) > 90 * FIRST_ITEMS * VALUE);
    }
}
