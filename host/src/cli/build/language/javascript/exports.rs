//! Checks the exports of a module against its world: jco builds without them, and the call fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use wit_parser::{Function, FunctionKind, Resolve, WorldItem, WorldKey};

use crate::cli::build::error::{Mismatch, MissingExport};
use crate::cli::build::wit::Wit;

/// Reads what a module exports, by Node, which jco itself runs on.
const SCRIPT: &str = include_str!("exports.mjs");

/// Time limit of the script, which ends sooner unless the module keeps it from that.
const PATIENCE: Duration = Duration::from_secs(20);

/// The exports of a module, by name.
type Exports = BTreeMap<String, Export>;

/// A kind of value, or an object with kinds of members.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Export {
    Value(Kind),
    Object(BTreeMap<String, Kind>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Function,
    Async,
    Generator,
    Unknown,
    #[serde(other)]
    Other,
}

/// Finds the exports of its world that a module lacks; none where that cannot be told, since jco has the last word.
pub(super) async fn missing(module: &Path, wit: &Wit) -> Vec<MissingExport> {
    let Some(exports) = read(module, wit).await else { return Vec::new() };
    expected_exports(wit).into_iter().filter_map(|function| function.missing_in(&exports)).collect()
}

async fn read(module: &Path, wit: &Wit) -> Option<Exports> {
    let mut node = Command::new("node");
    node.args(["--experimental-vm-modules", "--no-warnings", "--input-type=module", "--eval", SCRIPT, "--"]);
    node.arg(module).arg(importable(&wit.resolve).to_string());
    let asked = node.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// The functions of all interfaces that there are, as a module would import them.
fn importable(resolve: &Resolve) -> serde_json::Value {
    let interfaces = resolve.interfaces.iter().filter_map(|(id, interface)| {
        let names = interface.functions.keys().map(|name| camel(name)).collect::<Vec<_>>();
        Some((resolve.id_of(id)?, names.into()))
    });
    serde_json::Value::Object(interfaces.collect())
}

/// A function that the world exports.
struct ExpectedExport {
    /// The name for people.
    function: String,
    name: String,
    /// The names of the object that must hold it: those of its interface that jco takes.
    objects: Vec<String>,
    /// Whether its promise is waited for (`async func`); otherwise there must be none.
    is_async: bool,
}

/// All functions that the world exports, except those of resources.
fn expected_exports(wit: &Wit) -> Vec<ExpectedExport> {
    let Some(world) = wit.world() else { return Vec::new() };
    let mut expected = Vec::new();
    for (key, item) in &world.exports {
        match item {
            WorldItem::Function(function) => {
                expected.push(ExpectedExport {
                    function: function.name.clone(),
                    name: camel(&function.name),
                    objects: Vec::new(),
                    is_async: function.kind == FunctionKind::AsyncFreestanding,
                });
            }
            WorldItem::Interface { id, .. } => {
                let (called, objects) = interface_names(&wit.resolve, key);
                let functions = wit.resolve.interfaces[*id].functions.values();
                let is_free =
                    |it: &&Function| matches!(it.kind, FunctionKind::Freestanding | FunctionKind::AsyncFreestanding);
                expected.extend(functions.filter(is_free).map(|function| ExpectedExport {
                    function: format!("{called}.{}", function.name),
                    name: camel(&function.name),
                    objects: objects.clone(),
                    is_async: function.kind == FunctionKind::AsyncFreestanding,
                }));
            }
            WorldItem::Type { .. } => {}
        }
    }
    expected
}

/// The name of an interface for people, and those under which a module may export it.
fn interface_names(resolve: &Resolve, key: &WorldKey) -> (String, Vec<String>) {
    match key {
        WorldKey::Name(name) => (name.clone(), vec![camel(name), name.clone()]),
        WorldKey::Interface(id) => {
            let name = resolve.interfaces[*id].name.clone().unwrap_or_default();
            let full = resolve.id_of(*id).unwrap_or_default();
            let plain = full.split('@').next().unwrap_or_default().to_owned();
            (name.clone(), vec![camel(&name), name, full, plain])
        }
    }
}

impl ExpectedExport {
    fn missing_in(self, exports: &Exports) -> Option<MissingExport> {
        let Self { function, name, objects, is_async } = self;
        let object = objects.first().cloned();
        let missing = |mismatch| Some(MissingExport { function, name: name.clone(), object, mismatch });
        let nothing = |similar: Option<&str>| Mismatch::Absent { similar: similar.map(str::to_owned) };
        let found = if objects.is_empty() {
            match exports.get(&name) {
                Some(Export::Value(kind)) => Some(*kind),
                Some(Export::Object(_)) => Some(Kind::Other),
                None => None,
            }
        } else {
            match objects.iter().find_map(|object| exports.get(object)) {
                Some(Export::Object(members)) => match members.get(&name) {
                    None => return missing(nothing(similar(&name, members.keys()))),
                    found => found.copied(),
                },
                // A class, or what only it knows.
                Some(Export::Value(_)) => return None,
                None => return missing(nothing(similar(&objects[0], exports.keys()))),
            }
        };
        match found {
            Some(Kind::Unknown) => None,
            Some(Kind::Function) if is_async => missing(Mismatch::NotAsync),
            Some(Kind::Async) if is_async => None,
            Some(Kind::Function) => None,
            Some(Kind::Async) => missing(Mismatch::Async),
            Some(Kind::Generator) => missing(Mismatch::Generator),
            Some(Kind::Other) => missing(Mismatch::NotFunction),
            None => missing(nothing(similar(&name, exports.keys()))),
        }
    }
}

/// One of the names that is the same but for its spelling, or nearly.
fn similar<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&plain(other), &plain(name));
    names.map(String::as_str).min_by_key(|other| distance(other)).filter(|other| distance(other) <= name.len() / 4)
}

