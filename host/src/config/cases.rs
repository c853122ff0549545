//! Cases of `tinymcp test`, `plugins/NAME/tests/*.toml`: read as the configuration is, with the same words for what is
//! wrong in them. But a text is what it says: no variable is looked up in a case.

pub mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use self::values::{Anything, JsonText, Object, Place, Status, Verb, Verbatim};
use super::document::{self, Value};
use super::environment::Environment;
use super::free::Free;
use super::grants::entries::GuestPath;
use super::key::Key;
use super::keys::PluginSettings;
use super::problem::{Fault, Problem};
use super::reader::{Reader, Setting};
use super::table::table;
use crate::grants::target::Target;

table! {
    /// A file of cases.
    pub struct CaseFile {
        /// The cases, in the order in which they run.
        case: Vec<Case>,
    }
}

table! {
    /// One call of a tool, and what is to come of it.
    pub struct Case {
        /// The case's name.
        name: Verbatim,
        /// The plugin's own function, or the tool's name.
        tool: Verbatim,
        /// The arguments.
        arguments: Object = {},
        /// The whole result.
        result: Option<Anything>,
        /// The same as JSON, for what TOML cannot say (`null`).
        result_json: Option<JsonText>,
        /// A text that is in the result.
        contains: Option<Verbatim>,
        /// A text that is in the error.
        error: Option<Verbatim>,
        /// The person who calls; without one, nobody that is known.
        r#as: Option<Verbatim>,
        /// The scopes of their token, instead of those that the tool needs.
        scopes: Option<Vec<Verbatim>>,
        /// Answers to the tool's questions, by their keys.
        answers: Option<Object>,
        /// The plugin's settings, instead of those of the configuration.
        settings: Object = {},
        /// Stand-ins for secrets, by the names of `secrets` or of variables.
        secrets: BTreeMap<String, Verbatim> = {},
        /// Folders that it may read, by their names for the plugin; a relative one begins at the case's file.
        dirs: BTreeMap<GuestPath, Verbatim> = {},
        /// Stand-ins for what the tool asks of others, each for one request.
        http: Vec<HttpStandIn> = [],
    }
}

table! {
    /// A request that is expected, and its answer.
    pub struct HttpStandIn {
        /// The method.
        method: Verb = "GET",
        /// The whole URL, query included.
        url: Place,
        /// Headers that the request has, among others.
        headers: BTreeMap<String, Verbatim> = {},
        /// Its whole body.
        body: Option<Verbatim>,
        /// Its whole body as JSON.
        json: Option<Anything>,
        /// The answer.
        answer: Answer = {},
    }
}

table! {
    /// The answer of a stand-in.
    pub struct Answer {
        /// The status.
        status: Status = 200,
        /// Headers.
        headers: BTreeMap<String, Verbatim> = {},
        /// The body.
        body: Option<Verbatim>,
        /// The body as JSON, with its `content-type` unless `headers` has another.
        json: Option<Anything>,
    }
}

/// What is to come of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expected<'c> {
    /// This value, and nothing else.
    Result(&'c Json),
    /// A result with this text in it.
    Contains(&'c str),
    /// An error with this text in it.
    Error(&'c str),
}

/// Reads a file of cases.
///
/// # Errors
/// Every problem in it, in the order of its lines.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Case>, Vec<Problem>> {
    let file: Arc<str> = path.display().to_string().into();
    let root = document::parse(&file, text)?;
    let environment = Environment::default();
    let mut reader = Reader::new(&environment, &[], Path::new(""));
    let read = CaseFile::read(&root, &Key::default(), &mut reader);
    let nodes = match root.get("case").map(|node| &node.value) {
        Some(Value::List(nodes)) => nodes.as_slice(),
        _ => &[],
    };
    // Whether a case says what it needs is seen where all of its keys are known.
    let is_readable = reader.problems.is_empty();
    let cases = read.filter(|_| is_readable).map(|file| file.case).unwrap_or_default();
    let mut names = BTreeMap::new();
    for (case, node) in cases.iter().zip(nodes) {
        for (key, message) in case.faults() {
            reader.problem(&node.source, &Key::from("case").child(key), Fault::Conflict(message));
        }
        if let Some(first) = names.insert(case.name.as_str(), node) {
            let message = format!("`{}` is the name of another case too, {}", case.name.as_str(), first.source);
            reader.problem(&node.source, &Key::from("case.name"), Fault::Conflict(message));
        }
    }
    match reader.problems.is_empty() {
        true => Ok(cases),
        false => Err(super::listed(reader.problems)),
    }
}

impl Case {
    /// What is to come of the call.
    pub fn expected(&self) -> Expected<'_> {
        match (&self.result, &self.result_json, &self.contains, &self.error) {
            (Some(result), ..) => Expected::Result(&result.0),
            (_, Some(result), ..) => Expected::Result(&result.0),
            (_, _, Some(text), _) => Expected::Contains(text.as_str()),
            (.., error) => Expected::Error(error.as_ref().map_or("", Verbatim::as_str)),
        }
    }

    /// The plugin's settings in this case: those of the configuration with the settings of the case in their place, which
    /// may be the operator's secrets.
    #[must_use]
    pub fn settings_of(&self, plugin: &PluginSettings) -> PluginSettings {
        let settings = self.settings.0.iter().map(|(name, value)| (name.clone(), Free::of(value))).collect();
        PluginSettings { settings, enabled: true, ..plugin.clone() }
    }

    /// What cannot be meant, by the key that it is about.
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let expected =
            [self.result.is_some(), self.result_json.is_some(), self.contains.is_some(), self.error.is_some()];
        if expected.iter().filter(|is_given| **is_given).count() != 1 {
            let message =
                format!("case `{}` says one of `result`, `result_json`, `contains` and `error`", self.name.as_str());
            faults.push(("result", message));
        }
        if self.r#as.is_none() && self.scopes.is_some() {
            faults.push(("scopes", "a token with scopes is somebody's: say whose by `as`".to_owned()));
        }
        for stand_in in &self.http {
            let both = "is given by `body` or by `json`, not by both";
            if stand_in.body.is_some() && stand_in.json.is_some() {
                faults.push(("http", format!("the body of a request to {} {both}", stand_in.url.target())));
            }
            if stand_in.answer.body.is_some() && stand_in.answer.json.is_some() {
                faults.push(("http", format!("the body of the answer of {} {both}", stand_in.url.target())));
            }
            let of_connection = stand_in.answer.headers.keys().find(|name| values::is_of_connection(name));
            faults.extend(of_connection.map(|name| {
                ("http", format!("`{name}` of an answer follows from its body, and is not written: leave it out"))
            }));
            let headers = [&stand_in.headers, &stand_in.answer.headers].map(values::headers);
            faults.extend(headers.into_iter().filter_map(Result::err).map(|message| ("http", message)));
        }
        faults
    }
}

impl HttpStandIn {
    /// The place that the request goes to.
    pub fn target(&self) -> &Target {
        self.url.target()
    }
}

#[cfg(test)]
mod tests;
