//! A configuration file as a tree of values that know the line they stand on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::effective::REDACTED;
use super::key::{self, quoted};
use super::problem::{Fault, Problem, Source};

/// A value, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) source: Source,
}

/// A value of any type that TOML has.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    List(Vec<Node>),
    Table(Table),
}

/// Values by name.
pub(super) type Table = BTreeMap<String, Node>;

impl Node {
    pub(super) fn new(value: Value, source: Source) -> Self {
        Self { value, source }
    }

    /// The value of this name, if this is a table that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(name),
            _ => None,
        }
    }
}

impl Value {
    /// The type alone, for messages about what may be a secret.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::Boolean(_) => "boolean",
            Self::Datetime(_) => "datetime",
            Self::List(_) => "list",
            Self::Table(_) => "table",
        }
    }

    /// Type and value, for messages: `integer 30`, and `list` for a whole one.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::List(_) | Self::Table(_) => self.kind().to_owned(),
            scalar => format!("{} {scalar}", scalar.kind()),
        }
    }

    /// The value in TOML, on one line, without the entries of tables whose names are hidden.
    pub(super) fn toml(&self, is_hidden: fn(&str) -> bool) -> String {
        match self {
            Self::Text(text) => key::text(text),
            Self::Integer(integer) => integer.to_string(),
            Self::Float(float) => toml::Value::from(*float).to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::Datetime(datetime) => datetime.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.toml(is_hidden)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(table) => {
                let entries = table.iter().map(|(name, node)| {
                    let value = if is_hidden(name) { REDACTED.to_owned() } else { node.value.toml(is_hidden) };
                    format!("{} = {value}", quoted(name))
                });
                format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// The value in TOML, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.toml(|_| false))
    }
}

/// A default, which is declared as JSON beside its key.
impl From<Json> for Node {
    fn from(json: Json) -> Self {
        let value = match json {
            Json::String(text) => Value::Text(text),
            Json::Bool(boolean) => Value::Boolean(boolean),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Value::Integer(integer),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Array(items) => Value::List(items.into_iter().map(Self::from).collect()),
            Json::Object(object) => Value::Table(object.into_iter().map(|(name, json)| (name, json.into())).collect()),
            Json::Null => Value::Table(Table::new()),
        };
        Self::new(value, Source::Default)
    }
}

/// Reads a TOML text.
///
/// # Errors
/// Every line that is not TOML; the tree is then not worth looking at.
pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let mut parser = Parser { file, breaks, problems: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        parser.problem(at, error.message().to_owned());
    }
    let root = parser.table(document.get_ref());
    if !parser.problems.is_empty() {
        return Err(parser.problems);
    }
    Ok(Node::new(Value::Table(root), Source::File { file: Arc::clone(file), line: None }))
}

struct Parser<'t> {
    file: &'t Arc<str>,
    /// The ends of lines. Every value asks for its own.
    breaks: Vec<usize>,
    problems: Vec<Problem>,
}

impl Parser<'_> {
    fn source(&self, offset: usize) -> Source {
        Source::line(self.file, 1 + self.breaks.partition_point(|at| *at < offset))
    }

    fn problem(&mut self, offset: usize, message: String) {
        self.problems.push(Problem { source: self.source(offset), key: None, fault: Fault::Syntax(message) });
    }

    /// Entries stand where their name stands: a table's own span begins elsewhere when it is made of dotted keys.
    fn table(&mut self, table: &DeTable<'_>) -> Table {
        let entries = table.iter();
        entries.map(|(name, value)| (name.get_ref().to_string(), self.node(value, name.span().start))).collect()
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>, offset: usize) -> Node {
        let source = self.source(offset);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => Value::Integer(integer),
                Err(_) => {
                    self.problem(offset, format!("integer {integer} does not fit into 64 bits"));
                    Value::Integer(0)
                }
            },
            // An exponent beyond a double's becomes an infinity, which no key takes.
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item, item.span().start)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node::new(value, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_lines() {
        let text = "a.b = 1\n\n[t]\nlist = [\n  'x',\n  'y',\n]\n";
        let root = parse(&"f.toml".into(), text).unwrap();
        let list = root.get("t").and_then(|table| table.get("list")).unwrap();
        assert_eq!(root.get("t").unwrap().source.to_string(), "f.toml:3");
        assert_eq!(list.source.to_string(), "f.toml:4");
        let Value::List(items) = &list.value else { panic!("a list") };
        assert_eq!(items[1].source.to_string(), "f.toml:6");
        assert_eq!(list.value.to_string(), r#"["x", "y"]"#);
    }

    #[test]
    fn what_is_not_toml_names_its_line() {
        for (text, expected) in [
            ("a = 1\nb = \n", "f.toml:2: not valid TOML: "),
            ("a = 1\na = 2\n", "f.toml:2: not valid TOML: duplicate key"),
            ("[t\n", "f.toml:1: not valid TOML: "),
            ("a = 99999999999999999999\n", "f.toml:1: not valid TOML: integer"),
        ] {
            let problems = parse(&"f.toml".into(), text).unwrap_err();
            let first = problems[0].to_string();
            assert!(first.starts_with(expected), "{first}");
        }
    }
}
