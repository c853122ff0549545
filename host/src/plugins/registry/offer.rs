//! A plugin in force, and the names under which clients see its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Config;
use crate::config::names::snake;
use crate::plugins::names::{self, FunctionName, NameError, Wish};
use crate::plugins::plugin::{FunctionKind, Plugin};

/// The parts of a plugin that are another's, by their index, with a warning for each; see [`super::resources`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) resources: BTreeMap<usize, String>,
    pub(super) templates: BTreeMap<usize, String>,
}

impl Foreign {
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.templates.values().chain(self.resources.values())
    }
}

/// A plugin in force.
pub(super) struct Offer {
    pub(super) plugin: Arc<Plugin>,
    pub(super) names: Names,
    pub(super) since: SystemTime,
    /// Resources and templates of it that are left out.
    pub(super) foreign: Foreign,
    /// What this version declares to need that the one before it could not have, in words.
    pub(super) widened: Option<String>,
}

impl Offer {
    /// The functions that the operator hides, by their names.
    pub(super) fn hidden(&self) -> impl Iterator<Item = String> {
        let functions = self.plugin.functions.iter().enumerate();
        functions.filter(|(index, _)| self.names.hidden.contains(index)).map(|(_, function)| function.name.to_string())
    }

    /// The indices of the resources that are its own.
    pub(super) fn own_resources(&self) -> impl Iterator<Item = usize> {
        (0..self.plugin.resources.len()).filter(|index| !self.foreign.resources.contains_key(index))
    }

    /// The indices of the templates that are its own.
    pub(super) fn own_templates(&self) -> impl Iterator<Item = usize> {
        (0..self.plugin.templates.len()).filter(|index| !self.foreign.templates.contains_key(index))
    }

    /// True if `new` lacks a function that is offered now.
    pub(super) fn has_more_than(&self, new: &Plugin) -> bool {
        let is_gone = |name: &FunctionName| new.functions.iter().all(|function| function.name != *name);
        self.plugin.functions.iter().any(|function| is_gone(&function.name))
    }
}

/// The names under which clients see the parts of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Of its tools, in the order of its functions.
    pub(super) tools: Vec<ClientName>,
    /// Of its prompts, in their order.
    pub(super) prompts: Vec<ClientName>,
    /// The indices of the functions that the operator hides.
    pub(super) hidden: BTreeSet<usize>,
    /// Parts that cannot have a name, and are left out.
    pub(super) warnings: Vec<String>,
}

/// A client's name for a tool or prompt, and its index in the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientName {
    pub(super) name: String,
    pub(super) index: usize,
}

impl Names {
    /// The names of its tools, for the log.
    pub(super) fn summary(&self) -> String {
        let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
    }

    /// The names of all that a plugin gives.
    ///
    /// # Errors
    /// Nothing that it gives can have a name.
    pub(super) fn of(plugin: &Plugin, name: &str, config: &Config) -> Result<Self, NameError> {
        let settings = config.plugin(name);
        let prefix = settings.prefix.as_deref();
        let wish = |function: &FunctionName| {
            let function = snake(&function.function);
            let tool = settings.tool.get(function.as_str());
            match tool.and_then(|tool| tool.name.as_deref()) {
                _ if !settings.shows(&function) => Wish::Hidden,
                Some(name) => Wish::Called(name),
                None => Wish::None,
            }
        };
        // What the plugin lists can be another thing tomorrow: it takes no name from a function.
        let is_listed = |index: &usize| matches!(plugin.functions[*index].kind, FunctionKind::Listed(_));
        let (listed, typed): (Vec<usize>, Vec<usize>) = (0..plugin.functions.len()).partition(is_listed);
        let order = || typed.iter().chain(&listed).copied();
        let hidden = |index: &usize| wish(&plugin.functions[*index].name) == Wish::Hidden;
        let hidden: BTreeSet<usize> = (0..plugin.functions.len()).filter(hidden).collect();
        let functions: Vec<FunctionName> = order().map(|index| plugin.functions[index].name.clone()).collect();
        let named = names::tool_names(name, prefix, &functions, wish);
        let mut problems = named.problems;
        let mut tools = client_names(order().zip(named.names));
        tools.sort_by_key(|tool| tool.index);

        let prompts =
            plugin.prompts.iter().map(|prompt| FunctionName { interface: None, function: prompt.prompt.name.clone() });
        let named = names::tool_names(name, prefix, &prompts.collect::<Vec<_>>(), |_| Wish::None);
        problems.extend(named.problems);
        let prompts = client_names(named.names.into_iter().enumerate());

        let gives_more = plugin.resources.len() + plugin.templates.len() + tools.len() + prompts.len() > 0;
        if !gives_more && !problems.is_empty() {
            return Err(problems.swap_remove(0));
        }
        let warnings = problems.iter().map(|problem| format!("left out: {problem}")).collect();
        Ok(Self { tools, prompts, hidden, warnings })
    }
}

fn client_names(names: impl Iterator<Item = (usize, Option<String>)>) -> Vec<ClientName> {
    names.filter_map(|(index, name)| Some(ClientName { name: name?, index })).collect()
}
