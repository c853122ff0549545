//! The face of a plugin: everything about it that people, models and grants go by, beside its code.
//!
//! A tool's name here is the author's own. The names that clients see follow from the operator's configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::plugins::loading::lists::kept::{KeptHints, KeptLists};
use crate::plugins::plugin::{Function, FunctionKind, Plugin};

/// The face of one version of a plugin. Two are equal if nobody could tell them apart without running them; the order of
/// the members of a JSON object does not count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct Face {
    description: Option<String>,
    /// Functions of its code that are tools, by their name in it.
    functions: BTreeMap<String, FunctionFace>,
    /// What it lists at run time.
    pub(in crate::plugins) lists: KeptLists,
    imports: BTreeSet<String>,
    /// What it declares to need; none for nothing at all.
    needs: Option<BTreeSet<String>>,
    keeps_warm: bool,
    /// It suggests values for arguments.
    completes: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FunctionFace {
    title: Option<String>,
    description: Option<String>,
    returns: Option<String>,
    signature: String,
    input_schema: Map<String, Value>,
    output_schema: Option<Map<String, Value>>,
    hints: KeptHints,
}

/// A kind of part, in the order in which people read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::plugins) enum Part {
    Plugin,
    Tool,
    Prompt,
    Resource,
    Template,
    Import,
    Need,
}

impl Part {
    /// The part in words, before its name.
    pub(in crate::plugins) fn in_words(self) -> &'static str {
        match self {
            Self::Plugin => "the plugin itself",
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "resource template",
            Self::Import => "import",
            Self::Need => "need",
        }
    }
}

impl Face {
    /// The face of a loaded plugin.
    pub(in crate::plugins) fn of(plugin: &Plugin) -> Self {
        let functions = plugin.functions.iter().filter(|function| matches!(function.kind, FunctionKind::Typed { .. }));
        let needs = plugin.needs.iter().map(ToString::to_string);
        Self {
            description: plugin.description.clone(),
            functions: functions.map(|function| (function.name.to_string(), FunctionFace::of(function))).collect(),
            lists: KeptLists::of(plugin),
            imports: plugin.imports.iter().map(|import| import.name.clone()).collect(),
            needs: plugin.needs.are_declared().then(|| needs.collect()),
            keeps_warm: plugin.keep_warm,
            completes: plugin.interfaces.completions.is_some(),
        }
    }

    /// The same as one text, whatever the order of members in it was.
    pub(in crate::plugins) fn canonical(&self) -> String {
        let mut value = json!(self);
        value.sort_all_objects();
        value.to_string()
    }

    /// Every part by its kind and name, with all that is to be seen of it.
    pub(in crate::plugins) fn parts(&self) -> BTreeMap<(Part, String), Value> {
        let mut parts = BTreeMap::new();
        let needs = match &self.needs {
            None => Some("declares nothing, so that all that is granted to it is there"),
            Some(needs) if needs.is_empty() => Some("declares to need nothing"),
            Some(_) => None,
        };
        let plugin = json!({
            "description": self.description,
            "needs": needs,
            "kept warm": self.keeps_warm.then_some("an instance serves one person's calls one after the other"),
            "completions": self.completes.then_some("it suggests values of arguments"),
        });
        parts.insert((Part::Plugin, String::new()), plugin);
        for (name, function) in &self.functions {
            parts.insert((Part::Tool, name.clone()), json!(function));
        }
        let lists = &self.lists;
        let mut add = |part: Part, name: &str, value: Value| parts.insert((part, name.to_owned()), value);
        lists.tools.iter().for_each(|tool| drop(add(Part::Tool, &format!("{} (listed)", tool.name), json!(tool))));
        lists.prompts.iter().for_each(|prompt| drop(add(Part::Prompt, &prompt.name, json!(prompt))));
        lists.resources.iter().for_each(|resource| drop(add(Part::Resource, &resource.uri, json!(resource))));
        lists.templates.iter().for_each(|template| drop(add(Part::Template, &template.uri_template, json!(template))));
        self.imports.iter().for_each(|import| drop(add(Part::Import, import, json!({}))));
        self.needs.iter().flatten().for_each(|need| drop(add(Part::Need, need, json!({}))));
        parts
    }
}

impl FunctionFace {
    fn of(function: &Function) -> Self {
        Self {
            title: function.docs.title.clone(),
            description: function.docs.description.clone(),
            returns: function.docs.returns.clone(),
            signature: function.form(),
            input_schema: (*function.input_schema).clone(),
            output_schema: function.output_schema.as_deref().cloned(),
            hints: KeptHints::of(&function.docs.hints),
        }
    }
}
