//! The difference between two JSON values, in lines that a person reads.

use serde_json::{Number, Value};

/// Differences that are listed; one mistake often makes many.
const LINES_MAX: usize = 10;

/// Characters of a value that are shown.
const SHOWN_CHARS: usize = 120;

/// Characters before the first difference of two long texts.
const BEFORE_CHARS: usize = 30;

/// The differences, by their places; none for equal values. A number is what it counts: `2` is `2.0`.
pub(super) fn differences(expected: &Value, got: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("$", expected, got, &mut lines);
    if lines.len() > LINES_MAX {
        let further = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {further} more differences"));
    }
    lines
}

fn compare(place: &str, expected: &Value, got: &Value, lines: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (name, value) in expected {
                match got.get(name) {
                    Some(other) => compare(&member(place, name), value, other, lines),
                    None => lines.push(format!("{}: expected {}, got nothing", member(place, name), shown(value))),
                }
            }
            let further = got.iter().filter(|(name, _)| !expected.contains_key(*name));
            lines.extend(
                further.map(|(name, value)| format!("{}: not expected: {}", member(place, name), shown(value))),
            );
        }
        (Value::Array(expected), Value::Array(got)) => {
            for (index, (value, other)) in expected.iter().zip(got).enumerate() {
                compare(&format!("{place}[{index}]"), value, other, lines);
            }
            if expected.len() != got.len() {
                lines.push(format!("{place}: expected {} items, got {}", expected.len(), got.len()));
            }
        }
        (Value::Number(expected), Value::Number(got)) if is_same_number(expected, got) => {}
        (Value::String(expected), Value::String(got)) if expected != got => {
            let (expected, got) = texts(expected, got);
            lines
                .push(format!("{place}: expected {expected}\n{}got      {got}", " ".repeat(place.chars().count() + 2)));
        }
        (expected, got) if expected != got => {
            lines.push(format!("{place}: expected {}, got {}", shown(expected), shown(got)));
        }
        _ => {}
    }
}

fn is_same_number(expected: &Number, got: &Number) -> bool {
    let is_whole = |number: &Number| number.is_i64() || number.is_u64();
    match is_whole(expected) && is_whole(got) {
        true => expected == got,
        false => expected.as_f64() == got.as_f64(),
    }
}

fn member(place: &str, name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-".contains(char));
    if is_plain { format!("{place}.{name}") } else { format!("{place}[{}]", Value::from(name)) }
}

/// A value as JSON, shortened.
pub(super) fn shown(value: &Value) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Two texts from a little before their first difference on, as JSON.
fn texts(expected: &str, got: &str) -> (String, String) {
    let same = expected.chars().zip(got.chars()).take_while(|(one, other)| one == other).count();
    let skipped = if expected.chars().count().max(got.chars().count()) > SHOWN_CHARS {
        same.saturating_sub(BEFORE_CHARS)
    } else {
        0
    };
    let part = |text: &str| {
        let rest: String = text.chars().skip(skipped).collect();
        let begin = if skipped == 0 { "" } else { "…" };
        shortened(&format!("{begin}{}", Value::from(rest)))
    };
    (part(expected), part(got))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_has_its_place() {
        for (expected, got, lines) in [
            (json!({ "a": [1, 2.0], "b": null }), json!({ "b": null, "a": [1.0, 2] }), &[][..]),
            (
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992_u64),
                &["$: expected 9007199254740993, got 9007199254740992"],
            ),
            (json!("1"), json!(1), &["$: expected \"1\", got 1"]),
            (
                json!({ "a": { "b c": true } }),
                json!({ "a": {}, "x": [] }),
                &["$.a[\"b c\"]: expected true, got nothing", "$.x: not expected: []"],
            ),
            (json!([1, 2, 3]), json!([1, 3]), &["$[1]: expected 2, got 3", "$: expected 3 items, got 2"]),
            (json!({ "to": "Ada" }), json!({ "to": "Bo" }), &["$.to: expected \"Ada\"\n      got      \"Bo\""]),
        ] {
            assert_eq!(differences(&expected, &got), lines, "{expected} {got}");
        }
    }

    #[test]
    fn what_is_long_is_shown_where_it_differs() {
        let text = |end: &str| Value::from(format!("{}{end}", "x".repeat(5000)));
        let lines = differences(&text("one"), &text("other"));
        assert!(lines[0].contains("xo") && lines[0].contains("one\"") && lines[0].len() < 300, "{lines:?}");
        let many: Value = (0..50).collect();
        let lines = differences(&many, &(1..51).collect());
        assert_eq!((lines.len(), lines[10].as_str()), (11, "and 40 more differences"));
        assert!(shown(&many).chars().count() <= SHOWN_CHARS + 1);
    }
}
