//! The members of a discovery document, each of which may be wrong by itself.

use serde_json::{Map, Value};

/// The members of a document, read one by one: those that a login can do without may be wrong.
pub(super) struct Members {
    pub(super) members: Map<String, Value>,
    /// The members that are left out because they are wrong, each with the reason.
    pub(super) slips: Vec<String>,
}

impl Members {
    /// A text; an empty one is none.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Err("it is empty".to_owned()),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("it is {}", kind(&other))),
        }
    }

    /// The texts of a list, if there is one.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let items = match self.members.remove(name)? {
            Value::Null => return None,
            Value::Array(items) => items,
            other => {
                self.slip(name, &format!("it is {} in place of a list", kind(&other)));
                return None;
            }
        };
        if let Some(odd) = items.iter().find(|item| !item.is_string()) {
            self.slip(name, &format!("one of its items is {}", kind(odd)));
        }
        Some(items.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    pub(super) fn boolean(&mut self, name: &str) -> bool {
        match self.members.remove(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => value,
            Some(other) => {
                self.slip(name, &format!("it is {} in place of true or false", kind(&other)));
                false
            }
        }
    }

    pub(super) fn slip(&mut self, name: &str, reason: &str) {
        self.slips.push(format!("`{name}` of the document is left out: {reason}"));
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
