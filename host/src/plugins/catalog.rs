//! All tools, prompts and resources of now: one immutable value, for calls and for lists.
//!
//! Invariant: a [`Catalog`] is never changed, only replaced. Tools, grants and limits are replaced together,
//! so that no call sees the tool of one version with the limits of another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::announcements::{Announced, List};
use super::plugin::{self, Digest, Function, FunctionKind, ListedTool, MAX_URI_BYTES};
use super::rates::Bucket;
use super::sandbox::values::HeavyFlag;
use super::served::{Served, Shaping};
use super::types::shape::ResultShape;
use crate::config::keys::View;
use crate::config::names::ViewName;
use crate::grants::needs::Needs;

/// The offers of all plugins, and the state of each file.
#[derive(Default)]
pub struct Catalog {
    /// Ordered by name, so that lists are the same every time.
    tools: Vec<Arc<Tool>>,
    /// Ordered by name.
    prompts: Vec<Arc<Prompt>>,
    /// Ordered by URI.
    resources: Vec<Arc<Resource>>,
    /// Ordered by URI template.
    templates: Vec<Arc<Template>>,
    /// Ordered by name.
    plugins: Vec<PluginStatus>,
    revisions: Revisions,
    /// Counts the catalogs, so that no two states of a view have one number.
    generation: u64,
    /// The parts of it that views show, by their names.
    views: BTreeMap<String, Arc<Catalog>>,
}

/// Each changes exactly when its list does, in anything that a client can see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revisions {
    /// Of the list of tools.
    pub tools: u64,
    /// Of the list of prompts.
    pub prompts: u64,
    /// Of the lists of resources and of their templates.
    pub resources: u64,
}

impl Revisions {
    fn all(number: u64) -> Self {
        Self { tools: number, prompts: number, resources: number }
    }
}

/// A tool that can be called.
pub struct Tool {
    /// The name by which clients call it.
    pub name: String,
    /// The plugin that it belongs to.
    pub served: Served,
    pub(super) function_index: usize,
    pub(super) is_heavy: Arc<HeavyFlag>,
    /// The calls that each person may make of it, beside those of its plugin.
    pub(super) rate: Option<Arc<Bucket>>,
    /// The operator's words on it.
    pub(super) shaping: Option<Arc<Shaping>>,
}

/// A prompt that can be filled in.
pub struct Prompt {
    /// The name by which clients ask for it.
    pub name: String,
    /// The plugin that it belongs to.
    pub served: Served,
    pub(super) index: usize,
}

/// A resource that can be read.
pub struct Resource {
    /// The plugin that it belongs to.
    pub served: Served,
    pub(super) index: usize,
}

/// Many resources that can be read.
pub struct Template {
    /// The plugin that it belongs to.
    pub served: Served,
    pub(super) index: usize,
}

/// Everything that a plugin gives, under the names that it has here.
#[derive(Default)]
pub(super) struct Offerings {
    pub(super) tools: Vec<Arc<Tool>>,
    pub(super) prompts: Vec<Arc<Prompt>>,
    pub(super) resources: Vec<Arc<Resource>>,
    pub(super) templates: Vec<Arc<Template>>,
}

impl Offerings {
    pub(super) fn append(&mut self, mut other: Self) {
        self.tools.append(&mut other.tools);
        self.prompts.append(&mut other.prompts);
        self.resources.append(&mut other.resources);
        self.templates.append(&mut other.templates);
    }
}

/// The state of one file of the plugins directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginStatus {
    /// The plugin's name, or the file's when that cannot name a plugin.
    pub name: String,
    /// The file's name within the directory.
    pub file: String,
    /// The plugin that is served, if any.
    pub serving: Option<Serving>,
    /// The reason why the file as it is now is not served. With `serving`, an older version goes on.
    pub problem: Option<String>,
    /// What an operator has to look at first, as `NAME@sha256:…`.
    pub waiting: Option<String>,
    /// The kind of the problem.
    pub kind: ProblemKind,
    /// Switched off in the configuration.
    pub disabled: bool,
}

