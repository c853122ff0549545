//! The registry's record of one file.

mod policy;
mod terms;

use std::sync::Arc;

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use self::policy::Policy;
pub(super) use self::policy::{Waiting, WaitingPart};
use self::terms::{rates, terms};
use super::claims::{RefusedPlugin, claims};
use super::offer::{ClientName, Foreign, Offer};
use super::versions::Change;
use crate::config::Config;
use crate::config::names::snake;
use crate::grants::PluginGrants;
use crate::grants::in_force::InForce;
use crate::plugins::catalog::{Offerings, PluginStatus, ProblemKind, Prompt, Resource, Serving, Template, Tool};
use crate::plugins::loading::compile::Allowance;
use crate::plugins::names::{self, NameError};
use crate::plugins::plugin::{Digest, Plugin, Sha256};
use crate::plugins::rates::Rates;
use crate::plugins::registry::directory::Stamp;
use crate::plugins::sandbox::gate::Gate;
use crate::plugins::served::{Served, Terms};
use crate::sanitize;

/// Bytes of a problem that is reported: a component may have a name of a megabyte, or a hundred thousand names.
const MAX_PROBLEM_BYTES: usize = 4096;

/// The reason of a plugin that a command has switched off.
const SWITCHED_OFF: &str = "switched off by whoever runs this server, until `tinymcp plugin enable`";

/// Tells loads apart: a file that went and came back must not get the load of the old one.
pub(super) type LoadId = u64;

/// A load under way; dropping this ends it, so that nobody waits for a file that was replaced or taken away.
pub(super) struct Load {
    pub(super) id: LoadId,
    /// The state of the file that is loaded, and of its signature.
    pub(super) of: (Stamp, Option<Stamp>),
    pub(super) task: AbortHandle,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One file of the directory: its last load, and the plugin in force.
pub(super) struct Entry {
    pub(super) name: Result<String, NameError>,
    /// The state of the file that was last dealt with.
    pub(super) stamp: Option<Stamp>,
    pub(super) digest: Option<Digest>,
    /// The state of the signature that was last dealt with.
    pub(super) signature: Option<Stamp>,
    /// The load that is under way, if it is still wanted.
    pub(super) load: Option<Load>,
    /// The same of the approved bytes, while the file has others.
    pub(super) kept: Option<Load>,
    /// The approved bytes that were loaded last: if they gave nothing, they give nothing again.
    pub(super) tried: Option<Sha256>,
    /// What an operator has to look at.
    pub(super) waiting: Option<Waiting>,
    pub(super) policy: Policy,
    /// What is known of its file beside what it is.
    pub(super) note: Option<String>,
    state: EntryState,
    terms: Arc<Terms>,
    /// A command has switched it off, whatever the configuration says.
    is_switched_off: bool,
    /// Cancelled then.
    stop: CancellationToken,
}

/// The state of a file.
enum EntryState {
    /// It is switched off, in the configuration or by a command.
    Disabled,
    /// Nothing of it is served: it is new, or has a fault.
    Idle(Option<FileFault>),
    /// A plugin is in force: of the file as it is, or with a fault of an older state of it.
    Serving(Offer, Option<FileFault>),
}

/// The reason why the file as it is now is not served.
struct FileFault {
    problem: String,
    /// It is that `trust` does not let these bytes in.
    is_untrusted: bool,
    /// It is loaded, but its names belong to others or are unusable; tried again when names become free.
    refused: Option<RefusedPlugin>,
}

impl Entry {
    pub(super) fn new(file: &str, config: &Config, grants: &PluginGrants) -> Self {
        let stem = file.strip_suffix(".wasm").unwrap_or(file);
        let name = names::plugin_name(stem);
        let plugin_name = name.as_ref().map_or(stem, String::as_str);
        let gate = Arc::new(Gate::new(&config.limits(plugin_name)));
        let grants = grants.of(&snake(plugin_name));
        let grants_now = Arc::new(InForce::new(Arc::clone(&grants)));
        let rates = rates(config, plugin_name, &Rates::default());
        let stop = CancellationToken::new();
        let terms = Arc::new(terms(config, plugin_name, grants, grants_now, gate, rates, stop.clone()));
        let state = if config.plugin(plugin_name).enabled { EntryState::Idle(None) } else { EntryState::Disabled };
        let policy = Policy::of(config, plugin_name);
        Self {
            stamp: None,
            digest: None,
            signature: None,
            load: None,
            kept: None,
            tried: None,
            waiting: None,
            policy,
            note: None,
            state,
            terms,
            name,
            is_switched_off: false,
            stop,
        }
    }

