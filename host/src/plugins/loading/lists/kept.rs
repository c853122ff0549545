//! The lists of a plugin as they are kept and compared: what was approved of them is shown again after a restart,
//! whatever the plugin would list then.
//!
//! Made of what is served, so that what was left out or cut is not in them; read again, they give the same.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::plugins::plugin::{FunctionKind, Plugin};
use crate::plugins::wit::content::{Annotations, Icon, Role, Theme};
use crate::plugins::wit::input::Capabilities;
use crate::plugins::wit::{prompts, resources, tools};

/// The lists of a plugin, as it gives them.
pub(super) struct Lists {
    pub(super) tools: Vec<tools::Tool>,
    pub(super) prompts: Vec<prompts::Prompt>,
    pub(super) resources: Vec<resources::Resource>,
    pub(super) templates: Vec<resources::Template>,
}

/// Every list of a plugin, each in the order of its names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct KeptLists {
    pub(in crate::plugins) tools: Vec<KeptTool>,
    pub(in crate::plugins) prompts: Vec<KeptPrompt>,
    pub(in crate::plugins) resources: Vec<KeptResource>,
    pub(in crate::plugins) templates: Vec<KeptTemplate>,
}

/// A tool that the plugin names itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct KeptTool {
    pub(in crate::plugins) name: String,
    title: Option<String>,
    description: String,
    input_schema: Map<String, Value>,
    output_schema: Option<Map<String, Value>>,
    hints: KeptHints,
    icons: Vec<KeptIcon>,
    /// The questions that it asks.
    needs: Vec<KeptCapability>,
    tasks: KeptTasks,
    meta: Option<Map<String, Value>>,
}

