//! TOML, changed in the tree of `toml_edit`, which keeps everything; tables are removed by their lines, since comments
//! above a table belong to it there, and are another's as often as not.

use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

use super::{At, EditError};

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| EditError::Unreadable(format!("TOML: {}", error.message())))
}

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    let read: Result<::toml::Table, _> = text.parse();
    let table = read.map_err(|error| EditError::Unreadable(format!("TOML: {}", error.message())))?;
    // The library sorts keys, and the order of a document is what people see.
    let document = parse(text)?;
    Ok(ordered(document.as_table(), &table))
}

/// The values of a table in the order of the document.
fn ordered(table: &dyn TableLike, values: &::toml::Table) -> Value {
    let members = table.iter().filter_map(|(key, item)| {
        let value = values.get(key)?;
        let value = match (item.as_table_like(), value) {
            (Some(table), ::toml::Value::Table(values)) => ordered(table, values),
            // A date is its text here.
            _ => serde_json::to_value(value).unwrap_or(Value::Null),
        };
        Some((key.to_owned(), value))
    });
    Value::Object(members.collect())
}

pub(super) fn put(text: &str, at: At<'_>, entry: &Map<String, Value>, stale: &[String]) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let mut is_inline = false;
    for name in at.tables {
        let item = table.entry(name).or_insert_with(|| {
            let mut implicit = Table::new();
            implicit.set_implicit(true);
            if is_inline { Item::Value(InlineTable::new().into()) } else { Item::Table(implicit) }
        });
        is_inline |= item.is_inline_table();
        table = item.as_table_like_mut().ok_or_else(|| EditError::NoTable(name.clone()))?;
    }
    let own = table
        .entry(at.name)
        .or_insert_with(|| if is_inline { Item::Value(InlineTable::new().into()) } else { Item::Table(Table::new()) });
    let own = own.as_table_like_mut().ok_or_else(|| EditError::NoTable(at.name.to_owned()))?;
    stale.iter().for_each(|key| drop(own.remove(key)));
    for (key, value) in entry {
        let mut value = written(value)?;
        match own.get_mut(key) {
            Some(Item::Value(there)) => {
                // The comment behind it stays.
                *value.decor_mut() = there.decor().clone();
                *there = value;
            }
            _ => drop(own.insert(key, Item::Value(value))),
        }
    }
    Ok(document.to_string())
}

fn written(value: &Value) -> Result<toml_edit::Value, EditError> {
    Ok(match value {
        Value::String(text) => text.as_str().into(),
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => number.as_i64().ok_or(EditError::Unusual("a number"))?.into(),
        Value::Array(items) => items.iter().map(written).collect::<Result<Array, _>>()?.into(),
        Value::Null | Value::Object(_) => return Err(EditError::Unusual("a value")),
    })
}

pub(super) fn take(text: &str, at: At<'_>) -> Result<String, EditError> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if let Some(own) = own_lines(&lines, at) {
        let mut kept: Vec<&str> = lines[..own.0].to_vec();
        let rest = &lines[own.1..];
        // One empty line between what is above and below is enough.
        if rest.first().is_none_or(|line| line.trim().is_empty())
            && kept.last().is_some_and(|line| line.trim().is_empty())
        {
            kept.pop();
        }
        kept.extend(rest);
        return Ok(kept.concat());
    }
    let mut document = parse(text)?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for name in at.tables {
        let item = table.get_mut(name).ok_or_else(|| EditError::NoTable(name.clone()))?;
        table = item.as_table_like_mut().ok_or_else(|| EditError::NoTable(name.clone()))?;
    }
    table.remove(at.name);
    Ok(document.to_string())
}

/// The lines of the entry's own tables, one after the other: from the first header to the last value.
fn own_lines(lines: &[&str], at: At<'_>) -> Option<(usize, usize)> {
    let path: Vec<&str> = at.tables.iter().map(String::as_str).chain([at.name]).collect();
    let is_own =
        |line: &&str| header(line).is_some_and(|keys| keys.len() >= path.len() && keys[..path.len()] == path[..]);
    let start = lines.iter().position(is_own)?;
    let next = lines[start..].iter().position(|line| line.starts_with('[') && !is_own(line));
    let mut end = next.map_or(lines.len(), |next| start + next);
    // Comments and empty lines before the next table are of that one.
    while end > start + 1 && (lines[end - 1].trim().is_empty() || lines[end - 1].starts_with('#')) {
        end -= 1;
    }
    Some((start, end))
}

/// The keys of a table's header.
fn header(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('[').filter(|rest| !rest.starts_with('['))?;
    let inner = inner.split_once(']')?.0;
    let keys = toml_edit::Key::parse(inner).ok()?;
    Some(keys.iter().map(|key| key.get().to_owned()).collect())
}

/// The comments outside of the entry, in their order.
pub(super) fn comments(text: &str, at: At<'_>) -> Vec<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let own = own_lines(&lines, at).unwrap_or((0, 0));
    let others = lines.iter().enumerate().filter(|(number, _)| !(own.0..own.1).contains(number));
    others.filter_map(|(_, line)| comment(line)).collect()
}

/// The comment of a line, in TOML and in YAML: what follows `#` outside of quotes.
pub(super) fn comment(line: &str) -> Option<String> {
    let (mut quote, mut before) = (None, ' ');
    for (place, char) in line.char_indices() {
        match (quote, char) {
            (None, '#') if before.is_whitespace() || place == 0 || !before.is_alphanumeric() => {
                return Some(line[place..].trim_end().to_owned());
            }
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if char == open && before != '\\' => quote = None,
            _ => {}
        }
        before = char;
    }
    None
}