    /// Takes over whether a command has switched it off, for the next [`Self::configure`]. Its calls end at once.
    pub(super) fn set_switched_off(&mut self, is_switched_off: bool) {
        if is_switched_off == self.is_switched_off {
            return;
        }
        self.is_switched_off = is_switched_off;
        let name = self.plugin_name();
        if is_switched_off {
            self.stop.cancel();
            tracing::warn!(plugin = name, "plugin `{name}` is {SWITCHED_OFF}");
        } else {
            self.stop = CancellationToken::new();
            tracing::info!(plugin = name, "plugin `{name}` is switched on again by whoever runs this server");
        }
    }

    /// Tells whether it is switched off.
    pub(super) fn is_disabled(&self) -> bool {
        matches!(self.state, EntryState::Disabled)
    }

    /// The plugin in force.
    pub(super) fn offer(&self) -> Option<&Offer> {
        match &self.state {
            EntryState::Serving(offer, _) => Some(offer),
            EntryState::Disabled | EntryState::Idle(_) => None,
        }
    }

    /// The plugin that waits for names.
    pub(super) fn refused(&self) -> Option<&RefusedPlugin> {
        self.fault()?.refused.as_ref()
    }

    /// The reason why the file as it is now is not served.
    pub(super) fn problem(&self) -> Option<&str> {
        self.fault().map(|fault| fault.problem.as_str())
    }

    fn fault(&self) -> Option<&FileFault> {
        match &self.state {
            EntryState::Idle(fault) | EntryState::Serving(_, fault) => fault.as_ref(),
            EntryState::Disabled => None,
        }
    }

    fn take_fault(&mut self) -> Option<FileFault> {
        match &mut self.state {
            EntryState::Idle(fault) | EntryState::Serving(_, fault) => fault.take(),
            EntryState::Disabled => None,
        }
    }

    /// The plugin's name; for a file that cannot name a plugin, the file's.
    pub(super) fn plugin_name(&self) -> String {
        match &self.name {
            Ok(name) => name.clone(),
            Err(NameError::PluginName { stem, .. }) => stem.clone(),
            Err(error) => error.to_string(),
        }
    }

    /// Takes over limits, grants and switches. The gate stays, with those who wait in it, unless its size changed, and
    /// calls that were counted stay counted.
    pub(super) fn configure(&mut self, config: &Config, grants: &PluginGrants) {
        let name = self.plugin_name();
        if self.is_switched_off || !config.plugin(&name).enabled {
            // Others may take its names now. When it is switched on again, it is read anew and asks for them like a
            // newcomer: what the file was before it was switched off must not come back for a moment.
            self.state = EntryState::Disabled;
            (self.stamp, self.digest, self.load) = (None, None, None);
            (self.kept, self.tried, self.waiting) = (None, None, None);
        } else if self.is_disabled() {
            self.state = EntryState::Idle(None);
        }
        let before = &self.terms.limits;
        let limits = config.limits(&name);
        let allows_other = limits.file != before.file || Allowance::of(&limits) != Allowance::of(before);
        let policy = Policy::of(config, &name);
        // The bytes are checked anew, and loaded anew if they were refused.
        let trusts_other = policy.trust != self.policy.trust;
        if (allows_other && self.fault().is_some()) || trusts_other {
            (self.stamp, self.digest, self.tried) = (None, None, None);
        }
        self.policy = policy;
        let is_same_gate = (limits.concurrency, limits.queue) == (before.concurrency, before.queue);
        let gate = if is_same_gate { Arc::clone(&self.terms.gate) } else { Arc::new(Gate::new(&limits)) };
        let grants = grants.of(&snake(&name));
        self.terms.grants_now.set(Arc::clone(&grants));
        let rates = rates(config, &name, &self.terms.rates);
        let terms =
            Arc::new(terms(config, &name, grants, Arc::clone(&self.terms.grants_now), gate, rates, self.stop.clone()));
        let needs = self.offer().map(|offer| offer.plugin.needs.clone()).unwrap_or_default();
        let terms = terms.of_needs(&needs);
        if !terms.are_like(&self.terms) {
            self.terms = terms;
        }
    }