/// The kinds of reasons for which a file is not served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProblemKind {
    /// It gives no plugin, or one that cannot be served here.
    #[default]
    Refused,
    /// `trust` does not let its bytes in.
    Untrusted,
    /// It waits for an operator's approval.
    Held,
}

impl ProblemKind {
    /// The word in lines and labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Untrusted => "untrusted",
            Self::Held => "held",
        }
    }
}

/// The version of a plugin that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The file that it was loaded from.
    pub digest: Digest,
    /// What it declares to need.
    pub needs: Needs,
    /// What is granted and declared, a phrase each.
    pub granted: Vec<String>,
    /// What it declares that the version before it could not have, in words.
    pub widened: Option<String>,
    /// The time at which it was loaded.
    pub since: SystemTime,
    /// Its tools' names.
    pub tools: Vec<String>,
    /// Its functions that can be tools, in snake case.
    pub functions: Vec<String>,
    /// Functions of it that the operator hides.
    pub hidden: Vec<String>,
    /// Its prompts' names.
    pub prompts: Vec<String>,
    /// The URIs of its resources, and those of its templates.
    pub resources: Vec<String>,
    /// Warnings for its author.
    pub warnings: Vec<String>,
}

impl Catalog {
    /// The catalog that follows `self`: a revision is a new one only if clients would see another list, or if a plugin
    /// `announced` it. `views` has what each view shows of it.
    pub(super) fn replaced_by(
        &self,
        offerings: Offerings,
        plugins: Vec<PluginStatus>,
        announced: &Announced,
        views: &BTreeMap<ViewName, View>,
    ) -> Self {
        let is_announced = |list| announced.iter().any(|(_, other)| *other == list);
        let mut next = self.followed_by(offerings, plugins, |revision| revision + 1, is_announced);
        next.generation = self.generation + 1;
        let of_view = |(name, view): (&ViewName, &View)| {
            (name.as_str().to_owned(), Arc::new(next.seen_through(view, self.views.get(name.as_str()), announced)))
        };
        next.views = views.iter().map(of_view).collect();
        next
    }

    /// The part of this catalog that a view shows, which follows what it showed before.
    fn seen_through(&self, view: &View, before: Option<&Arc<Self>>, announced: &Announced) -> Self {
        let shows = |served: &Served| view.plugins.iter().any(|plugin| **plugin == *served.plugin.name);
        let at_view = |served: &Served| served.and_for(&view.scopes);
        let tool = |tool: &&Arc<Tool>| shows(&tool.served) && view.shows(&tool.name);
        let offerings = Offerings {
            tools: self.tools.iter().filter(tool).map(|tool| tool.at(at_view(&tool.served))).collect(),
            prompts: self
                .prompts
                .iter()
                .filter(|prompt| shows(&prompt.served))
                .map(|prompt| {
                    let (name, index) = (prompt.name.clone(), prompt.index);
                    Arc::new(Prompt { name, served: at_view(&prompt.served), index })
                })
                .collect(),
            resources: self
                .resources
                .iter()
                .filter(|resource| shows(&resource.served))
                .map(|resource| Arc::new(Resource { served: at_view(&resource.served), index: resource.index }))
                .collect(),
            templates: self
                .templates
                .iter()
                .filter(|template| shows(&template.served))
                .map(|template| Arc::new(Template { served: at_view(&template.served), index: template.index }))
                .collect(),
        };
        let is_announced = |list| {
            let of_view = |plugin: &str| view.plugins.iter().any(|shown| **shown == *plugin);
            announced.iter().any(|(plugin, other)| *other == list && of_view(plugin))
        };
        // A view that is new, perhaps after another one of its name, has no number that was seen before.
        let numbered = Self { revisions: Revisions::all(self.generation), ..Self::default() };
        let before = before.map_or(&numbered, |before| &**before);
        before.followed_by(offerings, Vec::new(), |_| self.generation, is_announced)
    }

