//! What the registry knows of one file.

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::claims::{Refused, claims};
use super::offer::{Called, Offer};
use crate::config::Config;
use crate::plugins::catalog::{Given, PluginStatus, Prompt, Resource, Serving, Template, Tool};
use crate::plugins::loading::compile::Allowance;
use crate::plugins::names::{self, NameError};
use crate::plugins::plugin::{Digest, Plugin};
use crate::plugins::registry::directory::Stamp;
use crate::plugins::sandbox::gate::Gate;
use crate::plugins::served::{Served, Terms};
use crate::visible;

/// Tells loads apart: a file that went and came back must not get what the old one was.
pub(super) type LoadId = u64;

/// A load that ends with this: whoever replaces a file that compiles for long, or takes it away, need not wait for it.
pub(super) struct Load {
    pub(super) id: LoadId,
    /// The state of the file that is loaded.
    pub(super) of: Stamp,
    pub(super) task: AbortHandle,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One file of the directory: what was last made of it, and what is in force.
pub(super) struct Entry {
    pub(super) name: Result<String, NameError>,
    /// The state of the file that was last dealt with.
    pub(super) stamp: Option<Stamp>,
    pub(super) digest: Option<Digest>,
    /// The load that is under way, if it is still wanted.
    pub(super) load: Option<Load>,
    pub(super) is_disabled: bool,
    /// What is served: of the file as it is, or of an older state if that could not be loaded.
    pub(super) offer: Option<Offer>,
    /// Loaded, but its names belong to others, or are unusable; tried again when names become free.
    pub(super) refused: Option<Refused>,
    pub(super) problem: Option<String>,
    terms: Arc<Terms>,
}

impl Entry {
    pub(super) fn new(file: &str, config: &Config) -> Self {
        let stem = file.strip_suffix(".wasm").unwrap_or(file);
        let name = names::plugin_name(stem);
        let plugin_name = name.as_ref().map_or(stem, String::as_str);
        let gate = Arc::new(Gate::new(&config.limits(plugin_name)));
        let terms = Arc::new(terms(config, plugin_name, gate));
        Self {
            stamp: None,
            digest: None,
            load: None,
            is_disabled: !config.plugin(plugin_name).enabled,
            offer: None,
            refused: None,
            problem: None,
            terms,
            name,
        }
    }

    /// The plugin's name; for a file that cannot name a plugin, what it is called.
    pub(super) fn plugin_name(&self) -> String {
        match &self.name {
            Ok(name) => name.clone(),
            Err(NameError::PluginName { stem, .. }) => stem.clone(),
            Err(error) => error.to_string(),
        }
    }

    /// Takes over limits and switches. The gate stays, with those who wait in it, unless its size changed.
    pub(super) fn configure(&mut self, config: &Config) {
        let name = self.plugin_name();
        self.is_disabled = !config.plugin(&name).enabled;
        if self.is_disabled {
            // Others may take its names now. When it is switched on again, it is read anew and asks for them like a
            // newcomer: what the file was before it was switched off must not come back for a moment.
            (self.offer, self.refused, self.problem) = (None, None, None);
            (self.stamp, self.digest, self.load) = (None, None, None);
        }
        let before = &self.terms.limits;
        let limits = config.limits(&name);
        let allows_other = limits.file != before.file || Allowance::of(&limits) != Allowance::of(before);
        if allows_other && self.problem.is_some() {
            (self.stamp, self.digest) = (None, None);
        }
        let is_same_gate = (limits.concurrency, limits.queue) == (before.concurrency, before.queue);
        let gate = if is_same_gate { Arc::clone(&self.terms.gate) } else { Arc::new(Gate::new(&limits)) };
        let terms = terms(config, &name, gate);
        if !terms.are_like(&self.terms) {
            self.terms = Arc::new(terms);
        }
    }

    /// Whether it serves the plugin of this name.
    pub(super) fn is_serving(&self, name: &str) -> bool {
        self.offer.as_ref().is_some_and(|offer| *offer.plugin.name == *name)
    }

