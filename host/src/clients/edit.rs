//! An entry put into a file that a person has written, or taken out of it: everything else stays as it is.
//!
//! The three formats are changed where they stand. Whatever was done is then read again: the new text must differ from the
//! old one by the entry alone, with every comment and in the same order, or it is refused.

mod json;
mod toml;
mod yaml;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A format of clients' files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// JSON, perhaps with comments and commas at ends.
    Json,
    Toml,
    Yaml,
}

/// The place of an entry in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    /// The names of the tables around it.
    pub(crate) tables: &'a [String],
    /// Its own name.
    pub(crate) name: &'a str,
}

/// The reason that a file is not changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    #[error("it cannot be read as {0}")]
    Unreadable(String),
    #[error("`{0}` in it is no table")]
    NoTable(String),
    #[error("it is no table of names and values, which a configuration is")]
    NotATable,
    #[error("`{0}` is in one object of it twice, and clients differ in which of the two they take: leave one")]
    Twice(String),
    #[error("it is written in a way that cannot be added to safely: {0}")]
    Unusual(&'static str),
    #[error("the change would have touched more than the entry, and was not made")]
    Spreads,
}

/// Reads a file's contents; null for one without any.
///
/// # Errors
/// [`EditError::Unreadable`].
pub(crate) fn read(format: Format, text: &str) -> Result<Value, EditError> {
    match format {
        Format::Json => json::read(text),
        Format::Toml => toml::read(text),
        Format::Yaml => yaml::read(text),
    }
}

/// The text of a file with nothing but this entry, without the end of its last line.
pub(crate) fn alone(format: Format, tables: &[String], name: &str, entry: &Map<String, Value>) -> String {
    if format == Format::Json {
        let all = tables.iter().rev().fold(json!({ name: entry }), |inner, table| json!({ table: inner }));
        return serde_json::to_string_pretty(&all).expect("values are JSON");
    }
    // The parts of an entry are data of ours, which fits either format.
    put(format, "", At { tables, name }, entry, &[]).unwrap_or_default().trim_end().to_owned()
}

/// Puts an entry into a text. Of an entry that is there, members of other names stay, but for those that are `stale`.
///
/// # Errors
/// [`EditError`].
pub(crate) fn put(
    format: Format,
    text: &str,
    at: At<'_>,
    entry: &Map<String, Value>,
    stale: &[String],
) -> Result<String, EditError> {
    change(format, text, |text, before| {
        if let Some(table) = at.closed_table(before) {
            return Err(EditError::NoTable(table.to_owned()));
        }
        let expected = merged(at.find(before), entry, stale);
        if at.find(before) == Some(&Value::Object(expected.clone())) {
            return Ok(text.to_owned());
        }
        let after = match format {
            Format::Json => json::put(text, at, entry, stale)?,
            Format::Toml => toml::put(text, at, entry, stale)?,
            Format::Yaml => yaml::put(text, at, &expected)?,
        };
        check(format, (text, before), &after, at, Some(&expected))?;
        Ok(after)
    })
}

/// Takes an entry out of a text; the text as it is if there is none.
///
/// # Errors
/// [`EditError`].
pub(crate) fn take(format: Format, text: &str, at: At<'_>) -> Result<String, EditError> {
    change(format, text, |text, before| {
        if at.find(before).is_none() {
            return Ok(text.to_owned());
        }
        let after = match format {
            Format::Json => json::take(text, at)?,
            Format::Toml => toml::take(text, at)?,
            Format::Yaml => yaml::take(text, at)?,
        };
        check(format, (text, before), &after, at, None)?;
        Ok(after)
    })
}

/// Changes a text without its byte order mark, and with plain ends of lines: it gets its own back.
fn change(
    format: Format,
    text: &str,
    change: impl FnOnce(&str, &Value) -> Result<String, EditError>,
) -> Result<String, EditError> {
    let (mark, plain) = text.strip_prefix('\u{feff}').map_or(("", text), |rest| ("\u{feff}", rest));
    let breaks = plain.matches('\n').count();
    let is_crlf = breaks > 0 && plain.matches("\r\n").count() == breaks;
    let plain = if is_crlf { plain.replace("\r\n", "\n") } else { plain.to_owned() };
    let before = read(format, &plain)?;
    let after = change(&plain, &before)?;
    if after == plain {
        return Ok(text.to_owned());
    }
    let after = if is_crlf { after.replace('\n', "\r\n") } else { after };
    Ok(format!("{mark}{after}"))
}

impl<'a> At<'a> {
    fn find<'v>(&self, contents: &'v Value) -> Option<&'v Value> {
        let table = self.tables.iter().try_fold(contents, |value, key| value.get(key))?;
        table.get(self.name)
    }

    /// The first table around the entry that is there and none.
    fn closed_table(&self, contents: &Value) -> Option<&'a str> {
        let mut table = contents;
        for name in self.tables {
            table = table.get(name)?;
            if !(table.is_object() || table.is_null()) {
                return Some(name);
            }
        }
        None
    }

    /// The contents without the entry, and without tables that are empty for that and are not in `other`: in TOML a table
    /// comes and goes with what is in it.
    fn without(&self, contents: &Value, other: &Value) -> Value {
        fn within(contents: &Value, other: Option<&Value>, path: &[&str]) -> Option<Value> {
            let [key, rest @ ..] = path else { return None };
            let Some(object) = contents.as_object() else { return Some(contents.clone()) };
            let mut object = object.clone();
            if let Some(inner) = object.get(*key) {
                match within(inner, other.and_then(|other| other.get(*key)), rest) {
                    Some(inner) => drop(object.insert((*key).to_owned(), inner)),
                    None => drop(object.shift_remove(*key)),
                }
            }
            match other {
                // It is there for the entry.
                None if object.is_empty() => None,
                Some(Value::Null) if object.is_empty() => Some(Value::Null),
                _ => Some(Value::Object(object)),
            }
        }
        let path: Vec<&str> = self.tables.iter().map(String::as_str).chain([self.name]).collect();
        within(contents, Some(other), &path).unwrap_or(Value::Null)
    }
}

/// An entry as it is to be.
fn merged(there: Option<&Value>, entry: &Map<String, Value>, stale: &[String]) -> Map<String, Value> {
    let mut merged = there.and_then(Value::as_object).cloned().unwrap_or_default();
    stale.iter().for_each(|key| drop(merged.shift_remove(key)));
    merged.extend(entry.clone());
    merged
}

/// Requires that a text differs from another by the entry alone.
fn check(
    format: Format,
    (old, before): (&str, &Value),
    new: &str,
    at: At<'_>,
    expected: Option<&Map<String, Value>>,
) -> Result<(), EditError> {
    let after = read(format, new)?;
    // Members of an object in another order are the same to `Value`, and not to the one who wrote them.
    let in_order = |value: Value| value.to_string();
    let is_as_expected = at.find(&after).and_then(Value::as_object) == expected;
    let rest_is_same = in_order(at.without(&after, before)) == in_order(at.without(before, &after));
    let comments = |text: &str| match format {
        Format::Json => json::comments(text, at),
        Format::Toml => toml::comments(text, at),
        Format::Yaml => yaml::comments(text, at),
    };
    if is_as_expected && rest_is_same && comments(old) == comments(new) {
        return Ok(());
    }
    // The cause, where it is known.
    if let Some(table) = at.closed_table(before) {
        return Err(EditError::NoTable(table.to_owned()));
    }
    let twice = if format == Format::Json { json::twice(old) } else { None };
    Err(twice.map_or(EditError::Spreads, EditError::Twice))
}

#[cfg(test)]
mod tests;
