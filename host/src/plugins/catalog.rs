//! All tools, prompts and resources of now: one immutable value, for calls and for lists.
//!
//! Invariant: a [`Catalog`] is never changed, only replaced. Tools, grants and limits are replaced together,
//! so that no call sees the tool of one version with the limits of another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::announcements::List;
use super::plugin::{self, Digest, Function, FunctionKind, ListedTool, MAX_URI_BYTES};
use super::rates::Bucket;
use super::sandbox::values::HeavyFlag;
use super::served::Served;
use super::types::shape::ResultShape;
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

/// A tool that can be called.
pub struct Tool {
    /// The name by which clients call it.
    pub name: String,
    /// The plugin that it belongs to.
    pub served: Served,
    pub(super) function_index: usize,
    pub(super) is_heavy: HeavyFlag,
    /// The calls that each person may make of it, beside those of its plugin.
    pub(super) rate: Option<Arc<Bucket>>,
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
    /// Switched off in the configuration.
    pub disabled: bool,
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
    /// Its prompts' names.
    pub prompts: Vec<String>,
    /// The URIs of its resources, and those of its templates.
    pub resources: Vec<String>,
    /// Warnings for its author.
    pub warnings: Vec<String>,
}

impl Catalog {
    /// The catalog that follows `self`: a revision is a new one only if clients would see another list, or if a plugin
    /// `announced` it.
    pub(super) fn replaced_by(
        &self,
        offerings: Offerings,
        plugins: Vec<PluginStatus>,
        announced: &BTreeSet<List>,
    ) -> Self {
        let Offerings { mut tools, mut prompts, mut resources, mut templates } = offerings;
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        prompts.sort_by(|a, b| a.name.cmp(&b.name));
        resources.sort_by(|a, b| a.uri().cmp(b.uri()));
        templates.sort_by(|a, b| a.uri_template().cmp(b.uri_template()));
        let next = |revision: u64, is_same: bool, list: List| {
            if is_same && !announced.contains(&list) { revision } else { revision + 1 }
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
        Self { tools, prompts, resources, templates, plugins, revisions }
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
            && new.is_described_like(old)
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