    fn followed_by(
        &self,
        offerings: Offerings,
        plugins: Vec<PluginStatus>,
        number: impl Fn(u64) -> u64,
        is_announced: impl Fn(List) -> bool,
    ) -> Self {
        let Offerings { mut tools, mut prompts, mut resources, mut templates } = offerings;
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        prompts.sort_by(|a, b| a.name.cmp(&b.name));
        resources.sort_by(|a, b| a.uri().cmp(b.uri()));
        templates.sort_by(|a, b| a.uri_template().cmp(b.uri_template()));
        let next = |revision: u64, is_same: bool, list: List| {
            if is_same && !is_announced(list) { revision } else { number(revision) }
        };
        let before = self.revisions;
        let revisions = Revisions {
            tools: next(before.tools, is_same(&tools, &self.tools, Tool::looks_like), List::Tools),
            prompts: next(before.prompts, is_same(&prompts, &self.prompts, Prompt::looks_like), List::Prompts),
            resources: next(
                before.resources,
                is_same(&resources, &self.resources, Resource::looks_like)
                    && is_same(&templates, &self.templates, Template::looks_like),
                List::Resources,
            ),
        };
        Self { tools, prompts, resources, templates, plugins, revisions, ..Self::default() }
    }

    /// The part of it that a view shows, by the view's name.
    pub fn view(&self, name: &str) -> Option<&Arc<Self>> {
        self.views.get(name)
    }

    /// The parts that views show, by their names.
    pub fn views(&self) -> impl Iterator<Item = (&str, &Arc<Self>)> {
        self.views.iter().map(|(name, catalog)| (name.as_str(), catalog))
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

    /// All prompts, ordered by name.
    pub fn prompts(&self) -> &[Arc<Prompt>] {
        &self.prompts
    }

    /// The prompt of this name.
    pub fn prompt(&self, name: &str) -> Option<&Arc<Prompt>> {
        let index = self.prompts.binary_search_by(|prompt| prompt.name.as_str().cmp(name)).ok()?;
        self.prompts.get(index)
    }

    /// All resources, ordered by URI.
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// All resource templates, ordered by themselves.
    pub fn templates(&self) -> &[Arc<Template>] {
        &self.templates
    }

    /// The plugin whose resource this is: one that names it, or else the one whose template fits most closely, so that
    /// `{+anything}` of one plugin does not take a URI that another one describes more closely.
    pub fn owner_of(&self, uri: &str) -> Option<&Served> {
        if uri.len() > MAX_URI_BYTES {
            return None;
        }
        if let Ok(index) = self.resources.binary_search_by(|resource| resource.uri().cmp(uri)) {
            return self.resources.get(index).map(|resource| &resource.served);
        }
        let fitting = self.templates.iter().filter(|template| template.template().fits(uri));
        fitting.max_by_key(|template| template.template().uris.literal_bytes()).map(|template| &template.served)
    }

    /// The template of exactly this text.
    pub fn template(&self, uri_template: &str) -> Option<&Arc<Template>> {
        self.templates.iter().find(|template| template.uri_template() == uri_template)
    }

    /// The plugin of each thing there is; a plugin that gives several things comes several times.
    pub fn served(&self) -> impl Iterator<Item = &Served> {
        let tools = self.tools.iter().map(|tool| &tool.served);
        let prompts = self.prompts.iter().map(|prompt| &prompt.served);
        let resources = self.resources.iter().map(|resource| &resource.served);
        tools.chain(prompts).chain(resources).chain(self.templates.iter().map(|template| &template.served))
    }

    /// The state of each file, ordered by name.
    pub fn plugins(&self) -> &[PluginStatus] {
        &self.plugins
    }

    /// The numbers of these lists.
    pub fn revisions(&self) -> Revisions {
        self.revisions
    }
}

fn is_same<T>(new: &[Arc<T>], old: &[Arc<T>], looks_like: impl Fn(&T, &T) -> bool) -> bool {
    new.len() == old.len() && new.iter().zip(old).all(|(new, old)| looks_like(new, old))
}

impl Tool {
    /// The function behind the tool.
    pub fn function(&self) -> &Function {
        &self.served.plugin.functions[self.function_index]
    }