/// An author's claims about a tool's effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct KeptHints {
    pub(in crate::plugins) read_only: Option<bool>,
    pub(in crate::plugins) destructive: Option<bool>,
    pub(in crate::plugins) idempotent: Option<bool>,
    pub(in crate::plugins) open_world: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptCapability {
    Forms,
    Links,
    Sampling,
    Roots,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptTasks {
    Never,
    Possible,
    AfterInput,
    Required,
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct KeptPrompt {
    pub(in crate::plugins) name: String,
    title: Option<String>,
    description: Option<String>,
    arguments: Vec<KeptArgument>,
    icons: Vec<KeptIcon>,
    meta: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptArgument {
    name: String,
    title: Option<String>,
    description: Option<String>,
    required: bool,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct KeptResource {
    pub(in crate::plugins) uri: String,
    name: String,
    title: Option<String>,
    description: Option<String>,
    mime_type: Option<String>,
    size: Option<u64>,
    icons: Vec<KeptIcon>,
    annotations: Option<KeptAnnotations>,
    meta: Option<Map<String, Value>>,
}

/// A resource template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plugins) struct KeptTemplate {
    pub(in crate::plugins) uri_template: String,
    name: String,
    title: Option<String>,
    description: Option<String>,
    mime_type: Option<String>,
    icons: Vec<KeptIcon>,
    annotations: Option<KeptAnnotations>,
    meta: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptIcon {
    src: String,
    mime_type: Option<String>,
    sizes: Vec<String>,
    is_dark: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptAnnotations {
    for_user: bool,
    for_assistant: bool,
    priority: Option<f64>,
    last_modified: Option<String>,
}

impl KeptLists {
    /// The lists that a plugin is served with.
    pub(in crate::plugins) fn of(plugin: &Plugin) -> Self {
        let tools = plugin.functions.iter().filter_map(|function| match &function.kind {
            FunctionKind::Typed { .. } => None,
            FunctionKind::Listed(listed) => Some(KeptTool {
                name: listed.name.clone(),
                title: function.docs.title.clone(),
                description: function.docs.description.clone().unwrap_or_default(),
                input_schema: (*function.input_schema).clone(),
                output_schema: function.output_schema.as_deref().cloned(),
                hints: KeptHints::of(&function.docs.hints),
                icons: icons(&listed.icons),
                needs: capabilities(listed.needs),
                tasks: listed.tasks.into(),
                meta: listed.meta.clone(),
            }),
        });
        let prompts = plugin.prompts.iter().map(|listed| KeptPrompt {
            name: listed.prompt.name.clone(),
            title: listed.prompt.title.clone(),
            description: listed.prompt.description.clone(),
            arguments: listed.prompt.arguments.iter().map(KeptArgument::of).collect(),
            icons: icons(&listed.prompt.icons),
            meta: listed.meta.clone(),
        });
        let resources = plugin.resources.iter().map(|listed| KeptResource {
            uri: listed.resource.uri.clone(),
            name: listed.resource.name.clone(),
            title: listed.resource.title.clone(),
            description: listed.resource.description.clone(),
            mime_type: listed.resource.mime_type.clone(),
            size: listed.resource.size,
            icons: icons(&listed.resource.icons),
            annotations: listed.resource.annotations.as_ref().map(KeptAnnotations::of),
            meta: listed.meta.clone(),
        });
        let templates = plugin.templates.iter().map(|listed| KeptTemplate {
            uri_template: listed.template.uri_template.clone(),
            name: listed.template.name.clone(),
            title: listed.template.title.clone(),
            description: listed.template.description.clone(),
            mime_type: listed.template.mime_type.clone(),
            icons: icons(&listed.template.icons),
            annotations: listed.template.annotations.as_ref().map(KeptAnnotations::of),
            meta: listed.meta.clone(),
        });
        // A plugin that keeps its entries in a map of its own gives them in another order every time.
        let mut lists = Self {
            tools: tools.collect(),
            prompts: prompts.collect(),
            resources: resources.collect(),
            templates: templates.collect(),
        };
        lists.tools.sort_by(|a, b| a.name.cmp(&b.name));
        lists.prompts.sort_by(|a, b| a.name.cmp(&b.name));
        lists.resources.sort_by(|a, b| a.uri.cmp(&b.uri));
        lists.templates.sort_by(|a, b| a.uri_template.cmp(&b.uri_template));
        lists
    }

    /// The same as the plugin would give them.
    pub(super) fn into_lists(self) -> Lists {
        let tool = |kept: KeptTool| tools::Tool {
            name: kept.name,
            title: kept.title,
            description: kept.description,
            input_schema: Value::Object(kept.input_schema).to_string(),
            output_schema: kept.output_schema.map(|schema| Value::Object(schema).to_string()),
            hints: tools::Hints {
                read_only: kept.hints.read_only,
                destructive: kept.hints.destructive,
                idempotent: kept.hints.idempotent,
                open_world: kept.hints.open_world,
            },
            icons: given_icons(kept.icons),
            needs: given_capabilities(&kept.needs),
            tasks: kept.tasks.into(),
            meta: given_meta(kept.meta),
        };
        let prompt = |kept: KeptPrompt| prompts::Prompt {
            name: kept.name,
            title: kept.title,
            description: kept.description,
            arguments: kept.arguments.into_iter().map(KeptArgument::given).collect(),
            icons: given_icons(kept.icons),
            meta: given_meta(kept.meta),
        };
        let resource = |kept: KeptResource| resources::Resource {
            uri: kept.uri,
            name: kept.name,
            title: kept.title,
            description: kept.description,
            mime_type: kept.mime_type,
            size: kept.size,
            icons: given_icons(kept.icons),
            annotations: kept.annotations.map(KeptAnnotations::given),
            meta: given_meta(kept.meta),
        };
        let template = |kept: KeptTemplate| resources::Template {
            uri_template: kept.uri_template,
            name: kept.name,
            title: kept.title,
            description: kept.description,
            mime_type: kept.mime_type,
            icons: given_icons(kept.icons),
            annotations: kept.annotations.map(KeptAnnotations::given),
            meta: given_meta(kept.meta),
        };
        Lists {
            tools: self.tools.into_iter().map(tool).collect(),
            prompts: self.prompts.into_iter().map(prompt).collect(),
            resources: self.resources.into_iter().map(resource).collect(),
            templates: self.templates.into_iter().map(template).collect(),
        }
    }
}

impl KeptHints {
    /// The claims of an author, as they are.
    pub(in crate::plugins) fn of(hints: &crate::plugins::types::docs::Hints) -> Self {
        Self {
            read_only: hints.read_only,
            destructive: hints.destructive,
            idempotent: hints.idempotent,
            open_world: hints.open_world,
        }
    }
}

impl From<tools::Tasks> for KeptTasks {
    fn from(tasks: tools::Tasks) -> Self {
        match tasks {
            tools::Tasks::Never => Self::Never,
            tools::Tasks::Possible => Self::Possible,
            tools::Tasks::AfterInput => Self::AfterInput,
            tools::Tasks::Required => Self::Required,
        }
    }
}

impl From<KeptTasks> for tools::Tasks {
    fn from(tasks: KeptTasks) -> Self {
        match tasks {
            KeptTasks::Never => Self::Never,
            KeptTasks::Possible => Self::Possible,
            KeptTasks::AfterInput => Self::AfterInput,
            KeptTasks::Required => Self::Required,
        }
    }
}

impl KeptArgument {
    fn of(argument: &prompts::Argument) -> Self {
        Self {
            name: argument.name.clone(),
            title: argument.title.clone(),
            description: argument.description.clone(),
            required: argument.required,
        }
    }

    fn given(self) -> prompts::Argument {
        prompts::Argument { name: self.name, title: self.title, description: self.description, required: self.required }
    }
}

impl KeptAnnotations {
    fn of(annotations: &Annotations) -> Self {
        Self {
            for_user: annotations.audience.contains(&Role::User),
            for_assistant: annotations.audience.contains(&Role::Assistant),
            priority: annotations.priority,
            last_modified: annotations.last_modified.clone(),
        }
    }

    fn given(self) -> Annotations {
        let audience = [(self.for_user, Role::User), (self.for_assistant, Role::Assistant)];
        Annotations {
            audience: audience.into_iter().filter(|(is_for, _)| *is_for).map(|(_, role)| role).collect(),
            priority: self.priority,
            last_modified: self.last_modified,
        }
    }
}

fn icons(icons: &[Icon]) -> Vec<KeptIcon> {
    let kept = |icon: &Icon| KeptIcon {
        src: icon.src.clone(),
        mime_type: icon.mime_type.clone(),
        sizes: icon.sizes.clone(),
        is_dark: icon.theme.map(|theme| theme == Theme::Dark),
    };
    icons.iter().map(kept).collect()
}

fn given_icons(icons: Vec<KeptIcon>) -> Vec<Icon> {
    let given = |icon: KeptIcon| Icon {
        src: icon.src,
        mime_type: icon.mime_type,
        sizes: icon.sizes,
        theme: icon.is_dark.map(|is_dark| if is_dark { Theme::Dark } else { Theme::Light }),
    };
    icons.into_iter().map(given).collect()
}

/// Every capability, in the order of the WIT.
const CAPABILITIES: [(Capabilities, KeptCapability); 4] = [
    (Capabilities::FORMS, KeptCapability::Forms),
    (Capabilities::LINKS, KeptCapability::Links),
    (Capabilities::SAMPLING, KeptCapability::Sampling),
    (Capabilities::ROOTS, KeptCapability::Roots),
];

fn capabilities(needs: Capabilities) -> Vec<KeptCapability> {
    CAPABILITIES.iter().filter(|(needed, _)| needs.contains(*needed)).map(|(_, kept)| *kept).collect()
}

fn given_capabilities(kept: &[KeptCapability]) -> Capabilities {
    let named = CAPABILITIES.iter().filter(|(_, named)| kept.contains(named));
    named.fold(Capabilities::empty(), |needs, (capability, _)| needs | *capability)
}

fn given_meta(meta: Option<Map<String, Value>>) -> Option<String> {
    meta.map(|meta| Value::Object(meta).to_string())
}