    /// What a plugin would be served under.
    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// Says once, in the log, why the file is not served.
    ///
    /// It may quote names from the file, and the file's own.
    pub(super) fn report_problem(&mut self, problem: String) {
        let problem = visible::escaped(problem);
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

    /// Puts a plugin in force. What is wrong with the file stays wrong when it is an older state of it that gets other
    /// names.
    pub(super) fn serve(&mut self, offer: Offer) {
        let waited = self.refused.as_ref().is_some_and(|refused| Arc::ptr_eq(&refused.plugin, &offer.plugin));
        if waited || self.is_of_file(&offer.plugin) {
            self.refused = None;
            self.problem = None;
        }
        self.offer = Some(offer);
    }

    /// Keeps a plugin until its names are free, unless a newer one waits already.
    pub(super) fn wait(&mut self, refused: Refused) {
        if self.refused.is_none() || self.is_of_file(&refused.plugin) {
            self.refused = Some(refused);
        }
    }

    fn is_of_file(&self, plugin: &Plugin) -> bool {
        self.digest == Some(plugin.digest)
    }

    /// Another file takes one of its claims: it waits until they are free again.
    pub(super) fn give_way(&mut self, problem: String) {
        let Some(offer) = self.offer.take() else { return };
        let claims = claims(&self.plugin_name(), &offer.plugin, &offer.names);
        self.refused = Some(Refused { plugin: offer.plugin, claims });
        self.report_problem(problem);
    }

    /// Whether it could still serve what it served last. What is loaded and refused says what it asks for.
    pub(super) fn may_want(&self, claim: &str) -> bool {
        self.refused.as_ref().is_none_or(|refused| refused.claims.iter().any(|asked| asked == claim))
    }

    /// What it holds while it serves.
    pub(super) fn claims(&self) -> Option<Vec<String>> {
        let offer = self.offer.as_ref()?;
        Some(claims(&self.plugin_name(), &offer.plugin, &offer.names))
    }

    /// All that it gives.
    pub(super) fn gives(&self) -> Given {
        let Some(offer) = self.offer.as_ref().filter(|_| !self.is_disabled) else { return Given::default() };
        let served = Served { plugin: Arc::clone(&offer.plugin), terms: Arc::clone(&self.terms) };
        let (served, plugin, names) = (|| served.clone(), &offer.plugin, offer.names.clone());
        let tool = |Called { name, index }| Arc::new(Tool { name, served: served(), function_index: index });
        let prompt = |Called { name, index }| Arc::new(Prompt { name, served: served(), index });
        Given {
            tools: names.tools.into_iter().map(tool).collect(),
            prompts: names.prompts.into_iter().map(prompt).collect(),
            resources: (0..plugin.resources.len())
                .map(|index| Arc::new(Resource { served: served(), index }))
                .collect(),
            templates: (0..plugin.templates.len())
                .map(|index| Arc::new(Template { served: served(), index }))
                .collect(),
        }
    }

    pub(super) fn status(&self, file: &str) -> PluginStatus {
        let offer = self.offer.as_ref().filter(|_| !self.is_disabled);
        let serving = offer.map(|offer| {
            let sorted = |mut names: Vec<String>| {
                names.sort();
                names
            };
            let plugin = &offer.plugin;
            let resources = plugin.resources.iter().map(|resource| resource.resource.uri.clone());
            let templates = plugin.templates.iter().map(|template| template.template.uri_template.clone());
            Serving {
                digest: plugin.digest,
                since: offer.since,
                tools: sorted(names_of(&offer.names.tools)),
                prompts: sorted(names_of(&offer.names.prompts)),
                resources: sorted(resources.chain(templates).collect()),
                warnings: plugin.warnings().chain(&offer.names.warnings).cloned().collect(),
            }
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

fn names_of(called: &[Called]) -> Vec<String> {
    called.iter().map(|called| called.name.clone()).collect()
}

/// What the configuration says of a plugin.
fn terms(config: &Config, plugin: &str, gate: Arc<Gate>) -> Terms {
    let said = config.plugin(plugin);
    let settings = said.settings.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned()));
    Terms { scopes: said.scopes.clone(), limits: config.limits(plugin), settings: Arc::new(settings.collect()), gate }
}
