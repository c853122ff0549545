//! What the registry knows of one file.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{Config, Limits};
use crate::plugins::call::Gate;
use crate::plugins::catalog::{PluginStatus, Serving, Tool};
use crate::plugins::directory::Stamp;
use crate::plugins::load::{Digest, Plugin};
use crate::plugins::names::{self, NameError};

/// One file of the directory: what was last made of it, and what is in force.
pub(super) struct Entry {
    pub(super) name: Result<String, NameError>,
    /// The state of the file that was last dealt with.
    pub(super) stamp: Option<Stamp>,
    pub(super) digest: Option<Digest>,
    pub(super) is_loading: bool,
    pub(super) is_disabled: bool,
    /// What is served: of the file as it is, or of an older state if that could not be loaded.
    pub(super) offer: Option<Offer>,
    /// Loaded, but its names belong to others; tried again when names become free.
    pub(super) refused: Option<Arc<Plugin>>,
    pub(super) problem: Option<String>,
    limits: Limits,
    gate: Arc<Gate>,
}

/// A plugin in force, with its tools' names in the order of its functions.
pub(super) struct Offer {
    pub(super) plugin: Arc<Plugin>,
    pub(super) names: Vec<String>,
    pub(super) since: SystemTime,
}

impl Offer {
    /// Whether `new` lacks a function that is offered now.
    pub(super) fn has_more_than(&self, new: &Plugin) -> bool {
        let is_gone = |name: &names::FunctionName| new.functions.iter().all(|function| function.name != *name);
        self.plugin.functions.iter().any(|function| is_gone(&function.name))
    }
}

impl Entry {
    pub(super) fn new(file: &str, config: &Config) -> Self {
        let stem = file.strip_suffix(".wasm").unwrap_or(file);
        let name = names::plugin_name(stem);
        let plugin_name = name.as_ref().map_or(stem, String::as_str);
        let limits = config.limits(plugin_name);
        Self {
            stamp: None,
            digest: None,
            is_loading: false,
            is_disabled: !config.plugin(plugin_name).enabled,
            offer: None,
            refused: None,
            problem: None,
            gate: Arc::new(Gate::new(&limits)),
            limits,
            name,
        }
    }

    /// The plugin's name; for a file that cannot name a plugin, what it is called.
    pub(super) fn plugin_name(&self) -> String {
        match &self.name {
            Ok(name) => name.clone(),
            Err(NameError::PluginName { stem }) => stem.clone(),
            Err(error) => error.to_string(),
        }
    }

    /// Takes over limits and switches. The gate stays, with those who wait in it, unless its size changed.
    pub(super) fn configure(&mut self, config: &Config) {
        let name = self.plugin_name();
        self.is_disabled = !config.plugin(&name).enabled;
        let limits = config.limits(&name);
        if (limits.concurrency, limits.queue) != (self.limits.concurrency, self.limits.queue) {
            self.gate = Arc::new(Gate::new(&limits));
        }
        if limits.file != self.limits.file && self.problem.is_some() {
            self.stamp = None;
        }
        self.limits = limits;
    }

    /// Says once, in the log, why the file is not served.
    pub(super) fn report_problem(&mut self, problem: String) {
        if self.problem.as_ref() == Some(&problem) {
            return;
        }
        let name = self.plugin_name();
        if self.offer.is_some() {
            tracing::error!(plugin = name, "plugin `{name}` not reloaded: {problem}; the version before goes on");
        } else {
            tracing::error!(plugin = name, "plugin `{name}` not loaded: {problem}");
        }
        self.problem = Some(problem);
    }

    /// The file is again what is served, whatever was wrong with it in between.
    pub(super) fn clear_problem_if_serving(&mut self, digest: Option<Digest>) {
        if self.offer.as_ref().map(|offer| offer.plugin.digest) == digest {
            self.problem = None;
        }
    }

    /// The names that are this plugin's, each with its name.
    pub(super) fn owned_names(&self) -> Vec<(String, String)> {
        let names = self.offer.iter().flat_map(|offer| &offer.names);
        names.map(|tool| (tool.clone(), self.plugin_name())).collect()
    }

    pub(super) fn tools(&self, config: &Config) -> Vec<Arc<Tool>> {
        let Some(offer) = self.offer.as_ref().filter(|_| !self.is_disabled) else { return Vec::new() };
        let scopes = &config.plugin(&self.plugin_name()).scopes;
        let tools = offer.names.iter().enumerate().map(|(function_index, name)| {
            Arc::new(Tool {
                name: name.clone(),
                plugin: Arc::clone(&offer.plugin),
                scopes: scopes.clone(),
                limits: self.limits,
                gate: Arc::clone(&self.gate),
                function_index,
            })
        });
        tools.collect()
    }

    pub(super) fn status(&self, file: &str) -> PluginStatus {
        let offer = self.offer.as_ref().filter(|_| !self.is_disabled);
        let serving = offer.map(|offer| {
            let mut tools = offer.names.clone();
            tools.sort();
            Serving { digest: offer.plugin.digest, since: offer.since, tools, warnings: offer.plugin.warnings.clone() }
        });
        PluginStatus {
            name: self.plugin_name(),
            file: file.to_owned(),
            serving,
            problem: self.problem.clone(),
            disabled: self.is_disabled,
        }
    }
}
