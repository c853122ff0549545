//! From the tree to the types: every key is looked up in all its sources, and every problem is kept.
//!
//! A value that does not fit is reported, and its default takes its place, so that reading goes on to the end.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::document::{Node, Value};
use super::effective::{Line, REDACTED};
use super::environment::Environment;
use super::invocation::Override;
use super::key::{Key, PREFIX};
use super::problem::{Fault, Problem, Source, nearest};
use super::template::{Template, TemplateError};

/// Variables that look like keys, and that other parts of the host read.
const RESERVED: [&str; 5] =
    ["TINYMCP_LOG", "TINYMCP_SECRET", "TINYMCP_SECRET_FILE", "TINYMCP_SECRET_PREVIOUS", "TINYMCP_SECRET_PREVIOUS_FILE"];

/// A type that a key can have.
pub(super) trait Setting: Sized + PartialEq {
    /// The shape of the value: a variable can hold a scalar alone.
    const SHAPE: Shape = Shape::Scalar;

    /// Reads the value of `key`; none when it does not fit, which is then among the reader's problems.
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self>;

    /// The value of a key that is neither given nor has a default.
    fn absent() -> Option<Self> {
        None
    }

    /// The text of a variable as the value that the file would hold.
    fn from_variable(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// The value as `tinymcp check` prints it: as it was written, secrets aside.
    fn shown(node: &Node, _name: &str) -> String {
        node.value.to_string()
    }

    /// Takes over everything in `new` that applies at once. Changed keys that need a restart keep their values and are
    /// added to `waiting`.
    fn reload(&mut self, new: Self, key: &Key, waiting: &mut Vec<Key>) {
        if *self != new {
            waiting.push(key.clone());
        }
    }

    /// Adds the keys whose values differ. `is_live` says whether a running server takes them over at once.
    fn compare(&self, new: &Self, key: &Key, is_live: bool, changes: &mut Vec<Change>) {
        if self != new {
            changes.push(Change { key: key.clone(), is_live });
        }
    }
}

/// A key whose value is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// A running server takes it over at once.
    pub is_live: bool,
}

/// The shape of a key's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Scalar,
    List,
    /// Further keys, each of them read and shown by itself.
    Table,
}

