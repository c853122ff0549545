//! A loaded component: its functions, the lists that it gives itself, and its author's descriptions.
//!
//! Data that loading makes and nobody changes afterwards. How it is served is in [`served`](super::served).

use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::component::{ComponentExportIndex, InstancePre};

use super::approval::trust::Signed;
pub use super::digest::{Digest, Sha256};
use super::imports::Import;
use super::imports::guest::Guest;
use super::names::FunctionName;
use super::types::docs::FunctionDocs;
use super::types::shape::Signature;
use super::types::uris::UriPattern;
use super::types::validator::Validator;
use super::wit::content::Icon;
use super::wit::input::Capabilities;
use super::wit::{completions, prompts, resources, tools};
use crate::grants::needs::Needs;

/// Bytes of a URI, of plugins and of clients alike.
pub const MAX_URI_BYTES: usize = 2048;

/// A loaded component. Its limits and the names of its tools are not its own affair: see the catalog.
///
/// Cheap to clone, but for the list of its functions: a plugin whose lists change is replaced by another one.
#[derive(Clone)]
pub struct Plugin {
    /// The file's name in snake case.
    pub name: Arc<str>,
    /// The digest of its file.
    pub digest: Digest,
    /// The digest of its file for people to compare.
    pub sha256: Sha256,
    /// The signature that its file was loaded with.
    pub(super) signed: Option<Signed>,
    /// Its world's documentation: the author's claim.
    pub description: Option<String>,
    /// The functions that can be tools, and the tools that it names itself, in the order of their names.
    pub functions: Vec<Function>,
    /// The prompts that it names.
    pub prompts: Arc<[Prompt]>,
    /// The resources that it names.
    pub resources: Arc<[Resource]>,
    /// The resource templates that it names.
    pub templates: Arc<[Template]>,
    /// The interfaces that it imports.
    pub imports: Vec<Import>,
    /// Warnings for its author: functions that cannot be tools, missing documentation.
    pub warnings: Vec<String>,
    /// The same of its lists.
    pub(super) list_warnings: Vec<String>,
    /// Its exports of `tinymcp:plugin`.
    pub(super) interfaces: Interfaces,
    /// Its author says that its start is expensive, and that its memory may be one person's.
    pub keep_warm: bool,
    /// What it declares to need. Without any, what is granted stands alone.
    pub needs: Needs,
    /// Its calls may send messages or ask their client.
    pub(super) talks: bool,
    /// The component, linked.
    pub(super) pre: InstancePre<Guest>,
}

impl Plugin {
    /// Warnings for its author: of its code and its documentation, and of its lists.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().chain(&self.list_warnings)
    }
}

/// Warnings of one kind that are kept for an author.
const MAX_WARNINGS: usize = 100;

/// Keeps the first warnings, and tells how many there are beyond.
pub(super) fn shorten(warnings: &mut Vec<String>) {
    let more = warnings.len().saturating_sub(MAX_WARNINGS);
    if more > 0 {
        warnings.truncate(MAX_WARNINGS);
        warnings.push(format!("{more} more of such warnings"));
    }
}

/// A plugin's exports of `tinymcp:plugin`.
#[derive(Clone)]
pub(super) struct Interfaces {
    pub(super) tools: Option<tools::GuestIndices>,
    pub(super) resources: Option<resources::GuestIndices>,
    pub(super) prompts: Option<prompts::GuestIndices>,
    pub(super) completions: Option<completions::GuestIndices>,
}

impl Interfaces {
    pub(super) fn are_none(&self) -> bool {
        !self.give_lists() && self.completions.is_none()
    }

    /// Tells whether there is anything to ask for when the plugin is loaded.
    pub(super) fn give_lists(&self) -> bool {
        self.tools.is_some() || self.resources.is_some() || self.prompts.is_some()
    }
}

/// Something that can be a tool.
#[derive(Clone)]
pub struct Function {
    /// The function and the interface that exports it; the tool's own name, if the plugin lists it.
    pub name: FunctionName,
    /// Its documentation: the author's claim.
    pub docs: FunctionDocs,
    /// JSON Schema of its arguments.
    pub input_schema: Arc<Map<String, Value>>,
    /// JSON Schema of its structured content; a function without a result has none.
    pub output_schema: Option<Arc<Map<String, Value>>>,
    /// The way in which it is called.
    pub kind: FunctionKind,
}

impl Function {
    /// One line about it: the first of its description, or else its signature.
    pub fn summary(&self) -> String {
        let first = self.docs.description.as_deref().and_then(|description| description.lines().next());
        first.map_or_else(|| self.form(), str::to_owned)
    }

    /// Its signature, for people; nothing of a tool whose schemas say it.
    pub fn form(&self) -> String {
        match &self.kind {
            FunctionKind::Typed { signature, .. } => signature.to_string(),
            FunctionKind::Listed(_) => String::new(),
        }
    }
}

/// The two kinds of tools.
#[derive(Clone)]
pub enum FunctionKind {
    /// An exported function.
    Typed {
        /// Its parameters and result.
        signature: Arc<Signature>,
        /// Its place in the component.
        export: Export,
    },
    /// A tool that the plugin names itself, and calls by that name.
    Listed(Arc<ListedTool>),
}

/// The place of a function in its component.
#[derive(Clone)]
pub struct Export(pub(super) ComponentExportIndex);

/// A tool that a plugin names itself.
#[derive(Debug)]
pub struct ListedTool {
    /// The plugin's own name for it.
    pub name: String,
    /// Pictures.
    pub icons: Vec<Icon>,
    /// Questions that it will ask its client.
    pub needs: Capabilities,
    /// The use of tasks for its calls.
    pub tasks: tools::Tasks,
    /// `_meta`
    pub meta: Option<Map<String, Value>>,
    pub(super) arguments: Validator,
    pub(super) structured: Option<Validator>,
}

/// A prompt.
#[derive(Debug, PartialEq)]
pub struct Prompt {
    /// As the plugin gave it, made fit for clients.
    pub prompt: prompts::Prompt,
    /// `_meta`
    pub meta: Option<Map<String, Value>>,
}

/// A resource.
#[derive(Debug, PartialEq)]
pub struct Resource {
    /// As the plugin gave it, made fit for clients.
    pub resource: resources::Resource,
    /// `_meta`
    pub meta: Option<Map<String, Value>>,
}

/// Many resources.
#[derive(Debug)]
pub struct Template {
    /// As the plugin gave it, made fit for clients.
    pub template: resources::Template,
    /// `_meta`
    pub meta: Option<Map<String, Value>>,
    /// Its URIs.
    pub(super) uris: UriPattern,
}

impl Template {
    /// Tells whether this could be one of its URIs.
    pub fn fits(&self, uri: &str) -> bool {
        self.uris.fits(uri)
    }
}
