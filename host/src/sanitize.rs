//! Strangers' text made fit for people, models and logs: invisible characters are removed or written out, and the
//! length is limited.

use serde_json::Value;

/// Removes characters that a reader would not see, or would see in another place; line breaks stay, as `\n`.
///
/// A model reads characters that a person reviewing the text does not see: tags, zero-width characters and variation
/// selectors can carry whole sentences, and direction controls show one text while another stands there
/// (Unicode TR 36 and 39).
pub(crate) fn clean(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => text.push('\n'),
            '\t' => text.push(' '),
            char if char.is_control() || is_invisible(char) => {}
            char => text.push(char),
        }
    }
    text
}

/// Members of JSON that are for readers, where their value is a text.
const FOR_READERS: [&str; 4] = ["title", "description", "$comment", "message"];

/// Cuts the texts for readers in a JSON Schema to so many bytes. Values that it names stay whole, since data are held
/// against them.
pub(crate) fn cut_texts(schema: &mut Value, max_bytes: usize) {
    /// Keywords whose values are data (JSON Schema, Validation 2020-12, sections 6.1 and 9).
    const OF_DATA: [&str; 4] = ["const", "enum", "default", "examples"];
    /// Keywords whose members are names with a schema each.
    const OF_NAMES: [&str; 5] = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| cut_texts(item, max_bytes)),
        Value::Object(members) => {
            for (keyword, value) in members {
                match (keyword.as_str(), value) {
                    (keyword, Value::String(text)) if FOR_READERS.contains(&keyword) => {
                        if text.len() > max_bytes {
                            *text = cut(text, max_bytes);
                        }
                    }
                    (keyword, _) if OF_DATA.contains(&keyword) => {}
                    (keyword, Value::Object(named)) if OF_NAMES.contains(&keyword) => {
                        named.values_mut().for_each(|schema| cut_texts(schema, max_bytes));
                    }
                    (_, value) => cut_texts(value, max_bytes),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Cleans every text of a JSON value, names of members too. Texts for readers are cleaned like any other; values keep
/// tabs and line breaks, which may be what they mean.
///
/// # Errors
/// Two names of an object that are one when they are clean.
pub(crate) fn clean_json(value: &mut Value) -> Result<(), String> {
    match value {
        Value::String(text) => clean_value(text),
        Value::Array(items) => items.iter_mut().try_for_each(clean_json)?,
        Value::Object(members) => {
            if members.keys().any(|name| name.contains(is_hidden)) {
                let before = members.len();
                let named = std::mem::take(members).into_iter().map(|(mut name, value)| {
                    clean_value(&mut name);
                    (name, value)
                });
                *members = named.collect();
                if members.len() < before {
                    return Err("two names in it are alike but for characters that nobody sees".to_owned());
                }
            }
            for (name, value) in members {
                match value {
                    Value::String(text) if FOR_READERS.contains(&name.as_str()) => *text = clean(text),
                    value => clean_json(value)?,
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

fn clean_value(text: &mut String) {
    if text.contains(is_hidden) {
        text.retain(|char| !is_hidden(char));
    }
}

fn is_hidden(char: char) -> bool {
    (char.is_control() && !matches!(char, '\t' | '\n' | '\r')) || is_invisible(char)
}

/// Writes out characters that would end a line of a log, move it, hide in it, or colour a terminal: `\u{202e}`.
pub(crate) fn escape(raw: &str) -> String {
    escape_where(raw, is_escaped)
}

/// The same, without a copy of a text that needs no escapes.
pub(crate) fn escaped(raw: String) -> String {
    if raw.contains(is_escaped) { escape(&raw) } else { raw }
}

/// A name or the beginning of a file as it would stand in quotes: quotes, backslashes and combining marks at its start
/// are written out as well.
pub(crate) fn literal(raw: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "what it lets pass is written out here")]
    let text = raw.escape_debug().to_string();
    escaped(text)
}

/// Writes out the same characters in text of several lines: line breaks and tabs stay.
pub(crate) fn escape_lines(raw: &str) -> String {
    escape_where(raw, |char| !matches!(char, '\n' | '\t') && is_escaped(char))
}

/// Writes out the characters that fit.
pub(crate) fn escape_where(raw: &str, fits: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(raw.len());
    for char in raw.chars() {
        match fits(char) {
            true => text.extend(char.escape_default()),
            false => text.push(char),
        }
    }
    text
}

fn is_escaped(char: char) -> bool {
    char.is_control() || misleads(char)
}

/// Equal JSON, with escapes for characters that mislead (see [`misleads`]): all of these are within strings.
pub(crate) fn escape_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        match misleads(char) {
            true => text.extend(char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            false => text.push(char),
        }
    }
    text
}

/// True for a character that makes a log show something else than it holds: direction controls, further ends of lines,
/// invisible characters, and the controls that some terminals take for an escape. Joiners and colours of emoji are
/// fine.
pub(crate) fn misleads(char: char) -> bool {
    let is_of_emoji = matches!(char, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
    matches!(char, '\u{2028}' | '\u{2029}' | '\u{7f}'..='\u{9f}') || (is_invisible(char) && !is_of_emoji)
}

fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}'            // soft hyphen, joiners
        | '\u{61c}' | '\u{200e}'..='\u{200f}'                      // direction marks
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'        // direction overrides and isolates
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}'        // zero width
        | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' // formats
        | '\u{fdd0}'..='\u{fdef}'                                  // no characters
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{3164}' | '\u{ffa0}' // fillers
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}'      // variation selectors, tags
    )
}

/// True for text without a visible character.
pub(crate) fn is_blank(text: &str) -> bool {
    let is_white = |char: char| char.is_whitespace() || is_blank_char(char);
    clean(text).chars().all(is_white)
}

/// True for a character that has a place and no ink.
pub(crate) fn is_blank_char(char: char) -> bool {
    matches!(char, '\u{2800}' | '\u{16fe4}' | '\u{1d159}')
}

/// Cuts a text to so many bytes, with `…` at the cut.
pub(crate) fn cut(text: &str, max_bytes: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes.saturating_sub(MARK.len()));
    format!("{}{MARK}", text[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_of_a_json_value_is_cleaned() {
        let hidden = "\u{e0041}\u{200b}\u{202e}";
        let mut schema = json!({
            "title": format!("a{hidden}\tb"),
            "properties": {
                format!("na{hidden}me"): { "description": format!("x{hidden}"), "enum": [format!("v{hidden}"), "\t", 1] },
                "description": { "default": format!("d{hidden}"), "examples": [[{ "x": format!("e{hidden}") }]] },
            },
        });
        clean_json(&mut schema).unwrap();
        let expected = json!({
            "title": "a b",
            "properties": {
                "name": { "description": "x", "enum": ["v", "\t", 1] },
                "description": { "default": "d", "examples": [[{ "x": "e" }]] },
            },
        });
        assert_eq!(schema, expected);
        assert!(clean_json(&mut json!({ "a": 1, "a\u{200b}": 2 })).is_err());
    }

    #[test]
    fn texts_of_a_schema_are_cut_and_its_values_are_not() {
        let long = "x".repeat(100);
        let mut schema = json!({
            "title": long,
            "properties": {
                "default": { "description": long, "default": { "description": long } },
                "description": { "enum": [long], "const": { "title": long }, "pattern": long },
            },
            "allOf": [{ "$comment": long, "items": { "title": "short" } }],
        });
        cut_texts(&mut schema, 10);
        let short = "xxxxxxx…";
        let expected = json!({
            "title": short,
            "properties": {
                "default": { "description": short, "default": { "description": long } },
                "description": { "enum": [long], "const": { "title": long }, "pattern": long },
            },
            "allOf": [{ "$comment": short, "items": { "title": "short" } }],
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn what_moves_or_ends_a_line_is_written_out() {
        let raw = "a\u{1b}[31m\n\u{85}\u{202e}b\u{2066}\u{2028}\u{2029}\u{200f}\u{61c}\u{feff} é日👩\u{200d}🚀⚠\u{fe0f}\u{e0041}";
        let expected = concat!(
            r"a\u{1b}[31m\n\u{85}\u{202e}b\u{2066}\u{2028}\u{2029}\u{200f}\u{61c}\u{feff} é日",
            "👩\u{200d}🚀⚠\u{fe0f}",
            r"\u{e0041}"
        );
        assert_eq!(escape(raw), expected);
        assert_eq!(escape_lines("a\u{1b}[1m\n\tb\r\u{2028}"), "a\\u{1b}[1m\n\tb\\r\\u{2028}");
    }
}