    /// Says in the log what its plugin is granted, by name.
    pub(super) fn tell_grants(&self) {
        let name = self.plugin_name();
        match self.terms.grants.in_words() {
            words if words.is_empty() => tracing::info!(plugin = name, "plugin `{name}` is granted nothing"),
            words => tracing::info!(plugin = name, "plugin `{name}` is granted {}", words.join("; ")),
        }
    }

    /// Says in the log what a version takes over from the one before it.
    pub(super) fn tell_change(&self, Change { before, widened }: &Change) {
        let Some(offer) = self.offer() else { return };
        let (name, grants, digest) = (self.plugin_name(), &self.terms.grants, &offer.plugin.digest);
        let entrusted = grants.entrusted();
        // Otherwise somebody has said so.
        if !entrusted.is_empty() && !self.policy.is_any() {
            tracing::warn!(
                plugin = name,
                %digest,
                before,
                "another version of plugin `{name}` inherits {}: nothing says which file may have that",
                entrusted.join("; ")
            );
        }
        if let Some(widened) = widened.as_ref().filter(|_| !grants.are_none()) {
            tracing::warn!(
                plugin = name,
                %digest,
                before,
                "another version of plugin `{name}` declares to need more than the one before, and may have, as far as it is granted: {widened}"
            );
        }
    }

    /// True if it serves the plugin of this name.
    pub(super) fn is_serving(&self, name: &str) -> bool {
        self.offer().is_some_and(|offer| *offer.plugin.name == *name)
    }

    /// The scopes, limits and settings for its plugin.
    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// Records that the file gives no plugin. A plugin of it that waited for names is dropped.
    pub(super) fn fail(&mut self, problem: String) {
        self.report(problem, None);
    }

    /// The same for bytes that `trust` does not let in.
    pub(super) fn distrust(&mut self, problem: String) {
        self.fail(problem);
        if let EntryState::Idle(Some(fault)) | EntryState::Serving(_, Some(fault)) = &mut self.state {
            fault.is_untrusted = true;
        }
    }

    /// Takes the plugin out of force, since nothing says any more that it may run.
    pub(super) fn withdraw(&mut self, problem: String) {
        if !self.is_disabled() {
            self.state = EntryState::Idle(self.take_fault().map(|fault| FileFault { refused: None, ..fault }));
            (self.stamp, self.digest, self.load) = (None, None, None);
            (self.kept, self.tried, self.waiting) = (None, None, None);
            self.fail(problem);
        }
    }

    /// Takes the plugin out of force, and forgets what is known of the file, so that it is loaded and judged anew.
    pub(super) fn look_anew(&mut self) {
        if !self.is_disabled() {
            self.state = EntryState::Idle(None);
            (self.stamp, self.digest, self.load) = (None, None, None);
            (self.kept, self.tried, self.waiting) = (None, None, None);
        }
    }

    /// Says once, in the log, why the file is not served.
    ///
    /// It may quote names from the file, and the file's own.
    fn report(&mut self, problem: String, refused: Option<RefusedPlugin>) {
        let problem = sanitize::cut(&sanitize::escaped(problem), MAX_PROBLEM_BYTES);
        if self.problem() != Some(&problem) {
            let name = self.plugin_name();
            if self.offer().is_some() {
                tracing::error!(plugin = name, "plugin `{name}` not reloaded: {problem}; the version before goes on");
            } else {
                tracing::error!(plugin = name, "plugin `{name}` not loaded: {problem}");
            }
        }
        if let EntryState::Idle(fault) | EntryState::Serving(_, fault) = &mut self.state {
            *fault = Some(FileFault { problem, is_untrusted: false, refused });
        }
    }

