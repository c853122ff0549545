//! All tools now: one immutable value that calls use and lists are made from.
//!
//! Invariant: a [`Catalog`] is never changed, only replaced. Tools, grants and limits are replaced together,
//! so that no call sees the tool of one version with the limits of another.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::call::Gate;
use super::load::{Digest, Function, Plugin};
use crate::config::Limits;
use crate::config::names::Scope;

/// The tools of all plugins, and what became of each file.
#[derive(Default)]
pub struct Catalog {
    /// Ordered by name, so that lists are the same every time.
    tools: Vec<Arc<Tool>>,
    /// Ordered by name.
    plugins: Vec<PluginStatus>,
    revision: u64,
}

/// A tool that can be called.
pub struct Tool {
    /// The name by which clients call it.
    pub name: String,
    /// The component that it belongs to.
    pub plugin: Arc<Plugin>,
    /// What the caller's token must hold.
    pub scopes: Vec<Scope>,
    pub(super) limits: Limits,
    pub(super) gate: Arc<Gate>,
    pub(super) function_index: usize,
}

/// What became of one file of the plugins directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginStatus {
    /// The plugin's name, or the file's when that cannot name a plugin.
    pub name: String,
    /// The file's name within the directory.
    pub file: String,
    /// What is served, if anything.
    pub serving: Option<Serving>,
    /// Why the file as it is now is not served. With `serving`, an older version goes on.
    pub problem: Option<String>,
    /// Switched off in the configuration.
    pub disabled: bool,
}

/// The version of a plugin that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The file that it was loaded from.
    pub digest: Digest,
    /// When it was loaded.
    pub since: SystemTime,
    /// Its tools' names.
    pub tools: Vec<String>,
    /// What its author should mend.
    pub warnings: Vec<String>,
}

impl Catalog {
    /// The catalog that follows `self`: its revision is a new one only if clients would see another list.
    pub(super) fn replaced_by(&self, mut tools: Vec<Arc<Tool>>, plugins: Vec<PluginStatus>) -> Self {
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        let is_same_list =
            tools.len() == self.tools.len() && tools.iter().zip(&self.tools).all(|(new, old)| new.looks_like(old));
        let revision = if is_same_list { self.revision } else { self.revision + 1 };
        Self { tools, plugins, revision }
    }

    /// All tools, ordered by name.
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        let index = self.tools.binary_search_by(|tool| tool.name.as_str().cmp(name)).ok()?;
        self.tools.get(index)
    }

    /// What became of each file, ordered by name.
    pub fn plugins(&self) -> &[PluginStatus] {
        &self.plugins
    }

    /// Changes exactly when the list of tools does, in anything that a client can see.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl Tool {
    /// The function behind the tool.
    pub fn function(&self) -> &Function {
        &self.plugin.functions[self.function_index]
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.limits.timeout.duration()
    }

    /// JSON Schema of its arguments.
    pub fn input_schema(&self) -> &Arc<Map<String, Value>> {
        &self.function().input_schema
    }

    /// Whether a client would see the same tool.
    fn looks_like(&self, other: &Self) -> bool {
        let (new, old) = (self.function(), other.function());
        self.name == other.name
            && self.scopes == other.scopes
            && new.is_described_like(old)
            && new.input_schema == old.input_schema
            && new.output_schema == old.output_schema
    }
}