/// A name of WIT as JavaScript has it.
fn camel(name: &str) -> String {
    let mut camel = String::new();
    for (index, word) in name.split('-').enumerate() {
        let word = word.to_lowercase();
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        camel.push_str(&if index == 0 { first.to_owned() } else { first.to_uppercase() });
        camel.push_str(rest);
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_camel_case() {
        for (wit, javascript) in [("f", "f"), ("is-prime", "isPrime"), ("get-URL", "getUrl"), ("a-2b", "a2b")] {
            assert_eq!(camel(wit), javascript);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let exports = r#"{
            "fine": "function", "slow": "async", "many": "generator", "text": "string", "with_score": "function",
            "api": { "run": "function", "later": "async", "maybe": "unknown" }, "Class": "function"
        }"#;
        let exports: Exports = serde_json::from_str(exports).unwrap();
        let check = |name: &str, object: Option<&str>| {
            let objects = object.map(str::to_owned).into_iter().collect();
            let is_async = name.starts_with("await-");
            let name = name.trim_start_matches("await-");
            let wanted = ExpectedExport { function: name.to_owned(), name: camel(name), objects, is_async };
            wanted.missing_in(&exports).map(|missing| missing.to_string()).unwrap_or_default()
        };
        for (name, object) in [
            ("fine", None),
            ("await-slow", None),
            ("run", Some("api")),
            ("maybe", Some("api")),
            ("await-later", Some("api")),
            ("x", Some("Class")),
        ] {
            assert_eq!(check(name, object), "", "{name}");
        }
        for (name, object, said) in [
            ("slow", None, "`slow` is async"),
            ("await-fine", None, "`fine` is not async, and the world's `fine` is"),
            ("many", None, "is a generator"),
            ("text", None, "is no function"),
            ("api", None, "is no function"),
            ("gone", None, "lacks `export function gone(…)`"),
            ("with-score", None, "lacks `export function withScore(…)`: is that `with_score`?"),
            ("later", Some("api"), "`later` in `export const api = { … }` is async"),
            ("gone", Some("api"), "lacks `gone(…) { … }` in `export const api = { … }`"),
            ("run", Some("apis"), "in `export const apis = { … }`: is that `api`?"),
        ] {
            let missing = check(name, object);
            assert!(missing.contains(said), "{name}: {missing}");
        }
    }
}