    /// The same tool at a view.
    fn at(self: &Arc<Self>, served: Served) -> Arc<Self> {
        if served.scopes() == self.served.scopes() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            name: self.name.clone(),
            served,
            function_index: self.function_index,
            is_heavy: Arc::clone(&self.is_heavy),
            rate: self.rate.clone(),
            shaping: self.shaping.clone(),
        })
    }

    /// Its title: the operator's, or its author's.
    pub fn title(&self) -> Option<&str> {
        let shaped = self.shaping.as_ref().and_then(|shaping| shaping.title.as_deref());
        shaped.or(self.function().docs.title.as_deref())
    }

    /// Its description: the operator's, or its author's.
    pub fn description(&self) -> Option<&str> {
        let shaped = self.shaping.as_ref().and_then(|shaping| shaping.description.as_deref());
        shaped.or(self.function().docs.description.as_deref())
    }

    /// One line about it: the first of its description, or else its signature.
    pub fn summary(&self) -> String {
        let first = self.description().and_then(|description| description.lines().next());
        first.map_or_else(|| self.function().form(), str::to_owned)
    }

    /// True if a call can do nothing but answer: it sends no messages, asks nothing, and gives no content blocks.
    pub fn is_plain(&self) -> bool {
        let is_value = match &self.function().kind {
            FunctionKind::Typed { signature, .. } => !matches!(signature.output, ResultShape::Rich { .. }),
            FunctionKind::Listed(_) => false,
        };
        is_value && !self.served.plugin.talks
    }

    /// Facts that only a tool of the interface `tools` can state.
    pub fn listed(&self) -> Option<&ListedTool> {
        match &self.function().kind {
            FunctionKind::Typed { .. } => None,
            FunctionKind::Listed(listed) => Some(listed),
        }
    }

    /// True if a client would see the same tool.
    fn looks_like(&self, other: &Self) -> bool {
        let (new, old) = (self.function(), other.function());
        let listed = |tool: &Self| {
            tool.listed().map(|listed| (listed.icons.clone(), listed.needs, listed.tasks, listed.meta.clone()))
        };
        self.name == other.name
            && self.served.scopes() == other.served.scopes()
            && self.title() == other.title()
            && self.description() == other.description()
            && new.docs.hints == old.docs.hints
            && new.input_schema == old.input_schema
            && new.output_schema == old.output_schema
            && listed(self) == listed(other)
    }
}

impl Prompt {
    /// The plugin's own description of it.
    pub fn prompt(&self) -> &plugin::Prompt {
        &self.served.plugin.prompts[self.index]
    }

    fn looks_like(&self, other: &Self) -> bool {
        self.name == other.name && self.served.scopes() == other.served.scopes() && self.prompt() == other.prompt()
    }
}

impl Resource {
    /// The plugin's own description of it.
    pub fn resource(&self) -> &plugin::Resource {
        &self.served.plugin.resources[self.index]
    }

    /// Its URI.
    pub fn uri(&self) -> &str {
        &self.resource().resource.uri
    }

    fn looks_like(&self, other: &Self) -> bool {
        self.served.scopes() == other.served.scopes() && self.resource() == other.resource()
    }
}

impl Template {
    /// The plugin's own description of it.
    pub fn template(&self) -> &plugin::Template {
        &self.served.plugin.templates[self.index]
    }

    /// The pattern of its URIs.
    pub fn uri_template(&self) -> &str {
        &self.template().template.uri_template
    }

    fn looks_like(&self, other: &Self) -> bool {
        let (new, old) = (self.template(), other.template());
        self.served.scopes() == other.served.scopes() && new.template == old.template && new.meta == old.meta
    }
}
