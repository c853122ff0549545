//! The variables in a provider's strings: their values are put in place, and problems name the place to mend them.
//!
//! People who set `AUTH0_DOMAIN` have never seen the built-in file in which it stands, so a message about a wrong value
//! names the variable, and the value as it was set.

use std::collections::BTreeMap;

use crate::config::document::{Node, Table, Value};
use crate::config::effective::{Line, REDACTED};
use crate::config::environment::Environment;
use crate::config::free::is_secret;
use crate::config::key::Key;
use crate::config::problem::{Fault, Problem, Source};
use crate::config::template::{Template, TemplateError};

/// Keys in whose values white space at the ends may be meant: secrets, and separators of scopes.
const VERBATIM: [&str; 5] =
    ["client_secret", "token_params", "token_headers", "scope_separator", "answer_scope_separator"];

/// The letters of a variable's name that may be wrong for it to be recognized.
const TYPING_ERRORS: usize = 2;

/// A provider's tree before its variables had values, for messages.
pub(super) struct Variables<'a> {
    written: &'a Node,
    provider: &'a str,
    environment: &'a Environment,
    /// The exact values of the variables that a built-in file names, by source.
    set: Vec<(Source, String)>,
}

/// Puts the values of variables into the tree, each with its source.
///
/// A string with a variable that is not set stays as it is: its reader reports it.
pub(super) fn resolve<'a>(tree: &'a Node, provider: &'a str, environment: &'a Environment) -> (Node, Variables<'a>) {
    let mut variables = Variables { written: tree, provider, environment, set: Vec::new() };
    let mut resolved = tree.clone();
    if let Value::Table(table) = &mut resolved.value {
        for (name, node) in table {
            variables.replace(node, VERBATIM.contains(&name.as_str()));
        }
    }
    (resolved, variables)
}

impl Variables<'_> {
    fn replace(&mut self, node: &mut Node, is_verbatim: bool) {
        match &mut node.value {
            Value::Text(text) => {
                let Ok(template) = Template::parse(text) else { return };
                let resolved = match is_verbatim {
                    true => template.resolve(|name| self.environment.lookup(name)),
                    false => template.resolve_trimmed(|name| self.environment.lookup(name)),
                };
                let Ok(resolved) = resolved else { return };
                match self.sources(&template) {
                    // Still the file's own text, which will be looked into for variables.
                    None => *text = resolved.replace("${", "$${"),
                    Some(source) => {
                        if self.is_built_in(&node.source) {
                            let exactly = self.exactly(&template).unwrap_or_else(|| resolved.clone());
                            self.set.push((source.clone(), exactly));
                        }
                        *node = Node::new(Value::Text(resolved), source);
                    }
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.replace(item, is_verbatim)),
            Value::Table(table) => table.values_mut().for_each(|node| self.replace(node, is_verbatim)),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
        }
    }

    /// The variables of a template that are set; none if it uses its defaults, or has no variables.
    fn sources(&self, template: &Template) -> Option<Source> {
        let is_set = |name: &&str| self.environment.get(name).is_some();
        let mut sources: Vec<Source> =
            template.variables().filter(is_set).map(|name| self.environment.source(name)).collect();
        sources.dedup();
        match sources.len() {
            0 | 1 => sources.pop(),
            _ => Some(Source::Several(sources)),
        }
    }

    /// The value of a template's only variable.
    fn exactly(&self, template: &Template) -> Option<String> {
        let mut variables = template.variables();
        let only = variables.next().filter(|_| variables.next().is_none())?;
        self.environment.get(only).map(str::to_owned)
    }

    fn is_built_in(&self, source: &Source) -> bool {
        is_built_in(source, self.provider)
    }

    /// Rewrites a problem of the tree so that it names the place to mend it, and shows no secret.
    pub(super) fn rewrite(&self, problem: Problem) -> Problem {
        match problem.fault {
            Fault::Template(TemplateError::Missing(variable)) if self.is_built_in(&problem.source) => Problem {
                source: Source::Variable { name: variable.clone(), line: None },
                key: None,
                fault: Fault::MissingVariable {
                    provider: self.provider.to_owned(),
                    what: self.what(&variable),
                    similar: self.similar(&variable),
                },
            },
            Fault::Template(TemplateError::Unreadable { name, reason }) if self.is_built_in(&problem.source) => {
                Problem {
                    source: self.environment.source(&name),
                    key: None,
                    fault: Fault::Conflict(format!("the file that it names cannot be used: {reason}")),
                }
            }
            Fault::Value { value, reason } => {
                let is_hidden = is_hidden(problem.key.as_ref(), &problem.source);
                let set = self.set.iter().find(|(source, _)| *source == problem.source);
                let value = set.map_or(value, |(_, text)| Value::Text(text.clone()).to_string());
                let value = if is_hidden { REDACTED.to_owned() } else { without_user(value) };
                let key = problem.key.filter(|_| set.is_none());
                Problem { key, source: problem.source, fault: Fault::Value { value, reason } }
            }
            _ => problem,
        }
    }

    /// The variable that is set and has nearly this name, unless the provider knows it too.
    fn similar(&self, variable: &str) -> Option<String> {
        let known = self.written.get("variables");
        let is_known = |name: &str| known.is_some_and(|known| known.get(name).is_some());
        let others = self.environment.names().filter(|name| !is_known(name));
        let others = others.map(|name| (strsim::damerau_levenshtein(name, variable), name));
        let (_, nearest) = others.filter(|(distance, _)| *distance <= TYPING_ERRORS).min()?;
        Some(nearest.to_owned())
    }

    /// The built-in file's explanation of a variable.
    fn what(&self, variable: &str) -> Option<String> {
        match &self.written.get("variables")?.get(variable)?.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

/// Hides an effective value if the name of its key or variable tells of a secret.
pub(super) fn redact(line: &mut Line) {
    if is_hidden(Some(&line.key), &line.source) {
        line.shown = REDACTED.to_owned();
    }
}

/// True for a line of the provider's built-in file.
pub(super) fn is_built_in(source: &Source, provider: &str) -> bool {
    let own =
        |file: &str| file.strip_prefix("providers/").and_then(|file| file.strip_suffix(".toml")) == Some(provider);
    matches!(source, Source::File { file, .. } if own(file))
}

fn is_hidden(key: Option<&Key>, source: &Source) -> bool {
    let of_variable = match source {
        Source::Variable { name, .. } => is_secret(name),
        Source::Several(sources) => sources.iter().any(|source| is_hidden(None, source)),
        Source::File { .. } | Source::CommandLine(_) | Source::Default => false,
    };
    of_variable || key.is_some_and(|key| is_secret(key.name()))
}

/// A quoted value without the user name and password that stand in it before a host.
fn without_user(value: String) -> String {
    match value.rsplit_once('@') {
        Some((_, host)) => format!("{}…@{host}", &value[..1]),
        None => value,
    }
}

/// The first variable of each key of the tree; keys of inner tables are `table.key`.
pub(super) fn by_key(tree: &Node) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if let Value::Table(table) = &tree.value {
        collect_variables(table, "", &mut variables);
    }
    variables
}

fn collect_variables(table: &Table, prefix: &str, variables: &mut BTreeMap<String, String>) {
    for (name, node) in table {
        match &node.value {
            Value::Text(text) => {
                let template = Template::parse(text).ok();
                let variable = template.as_ref().and_then(|template| template.variables().next());
                variables.extend(variable.map(|variable| (format!("{prefix}{name}"), variable.to_owned())));
            }
            Value::Table(inner) => collect_variables(inner, &format!("{prefix}{name}."), variables),
            _ => {}
        }
    }
}