    /// Holds a plugin back until an operator has looked at it, and says so once.
    pub(super) fn hold(&mut self, waiting: Waiting) {
        let before = self.waiting.take();
        // A file comes before the lists of the one in force, which it would replace.
        if waiting.part == WaitingPart::Lists
            && before
                .as_ref()
                .is_some_and(|before| before.part != WaitingPart::Lists && self.is_of_file(&before.plugin))
        {
            self.waiting = before;
            return;
        }
        let is_known = before.as_ref().is_some_and(|before| {
            let are_lists = before.part == WaitingPart::Lists && waiting.part == WaitingPart::Lists;
            before.reference == waiting.reference || are_lists
        });
        if !is_known {
            let name = self.plugin_name();
            let (what, reference) = (waiting.part.in_words(), &waiting.reference);
            let meanwhile = if self.offer().is_some() { "; the approved version goes on" } else { "" };
            tracing::warn!(
                plugin = name,
                %reference,
                "plugin `{name}` waits for approval: {what}; `tinymcp approve {name}` shows it{meanwhile}"
            );
        }
        let since = before.filter(|before| before.reference == waiting.reference).map(|before| before.since);
        self.waiting = Some(Waiting { since: since.unwrap_or(waiting.since), ..waiting });
    }

    /// Drops what waits if it is this plugin, or an older state of its file.
    pub(super) fn stop_waiting(&mut self, plugin: &Plugin) {
        let is_of_file = self.is_of_file(plugin);
        self.waiting.take_if(|waiting| waiting.plugin.sha256 == plugin.sha256 || is_of_file);
    }

    /// Clears the fault of a file that is again the one that is served.
    pub(super) fn clear_problem_if_serving(&mut self, digest: Option<Digest>) {
        if self.offer().map(|offer| offer.plugin.digest) == digest && self.refused().is_none() {
            self.take_fault();
        }
    }

    /// Puts a plugin in force. What is wrong with the file stays wrong when it is an older state of it that gets other
    /// names.
    pub(super) fn serve(&mut self, offer: Offer) {
        let waited = self.refused().is_some_and(|refused| Arc::ptr_eq(&refused.plugin, &offer.plugin));
        let fault = self.take_fault().filter(|_| !waited && !self.is_of_file(&offer.plugin));
        self.terms = self.terms.of_needs(&offer.plugin.needs);
        self.state = EntryState::Serving(offer, fault);
    }

    /// Keeps a plugin until its names are free, unless a newer one waits already.
    pub(super) fn refuse(&mut self, refused: RefusedPlugin, problem: String) {
        let is_newest = self.is_of_file(&refused.plugin);
        let waiting = match &mut self.state {
            EntryState::Idle(Some(fault)) | EntryState::Serving(_, Some(fault)) => fault.refused.take(),
            _ => None,
        };
        let refused = waiting.filter(|_| !is_newest).unwrap_or(refused);
        self.report(problem, Some(refused));
    }

    pub(super) fn is_of_file(&self, plugin: &Plugin) -> bool {
        self.digest == Some(plugin.digest)
    }

    /// Takes the plugin out of force, since another file takes one of its claims: it waits until all are free again.
    pub(super) fn give_way(&mut self, problem: String) {
        match std::mem::replace(&mut self.state, EntryState::Idle(None)) {
            EntryState::Serving(offer, fault) => {
                self.state = EntryState::Idle(fault);
                let claims = claims(&self.plugin_name(), &offer.plugin, &offer.names, &offer.foreign);
                self.report(problem, Some(RefusedPlugin { plugin: offer.plugin, claims }));
            }
            state => self.state = state,
        }
    }

    /// True if it could still serve what it served last. A plugin that is loaded and refused has a list of its claims.
    pub(super) fn may_want(&self, claim: &str) -> bool {
        self.refused().is_none_or(|refused| refused.claims.iter().any(|asked| asked == claim))
    }

    /// Its claims while it serves.
    pub(super) fn claims(&self) -> Option<Vec<String>> {
        let offer = self.offer()?;
        Some(claims(&self.plugin_name(), &offer.plugin, &offer.names, &offer.foreign))
    }

    /// Leaves out resources and templates of the plugin in force, and says so once.
    pub(super) fn leave_out(&mut self, foreign: Foreign) {
        let name = self.plugin_name();
        let EntryState::Serving(offer, _) = &mut self.state else { return };
        for warning in foreign.warnings() {
            if !offer.foreign.warnings().any(|known| known == warning) {
                tracing::warn!(plugin = name, "plugin `{name}`: {warning}");
            }
        }
        offer.foreign = foreign;
    }