/// The state of reading: the problems, warnings and values so far.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    overrides: &'a [Override],
    /// The directory of relative paths.
    pub(super) directory: &'a Path,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) lines: Vec<Line>,
    /// Where each table of the file begins.
    tables: Vec<(Key, Source)>,
    /// Every variable that was asked for, or could not be since its key is no scalar.
    variables: Vec<(String, Key, Shape)>,
    /// True within an item of a list, whose values have neither variables nor lines of their own.
    is_in_item: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a Environment, overrides: &'a [Override], directory: &'a Path) -> Self {
        Self {
            environment,
            overrides,
            directory,
            problems: environment.problems().to_vec(),
            warnings: Vec::new(),
            lines: Vec::new(),
            tables: Vec::new(),
            variables: Vec::new(),
            is_in_item: false,
        }
    }

    /// Reads one key of a table: from the command line, a variable, the file, or else its default.
    pub(super) fn field<T: Setting>(&mut self, table: &Node, key: &Key, default: Option<&Node>) -> Option<T> {
        let value = self.entry(table.get(key.name()).or(default), key);
        value.or_else(|| T::read(default?, key, self)).or_else(T::absent).or_else(|| {
            self.missing(table, key);
            None
        })
    }

    /// Reads one key, given what the file says of it.
    pub(super) fn entry<T: Setting>(&mut self, in_file: Option<&Node>, key: &Key) -> Option<T> {
        let outside = self.outside::<T>(key);
        let node = outside.as_ref().or(in_file)?;
        if T::SHAPE != Shape::Table && !self.is_in_item {
            self.lines.push(Line { key: key.clone(), shown: T::shown(node, key.name()), source: node.source.clone() });
        }
        T::read(node, key, self)
    }

    /// Reads an item of a list. It is shown with its list, and only the file can give a part of it.
    pub(super) fn item<T: Setting>(&mut self, node: &Node, key: &Key) -> Option<T> {
        let was_in_item = std::mem::replace(&mut self.is_in_item, true);
        let item = T::read(node, key, self);
        self.is_in_item = was_in_item;
        item
    }

    /// Reports a key that only some tables of its kind need.
    pub(super) fn missing_in(&mut self, table: &Key, key: &str) {
        if !self.is_wrong(&table.child(key)) {
            self.problem(&self.source_of(table), table, Fault::MissingKey(key.to_owned()));
        }
    }

    /// Reports a key that has no default, unless it was given and did not fit.
    fn missing(&mut self, table: &Node, key: &Key) {
        if !self.is_wrong(key) {
            self.problem(&table.source, &key.table(), Fault::MissingKey(key.name().to_owned()));
        }
    }

    /// True if there is a problem with this key, or with a table around it.
    pub(super) fn is_wrong(&self, key: &Key) -> bool {
        let mut wrong = self.problems.iter().filter_map(|problem| problem.key.as_ref());
        wrong.any(|wrong| key.is_within(wrong))
    }

    /// Reports the keys of a table that are not among the known ones; false when it is no table at all.
    pub(super) fn expect_table(&mut self, node: &Node, key: &Key, known: &[&'static str]) -> bool {
        let Value::Table(table) = &node.value else {
            self.wrong_type(node, key, "a table".to_owned());
            return false;
        };
        if !self.is_in_item {
            self.tables.push((key.clone(), node.source.clone()));
        }
        for (name, entry) in table.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let fault = Fault::UnknownKey {
                nearest: nearest(name, known.iter().copied()).map(str::to_owned),
                known: known.to_vec(),
            };
            self.problem(&entry.source, &key.child(name), fault);
        }
        true
    }

    /// Reports a conflict between the values of these keys, at the first of them.
    ///
    /// A key that is wrong by itself has been reported already, and only its default would be judged here.
    pub(super) fn conflict(&mut self, keys: &[Key], message: impl Into<String>) {
        let Some(first) = keys.first() else { return };
        if !keys.iter().any(|key| self.is_wrong(key)) {
            self.problem(&self.source_of(first), first, Fault::Conflict(message.into()));
        }
    }

    /// Reports a problem with a key.
    pub(super) fn problem(&mut self, source: &Source, key: &Key, fault: Fault) {
        self.problems.push(problem(source, key, fault));
    }

    /// Warns about a key that was given.
    pub(super) fn warn(&mut self, key: &Key, fault: Fault) {
        let warning = problem(&self.source_of(key), key, fault);
        self.warnings.push(warning);
    }

    /// The source of a key's value, or of the first given key below it.
    pub(super) fn source_of(&self, key: &Key) -> Source {
        let lines = self.lines.iter().map(|line| (&line.key, &line.source));
        let places = lines.chain(self.tables.iter().map(|(key, source)| (key, source)));
        let mut given = places.filter(|(place, source)| place.is_within(key) && **source != Source::Default);
        given.next().map_or(Source::Default, |(_, source)| source.clone())
    }

    /// Warns about every variable that looks like a key's and is none.
    pub(super) fn warn_about_variables(&mut self) {
        for name in self.environment.names().filter(|name| name.starts_with(PREFIX)) {
            let known = self.variables.iter().find(|(known, ..)| known == name);
            let fault = match known {
                Some((.., Shape::Scalar)) => continue,
                None if RESERVED.contains(&name) => continue,
                Some((_, key, Shape::List | Shape::Table)) => Fault::NotForVariables(key.clone()),
                None => {
                    let scalars = self.variables.iter().filter(|(.., shape)| *shape == Shape::Scalar);
                    let names = scalars.map(|(name, ..)| name.as_str()).chain(RESERVED);
                    Fault::UnknownVariable(nearest(name, names).map(str::to_owned))
                }
            };
            self.warnings.push(Problem { source: self.environment.source(name), key: None, fault });
        }
    }

    /// Reports every value of the command line that was not taken.
    pub(super) fn expect_overrides_taken(&mut self) {
        for given in self.overrides {
            let mut scalars = self.variables.iter().filter(|(.., shape)| *shape == Shape::Scalar);
            if !scalars.any(|(_, key, _)| key.to_string() == given.key) {
                self.problem(&Source::CommandLine(given.argument), &Key::from(given.key), Fault::NotScalar);
            }
        }
    }

    /// The value that the command line or a variable gives to a key.
    fn outside<T: Setting>(&mut self, key: &Key) -> Option<Node> {
        if self.is_in_item {
            return None;
        }
        let path = key.to_string();
        let names = key.variables();
        self.variables.extend(names.iter().map(|name| (name.clone(), key.clone(), T::SHAPE)));
        if T::SHAPE != Shape::Scalar {
            return None;
        }
        if let Some(given) = self.overrides.iter().rfind(|given| given.key == path) {
            return Some(Node::new(T::from_variable(&given.value), Source::CommandLine(given.argument)));
        }
        let (name, value) = names.iter().find_map(|name| Some((name, self.environment.get(name)?)))?;
        Some(Node::new(T::from_variable(value), self.environment.source(name)))
    }

    /// Reports a value of another type.
    pub(super) fn wrong_type(&mut self, node: &Node, key: &Key, expected: impl Into<String>) {
        let (expected, got) = (expected.into(), node.value.describe());
        self.problem(&node.source, key, Fault::Type { expected, got });
    }

    /// The text of a key that may hold a secret. A value of another type is reported, and not shown.
    pub(super) fn secret_text<'n>(&mut self, node: &'n Node, key: &Key, expected: &str) -> Option<&'n str> {
        let Value::Text(text) = &node.value else {
            let (expected, got) = (expected.to_owned(), node.value.kind().to_owned());
            self.problem(&node.source, key, Fault::Type { expected, got });
            return None;
        };
        Some(text)
    }

    /// Reads a value that may hold a password. What is wrong with it is said without it.
    pub(super) fn hidden<T: FromStr<Err: fmt::Display>>(
        &mut self,
        node: &Node,
        key: &Key,
        expected: &str,
    ) -> Option<T> {
        self.secret_text(node, key, expected)?;
        let text = self.text(node, key, expected)?;
        let refused = |reason: T::Err| Fault::Value { value: REDACTED.to_owned(), reason: reason.to_string() };
        text.trim().parse().map_err(|reason| self.problem(&node.source, key, refused(reason))).ok()
    }

    /// Reads the text of a key that is always used, its variables replaced.
    pub(super) fn text(&mut self, node: &Node, key: &Key, expected: impl Into<String>) -> Option<String> {
        let Value::Text(written) = &node.value else {
            self.wrong_type(node, key, expected);
            return None;
        };
        let resolved = template(written, &node.source)
            .map_err(|error| vec![error])
            .and_then(|template| template.resolve(|name| self.environment.lookup(name)));
        match resolved {
            Ok(text) => Some(text),
            Err(errors) => {
                self.problems.extend(errors.into_iter().map(|error| problem(&node.source, key, error.into())));
                None
            }
        }
    }

    /// Reports a value of the right type that does not fit.
    pub(super) fn invalid(&mut self, node: &Node, key: &Key, reason: &dyn fmt::Display) {
        let value = node.value.to_string();
        let reason = reason.to_string();
        self.problem(&node.source, key, Fault::Value { value, reason });
    }
}

fn problem(source: &Source, key: &Key, fault: Fault) -> Problem {
    Problem { source: source.clone(), key: Some(key.clone()).filter(|key| !key.is_root()), fault }
}

/// Reads a text from its source. Only files have variables in their texts: any other text is literal.
pub(super) fn template(text: &str, source: &Source) -> Result<Template, TemplateError> {
    match source {
        Source::File { .. } => Template::parse(text),
        Source::Variable { .. } | Source::Several(_) | Source::CommandLine(_) | Source::Default => {
            Ok(Template::literal(text))
        }
    }
}
