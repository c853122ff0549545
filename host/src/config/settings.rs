//! Readers for each type of value: strings, paths, booleans, counts, templates, and lists and tables of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::document::{Node, Table, Value};
use super::effective::REDACTED;
use super::key::Key;
use super::problem::Fault;
use super::reader::{Change, Reader, Setting, Shape, template};
use super::template::Template;
use super::text::Text;
use super::units::{Count, Positive, Quantity};

impl<T: Text> Setting for T {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, key, T::expected())?;
        let value: T = text.parse().map_err(|reason| reader.invalid(node, key, &reason)).ok()?;
        Some(if has_variable(node) { value.with_variable() } else { value })
    }

    fn from_variable(text: &str) -> Value {
        Value::Text(if T::IS_VERBATIM { text } else { text.trim() }.to_owned())
    }
}

fn has_variable(node: &Node) -> bool {
    let Value::Text(written) = &node.value else { return false };
    template(written, &node.source).is_ok_and(|template| template.variables().next().is_some())
}

/// A directory; a relative one begins at the configuration file's.
impl Setting for PathBuf {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, key, "a path")?;
        if text.is_empty() {
            reader.invalid(node, key, &"a path cannot be empty; write \".\" for the file's own directory");
            return None;
        }
        Some(reader.directory.join(text))
    }
}

/// Reads a string too, since variables are strings.
impl Setting for bool {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Boolean(boolean) = node.value {
            return Some(boolean);
        }
        match reader.text(node, key, "true or false")?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => {
                reader.invalid(node, key, &"expected true or false");
                None
            }
        }
    }
}

impl Setting for Count {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Integer(number) => Self::try_from(number).map_err(|reason| reader.invalid(node, key, &reason)).ok(),
            _ => {
                reader.wrong_type(node, key, "a whole number");
                None
            }
        }
    }

    fn from_variable(text: &str) -> Value {
        text.trim().parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Integer)
    }
}

impl<Q: Setting + Quantity> Setting for Positive<Q> {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let quantity = Q::read(node, key, reader)?;
        Self::new(quantity).map_err(|reason| reader.invalid(node, key, &reason)).ok()
    }

    fn from_variable(text: &str) -> Value {
        Q::from_variable(text)
    }
}

/// A text that is not resolved before it is used. It may be a secret, so nothing of it is shown.
impl Setting for Template {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.secret_text(node, key, "a string")?;
        let template = template(text, &node.source);
        template.map_err(|error| reader.problem(&node.source, key, error.into())).ok()
    }

    fn shown(_: &Node, _name: &str) -> String {
        REDACTED.to_owned()
    }
}

impl<T: Setting> Setting for Option<T> {
    const SHAPE: Shape = T::SHAPE;

    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, key, reader).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn from_variable(text: &str) -> Value {
        T::from_variable(text)
    }

    fn shown(node: &Node, name: &str) -> String {
        T::shown(node, name)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const SHAPE: Shape = Shape::List;

    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            reader.wrong_type(node, key, "a list");
            return None;
        };
        // All of them before the first that does not fit ends it.
        let items: Vec<Option<T>> = items.iter().map(|item| reader.item(item, key)).collect();
        items.into_iter().collect()
    }

    fn shown(node: &Node, name: &str) -> String {
        let Value::List(items) = &node.value else { return node.value.to_string() };
        let items: Vec<String> = items.iter().map(|item| T::shown(item, name)).collect();
        format!("[{}]", items.join(", "))
    }
}

/// A table whose keys are names that the file chooses. Two spellings of one name are refused.
impl<K: Text + Ord, V: Setting> Setting for BTreeMap<K, V> {
    const SHAPE: Shape = Shape::Table;

    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            reader.wrong_type(node, key, "a table");
            return None;
        };
        let mut entries = Self::new();
        let mut spellings: BTreeMap<String, &str> = BTreeMap::new();
        for (written, entry) in in_file_order(table) {
            match written.parse::<K>() {
                Ok(name) => {
                    let canonical = name.to_string();
                    let value = reader.entry(Some(entry), &key.child(&canonical));
                    entries.extend(value.map(|value| (name, value)));
                    if let Some(other) = spellings.insert(canonical, written) {
                        reader.problem(&entry.source, &key.child(written), Fault::Twice(key.child(other)));
                    }
                }
                Err(reason) => reader.problem(&entry.source, &key.child(written), Fault::Name(reason.to_string())),
            }
        }
        Some(entries)
    }

    fn compare(&self, new: &Self, key: &Key, is_live: bool, changes: &mut Vec<Change>) {
        let names: BTreeSet<&K> = self.keys().chain(new.keys()).collect();
        for name in names {
            let key = key.child(&name.to_string());
            match (self.get(name), new.get(name)) {
                (Some(old), Some(new)) => old.compare(new, &key, is_live, changes),
                _ => changes.push(Change { key, is_live }),
            }
        }
    }
}

fn in_file_order(table: &Table) -> Vec<(&String, &Node)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(_, entry)| &entry.source);
    entries
}