    /// Resources and templates of a plugin that were left out when it was last looked at: with other lists, none.
    pub(super) fn foreign_parts_of(&self, plugin: &Plugin) -> Foreign {
        let uris = |plugin: &Plugin| -> Vec<String> {
            plugin.templates.iter().map(|template| template.template.uri_template.clone()).collect()
        };
        let is_same = |known: &Plugin| known.resources == plugin.resources && uris(known) == uris(plugin);
        let known = self.offer().filter(|offer| is_same(&offer.plugin));
        known.map(|offer| offer.foreign.clone()).unwrap_or_default()
    }

    /// All tools, prompts, resources and templates of the plugin in force.
    pub(super) fn offerings(&self) -> Offerings {
        let Some(offer) = self.offer() else { return Offerings::default() };
        let served = Served::new(Arc::clone(&offer.plugin), Arc::clone(&self.terms));
        let (served, names) = (|| served.clone(), offer.names.clone());
        let tool = |ClientName { name, index }| {
            let function = &offer.plugin.functions[index].name;
            let rate = self.terms.rates.of_tool(function);
            let shaping = self.terms.shaping.get(&snake(&function.function)).cloned();
            let served = shaping.as_ref().map_or_else(served, |shaping| served().and_for(&shaping.scopes));
            Arc::new(Tool { name, served, function_index: index, is_heavy: Arc::default(), rate, shaping })
        };
        let prompt = |ClientName { name, index }| Arc::new(Prompt { name, served: served(), index });
        Offerings {
            tools: names.tools.into_iter().map(tool).collect(),
            prompts: names.prompts.into_iter().map(prompt).collect(),
            resources: offer.own_resources().map(|index| Arc::new(Resource { served: served(), index })).collect(),
            templates: offer.own_templates().map(|index| Arc::new(Template { served: served(), index })).collect(),
        }
    }

    pub(super) fn status(&self, file: &str) -> PluginStatus {
        let serving = self.offer().map(|offer| {
            let sorted = |mut names: Vec<String>| {
                names.sort();
                names
            };
            let plugin = &offer.plugin;
            let resources = offer.own_resources().map(|index| plugin.resources[index].resource.uri.clone());
            let template = |index: usize| plugin.templates[index].template.uri_template.clone();
            let templates = offer.own_templates().map(template);
            Serving {
                digest: plugin.digest,
                needs: plugin.needs.clone(),
                granted: self.terms.grants.in_words(),
                widened: offer.widened.clone().filter(|_| !self.terms.grants.are_none()),
                since: offer.since,
                tools: sorted(names_of(&offer.names.tools)),
                functions: plugin.functions.iter().map(|function| snake(&function.name.function)).collect(),
                hidden: sorted(offer.hidden().collect()),
                prompts: sorted(names_of(&offer.names.prompts)),
                resources: sorted(resources.chain(templates).collect()),
                warnings: plugin
                    .warnings()
                    .chain(&offer.names.warnings)
                    .chain(offer.foreign.warnings())
                    .chain(&self.note)
                    .cloned()
                    .collect(),
            }
        });
        let name = self.plugin_name();
        let waits = |waiting: &Waiting| {
            format!("waits for approval: {}; `tinymcp approve {name}` shows it", waiting.part.in_words())
        };
        let kind = match self.fault() {
            Some(fault) if fault.is_untrusted => ProblemKind::Untrusted,
            None if self.waiting.is_some() && !self.is_switched_off => ProblemKind::Held,
            _ => ProblemKind::Refused,
        };
        PluginStatus {
            file: file.to_owned(),
            serving,
            problem: (self.problem().or(self.is_switched_off.then_some(SWITCHED_OFF)).map(str::to_owned))
                .or_else(|| self.waiting.as_ref().map(waits)),
            waiting: self.waiting.as_ref().map(|waiting| waiting.reference.to_string()),
            kind,
            disabled: self.is_disabled(),
            name,
        }
    }
}

fn names_of(called: &[ClientName]) -> Vec<String> {
    called.iter().map(|called| called.name.clone()).collect()
}
