//! What the registry knows of one file.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::AbortHandle;

use crate::config::Config;
use crate::plugins::catalog::{Given, PluginStatus, Prompt, Resource, Serving, Template, Tool};
use crate::plugins::loading::compile::Allowance;
use crate::plugins::names::{self, FunctionName, NameError};
use crate::plugins::plugin::{Digest, Kind, Plugin};
use crate::plugins::registry::directory::Stamp;
use crate::plugins::sandbox::gate::Gate;
use crate::plugins::served::{Served, Terms};
use crate::visible;

/// Tells loads apart: a file that went and came back must not get what the old one was.
pub(super) type LoadId = u64;

/// One file of the directory: what was last made of it, and what is in force.
pub(super) struct Entry {
    pub(super) name: Result<String, NameError>,
    /// The state of the file that was last dealt with.
    pub(super) stamp: Option<Stamp>,
    pub(super) digest: Option<Digest>,
    /// The load that is under way, if it is still wanted.
    pub(super) load: Option<LoadId>,
    /// Of which state of the file that load is, and how to end it.
    pub(super) under_way: Option<UnderWay>,
    pub(super) is_disabled: bool,
    /// What is served: of the file as it is, or of an older state if that could not be loaded.
    pub(super) offer: Option<Offer>,
    /// Loaded, but its names belong to others, or are unusable; tried again when names become free.
    pub(super) refused: Option<Refused>,
    pub(super) problem: Option<String>,
    terms: Arc<Terms>,
}

/// A load that ends with this: whoever replaces a file that compiles for long, or takes it away, need not wait for it.
pub(super) struct UnderWay {
    pub(super) of: Stamp,
    pub(super) load: AbortHandle,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.load.abort();
    }
}

/// A plugin in force.
pub(super) struct Offer {
    pub(super) plugin: Arc<Plugin>,
    pub(super) names: Names,
    pub(super) since: SystemTime,
}

/// What clients call what a plugin gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Of its tools, in the order of its functions.
    pub(super) tools: Vec<Called>,
    /// Of its prompts, in their order.
    pub(super) prompts: Vec<Called>,
    /// What cannot have a name, and is left out.
    pub(super) warnings: Vec<String>,
}

/// The name of something that a plugin gives, and where that stands among its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) name: String,
    pub(super) index: usize,
}

impl Names {
    /// What there is, for the log.
    pub(super) fn summary(&self) -> String {
        let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
    }

    /// The names of all that a plugin gives.
    ///
    /// # Errors
    /// Nothing that it gives can have a name.
    pub(super) fn of(plugin: &Plugin, name: &str, config: &Config) -> Result<Self, NameError> {
        let prefix = config.plugin(name).prefix.as_deref();
        // What the plugin lists can be another thing tomorrow: it takes no name from a function.
        let is_listed = |index: &usize| matches!(plugin.functions[*index].kind, Kind::Listed(_));
        let (listed, typed): (Vec<usize>, Vec<usize>) = (0..plugin.functions.len()).partition(is_listed);
        let order = || typed.iter().chain(&listed).copied();
        let functions: Vec<FunctionName> = order().map(|index| plugin.functions[index].name.clone()).collect();
        let named = names::tool_names(name, prefix, &functions);
        let mut problems = named.problems;
        let mut tools = called(order().zip(named.names));
        tools.sort_by_key(|tool| tool.index);

        let prompts =
            plugin.prompts.iter().map(|prompt| FunctionName { interface: None, function: prompt.prompt.name.clone() });
        let named = names::tool_names(name, prefix, &prompts.collect::<Vec<_>>());
        problems.extend(named.problems);
        let prompts = called(named.names.into_iter().enumerate());

        let gives_more = plugin.resources.len() + plugin.templates.len() + tools.len() + prompts.len() > 0;
        if !gives_more && !problems.is_empty() {
            return Err(problems.swap_remove(0));
        }
        let warnings = problems.iter().map(|problem| format!("left out: {problem}")).collect();
        Ok(Self { tools, prompts, warnings })
    }
}

fn called(names: impl Iterator<Item = (usize, Option<String>)>) -> Vec<Called> {
    names.filter_map(|(index, name)| Some(Called { name: name?, index })).collect()
}

/// A plugin that waits for names.
pub(super) struct Refused {
    pub(super) plugin: Arc<Plugin>,
    /// What it asks for; nothing if its names are unusable.
    pub(super) claims: Vec<String>,
}

/// What a plugin claims for itself: its own name, the names of its tools and prompts, and its resources' URIs.
///
/// A tool's name has neither slash nor space, so that no claim of one kind is like one of another.
pub(super) fn claims(name: &str, plugin: &Plugin, names: &Names) -> Vec<String> {
    let tools = names.tools.iter().map(|tool| tool.name.clone());
    let prompts = names.prompts.iter().map(|prompt| format!("{PROMPT} {}", prompt.name));
    let resources = plugin.resources.iter().map(|resource| format!("{RESOURCE} {}", resource.resource.uri));
    let templates = plugin.templates.iter().map(|template| format!("{RESOURCE} {}", template.template.uri_template));
    std::iter::once(format!("{name}/")).chain(tools).chain(prompts).chain(resources).chain(templates).collect()
}

const PROMPT: &str = "prompt";
const RESOURCE: &str = "resource";

/// Why a file is refused whose claim another one holds.
pub(super) fn taken(claim: &str, holder: &str) -> String {
    if let Some(plugin) = claim.strip_suffix('/').filter(|name| !name.contains(' ')) {
        return format!("plugin name `{plugin}` belongs to `{holder}`: rename one of the files");
    }
    match claim.split_once(' ') {
        Some((RESOURCE, uri)) => {
            format!("resource `{uri}` belongs to `{holder}`: give one of the plugins other URIs, or switch it off")
        }
        Some((_, prompt)) => {
            format!("prompt name `{prompt}` belongs to `{holder}`: rename the file, or give the plugin a `prefix`")
        }
        None => format!("tool name `{claim}` belongs to `{holder}`: rename the file, or give the plugin a `prefix`"),
    }
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
        let gate = Arc::new(Gate::new(&config.limits(plugin_name)));
        let terms = Arc::new(terms(config, plugin_name, gate));
        Self {
            stamp: None,
            digest: None,
            load: None,
            under_way: None,
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
            (self.stamp, self.digest, self.load, self.under_way) = (None, None, None, None);
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
