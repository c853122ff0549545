//! The difference between two faces in words, for the operator who decides about it.
//!
//! Everything in it is a stranger's text. Nothing of it is cut, since what is not seen would be approved with the rest; what
//! nobody sees is written out, and a line is one line.

use serde_json::Value;

use super::face::{Face, Part};
use crate::sanitize;

/// Bytes of one line. What is longer goes on in the next.
const LINE_BYTES: usize = 16 * 1024;

/// The difference, a line each; every part that is new or gone begins with `+` or `-`, one that has changed with `~`.
pub(in crate::plugins) fn in_words(before: Option<&Face>, after: &Face) -> Vec<String> {
    let before = before.map(Face::parts).unwrap_or_default();
    let after = after.parts();
    let mut lines = Vec::new();
    let mut names: Vec<&(Part, String)> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        match (before.get(name), after.get(name)) {
            (None, Some(value)) => {
                let begin = lines.len();
                whole(value, "", '+', &mut lines);
                // Of the plugin itself there is not always something to say.
                if name.0 != Part::Plugin || lines.len() > begin {
                    lines.insert(begin, heading('+', name));
                }
            }
            (Some(_), None) => lines.push(heading('-', name)),
            (Some(old), Some(new)) if old != new => {
                lines.push(heading('~', name));
                changes(old, new, "", &mut lines);
            }
            _ => {}
        }
    }
    lines
}

fn heading(sign: char, (part, name): &(Part, String)) -> String {
    let sign = if *part == Part::Plugin { '~' } else { sign };
    match name.as_str() {
        "" => format!("{sign} {}", part.in_words()),
        name => format!("{sign} {} `{}`", part.in_words(), visible(name)),
    }
}

/// Every value within `value`, each under the place where it is.
fn whole(value: &Value, place: &str, sign: char, lines: &mut Vec<String>) {
    match value {
        // What is not said is no news in a part that is new.
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        // Schemas are read better in one piece.
        Value::Object(members) if place.is_empty() || place == "/hints" => {
            for (name, value) in members {
                whole(value, &format!("{place}/{name}"), sign, lines);
            }
        }
        value => said(value, place, sign, lines),
    }
}

/// Every place within two values at which they differ.
fn changes(old: &Value, new: &Value, place: &str, lines: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) => changes(old, new, &place, lines),
                    (Some(old), None) => said(old, &place, '-', lines),
                    (None, Some(new)) => said(new, &place, '+', lines),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                changes(old, new, &format!("{place}/{index}"), lines);
            }
        }
        (old, new) => {
            said(old, place, '-', lines);
            said(new, place, '+', lines);
        }
    }
}

/// A value under its place: a text as it is, a line for each of its lines; anything else as JSON.
fn said(value: &Value, place: &str, sign: char, lines: &mut Vec<String>) {
    // The first name is ours.
    let place = place.trim_start_matches('/');
    let (ours, theirs) = place.split_at(place.find('/').unwrap_or(place.len()));
    let place = format!("{}{}", ours.replace('_', " "), visible(theirs));
    let texts: Vec<&str> = match value {
        Value::String(text) => text.split('\n').collect(),
        _ => Vec::new(),
    };
    match texts.as_slice() {
        [] => push(&format!("    {sign} {place}: "), &value.to_string(), lines),
        [text] => push(&format!("    {sign} {place}: "), text, lines),
        several => {
            lines.push(format!("    {sign} {place}:"));
            several.iter().for_each(|text| push(&format!("      {sign} "), text, lines));
        }
    }
}

fn push(begin: &str, text: &str, lines: &mut Vec<String>) {
    let mut rest = text;
    let mut begin = begin.to_owned();
    loop {
        let end = rest.floor_char_boundary(LINE_BYTES);
        lines.push(format!("{begin}{}", visible(&rest[..end])));
        rest = &rest[end..];
        if rest.is_empty() {
            return;
        }
        begin = "      (goes on) ".to_owned();
    }
}

/// The text with everything written out that a reader would not see, or would take for a space.
fn visible(text: &str) -> String {
    let is_odd_space = |char: char| char != ' ' && (char.is_whitespace() || sanitize::is_blank_char(char));
    sanitize::escape(&sanitize::escape_where(text, is_odd_space))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines_of(old: &Value, new: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        changes(old, new, "", &mut lines);
        lines
    }

    #[test]
    fn a_change_is_told_where_it_is() {
        let old = json!({ "description": "one\ntwo", "input_schema": { "properties": { "a/b": { "type": "string" } } }, "x": [1, 2] });
        let new =
            json!({ "description": "one\u{a0}\u{202e}", "input_schema": { "properties": { "c": {} } }, "x": [1, 3] });
        assert_eq!(
            lines_of(&old, &new),
            [
                "    - description:",
                "      - one",
                "      - two",
                "    + description: one\\u{a0}\\u{202e}",
                "    - input schema/properties/a~1b: {\"type\":\"string\"}",
                "    + input schema/properties/c: {}",
                "    - x/1: 2",
                "    + x/1: 3",
            ]
        );
        assert_eq!(lines_of(&old, &old), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_cut() {
        let long = "x".repeat(40_000) + "the end";
        let lines = lines_of(&json!({ "d": "" }), &json!({ "d": long }));
        assert!(lines.len() == 4 && lines[3].ends_with("the end"), "{}", lines.len());
        let shown: usize = lines.iter().map(|line| line.matches('x').count()).sum();
        assert_eq!(shown, 40_000);
    }

    #[test]
    fn a_new_part_is_told_whole() {
        let mut lines = Vec::new();
        whole(
            &json!({ "title": null, "description": "d", "hints": { "destructive": false, "read_only": null } }),
            "",
            '+',
            &mut lines,
        );
        assert_eq!(lines, ["    + description: d", "    + hints/destructive: false"]);
    }
}
