//! From a compiled component to a [`Plugin`]: link it, and read what it exports.
//!
//! Invariant: loading has no effect on what is already loaded, and what it gives is never changed afterwards.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use super::compile::CompileError;
use super::docs::{Docs, FunctionDocs};
use super::engine::Engine;
use super::guest::Guest;
use super::kind::Instead;
use super::lists::{Listed, Prompt, Resource, Template};
use super::names::FunctionName;
use super::schema;
use super::shape::{KnownTypes, Signature};
use super::wit::{VERSION, completions, prompts, resources, tools};

/// Exports that are the host's to call, or other systems', and never tools.
const FOREIGN_INTERFACES: [&str; 2] = ["wasi:", OURS];

/// The package whose interfaces mean something here.
const OURS: &str = "tinymcp:plugin/";

/// What a plugin may import of that package: its types, and what the host provides.
const PLUGIN_IMPORTS: [&str; 7] = ["content", "input", "progress", "log", "caller", "settings", "changes"];

/// Interfaces by whose import a call can reach its client before it is done.
const TALKING: [&str; 4] = ["progress", "log", "input", "changes"];

/// Functions that toolchains export to prepare a component while it is built, by their parameters:
/// componentize-py, and jco with its QuickJS backend.
const INITIALISERS: [&[&str]; 2] =
    [&["app-name", "symbols", "stub-wasi"], &["shim", "script", "entry-path", "disable-gc"]];

/// The BLAKE3 digest of a component's file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes a whole file.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A loaded component. What it may do, and what its tools are called, is not its own affair: see the catalog.
///
/// Cheap to clone, but for the list of its functions: a plugin whose lists change is replaced by another one.
#[derive(Clone)]
pub struct Plugin {
    /// The file's name in snake case.
    pub name: Arc<str>,
    /// What it was loaded from.
    pub digest: Digest,
    /// What its world's documentation says, as the author's claim.
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
    pub imports: Vec<Imported>,
    /// What its author should mend: functions that cannot be tools, missing documentation.
    pub warnings: Vec<String>,
    /// The same of its lists.
    pub(super) list_warnings: Vec<String>,
    /// What it exports of `tinymcp:plugin`.
    pub(super) interfaces: Interfaces,
    /// Its author says that its start is expensive, and that its memory may be one person's.
    pub keep_warm: bool,
    /// Its calls may send messages or ask their client.
    pub(super) talks: bool,
    pre: InstancePre<Guest>,
}

/// What a plugin exports of `tinymcp:plugin`.
#[derive(Clone)]
pub(super) struct Interfaces {
    pub(super) tools: Option<tools::GuestIndices>,
    pub(super) resources: Option<resources::GuestIndices>,
    pub(super) prompts: Option<prompts::GuestIndices>,
    pub(super) completions: Option<completions::GuestIndices>,
}

/// Something that can be a tool.
#[derive(Clone)]
pub struct Function {
    /// The function and the interface that exports it; the tool's own name, if the plugin lists it.
    pub name: FunctionName,
    /// What its documentation says, as the author's claim.
    pub docs: FunctionDocs,
    /// JSON Schema of its arguments.
    pub input_schema: Arc<Map<String, Value>>,
    /// JSON Schema of its structured content; a function without a result has none.
    pub output_schema: Option<Arc<Map<String, Value>>>,
    /// How it is called.
    pub kind: Kind,
}

/// The two kinds of tools.
#[derive(Clone)]
pub enum Kind {
    /// An exported function.
    Typed {
        /// What it takes and gives.
        signature: Arc<Signature>,
        /// Where it is.
        export: Export,
    },
    /// A tool that the plugin names itself, and calls by that name.
    Listed(Arc<Listed>),
}

/// Where a function is in its component.
#[derive(Clone)]
pub struct Export(pub(super) ComponentExportIndex);

/// Why a file gives no plugin. Each message names the cause and, where there is one, the cure.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file has fewer bytes than the shortest component.
    #[error("the file is empty or cut short ({0} bytes): write it under another name and rename it")]
    Empty(usize),
    /// The file is something else. The words may show how it begins.
    #[error("not a WebAssembly file: {0}")]
    NotWasm(String),
    /// A module without interface types, and where it seems to come from.
    #[error(
        "a core WebAssembly module, not a component: build it with `--target wasm32-wasip2` or `cargo component build`{0}"
    )]
    CoreModule(&'static str),
    /// WebAssembly of another binary version.
    #[error(
        "WebAssembly of version {version}, layer {layer}, and a component has version 13, layer 1: build it again with the \
         tools of today"
    )]
    OtherVersionOfWasm {
        /// The file's version.
        version: u16,
        /// The file's layer.
        layer: u16,
    },
    /// The file cannot be compiled: cut short, damaged, or using what this host does not have.
    #[error("not a valid component: {0:#}")]
    Invalid(wasmtime::Error),
    /// There is no machine code of it.
    #[error("{0}")]
    NotCompiled(CompileError),
    /// Nothing is wrong with the file, as far as that was found out.
    #[error("{0}")]
    Host(String),
    /// The component imports what this host does not provide.
    #[error("imports what this host does not provide: {}; it provides WASI 0.2, `wasi:http` 0.2 and `tinymcp:plugin` {VERSION}", quoted(.0))]
    UnknownImports(Vec<String>),
    /// The component was built for another version of `tinymcp:plugin`.
    #[error(
        "built for `tinymcp:plugin@{0}`, and this host has `{VERSION}`: build it again with the WIT of this version"
    )]
    OtherVersion(String),
    /// What it exports of `tinymcp:plugin` does not fit.
    #[error("what it exports of `tinymcp:plugin` does not fit this host: {0:#}")]
    Misfit(wasmtime::Error),
    /// Linking failed although all interfaces are known: another version of one of them.
    #[error("imports do not fit this host: {0:#}")]
    Unlinkable(wasmtime::Error),
    /// There is nothing to call: why its functions are no tools, and what the component is instead.
    #[error("no tools: {}", because(.0, *.1))]
    NoTools(Vec<String>, Instead),
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn because(reasons: &[String], instead: Instead) -> String {
    let exports = match reasons {
        [] if instead.is_something_else() => return instead.in_words().to_owned(),
        [] => format!("it exports no function; {}", instead.in_words()),
        reasons => format!("it exports no function that can be a tool ({})", reasons.join("; ")),
    };
    if instead.is_something_else() { format!("{exports}; {}", instead.in_words()) } else { exports }
}

/// Makes a plugin of a compiled component and the bytes of its file.
///
/// # Errors
/// [`LoadError`].
pub(super) fn load(
    engine: &Engine,
    component: &Component,
    digest: Digest,
    name: &str,
    bytes: &[u8],
) -> Result<Plugin, LoadError> {
    let imports = imports(engine, component);
    let component_type = component.component_type();
    let exported = || component_type.exports(engine.wasm()).map(|(name, _)| name);
    require_version(imports.iter().map(|import| import.name.as_str()).chain(exported()))?;
    let mut docs = Docs::from_component(bytes);
    let Exports { functions, mut warnings, .. } = exports(engine, component, &docs);
    // First: to know that a program or a web handler is no plugin helps more than to know what it lacks here.
    let instead = Instead::of(exported(), bytes);
    if functions.is_empty() && instead.is_something_else() && !exported().any(|name| name.starts_with(OURS)) {
        return Err(LoadError::NoTools(warnings, instead));
    }
    let pre = link(engine, component, &imports)?;
    let interfaces = Interfaces::of(engine, component, &pre)?;
    if functions.is_empty() && interfaces.are_none() {
        return Err(LoadError::NoTools(warnings, instead));
    }
    warnings.append(&mut docs.take_warnings());
    let names: Vec<&FunctionName> = functions.iter().map(|function| &function.name).collect();
    warnings.extend(docs.mismatches(&names));
    Ok(Plugin {
        name: name.into(),
        digest,
        description: docs.world().map(str::to_owned),
        functions,
        prompts: Arc::default(),
        resources: Arc::default(),
        templates: Arc::default(),
        talks: imports.iter().any(|import| TALKING.iter().any(|interface| is_ours(&import.name, interface))),
        keep_warm: docs.keep_warm(),
        imports,
        warnings,
        list_warnings: Vec::new(),
        interfaces,
        pre,
    })
}

/// Whether an import or export is this interface of `tinymcp:plugin`, in the version of this host.
fn is_ours(name: &str, interface: &str) -> bool {
    let rest = name.strip_prefix(OURS).and_then(|rest| rest.strip_prefix(interface));
    rest.and_then(|rest| rest.strip_prefix('@')) == Some(VERSION)
}

/// While the package is 0.x, there is one version of it at a time.
fn require_version<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), LoadError> {
    let other = names.find_map(|name| {
        let version = name.strip_prefix(OURS)?.split_once('@').map_or("(none)", |(_, version)| version);
        (version != VERSION).then(|| version.to_owned())
    });
    other.map_or(Ok(()), |version| Err(LoadError::OtherVersion(version)))
}

impl Plugin {
    /// What its author should mend: of its code and its documentation, and of its lists.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().chain(&self.list_warnings)
    }

    pub(super) fn instance_pre(&self) -> &InstancePre<Guest> {
        &self.pre
    }
}

impl Function {
    /// One line about it: the first of its description, or else its signature.
    pub fn summary(&self) -> String {
        let first = self.docs.description.as_deref().and_then(|description| description.lines().next());
        first.map_or_else(|| self.form(), str::to_owned)
    }

    /// What it takes and gives, for people; nothing of a tool whose schemas say it.
    pub fn form(&self) -> String {
        match &self.kind {
            Kind::Typed { signature, .. } => signature.to_string(),
            Kind::Listed(_) => String::new(),
        }
    }

    /// Whether its author says the same about it as about `other`.
    pub(super) fn is_described_like(&self, other: &Self) -> bool {
        let (this, other) = (&self.docs, &other.docs);
        this.description == other.description && this.title == other.title && this.hints == other.hints
    }
}

impl LoadError {
    /// Whether another try may end otherwise, with the same file.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::NotCompiled(error) if error.is_passing())
    }
}

fn imports(engine: &Engine, component: &Component) -> Vec<Imported> {
    let component_type = component.component_type();
    let imports = component_type.imports(engine.wasm());
    let behind = |name: &str, item: &ComponentItem| match Import::of(name) {
        Import::Unknown if is_types_only(engine, item) => Import::Types,
        behind => behind,
    };
    imports.map(|(name, import)| Imported { behind: behind(name, &import.ty), name: name.to_owned() }).collect()
}

/// Whether there is nothing that anybody would have to provide: interfaces of types alone are shared so that others can
/// name them.
fn is_types_only(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine.wasm()).all(|(_, export)| is_types_only(engine, &export.ty))
        }
        _ => false,
    }
}

fn link(engine: &Engine, component: &Component, imports: &[Imported]) -> Result<InstancePre<Guest>, LoadError> {
    engine.linker().instantiate_pre(component).map_err(|error| {
        let unknown = imports.iter().filter(|import| import.behind == Import::Unknown);
        let unknown: Vec<String> = unknown.map(|import| import.name.clone()).collect();
        if unknown.is_empty() { LoadError::Unlinkable(error) } else { LoadError::UnknownImports(unknown) }
    })
}

/// An import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The interface as the component names it.
    pub name: String,
    /// What stands behind it.
    pub behind: Import,
}

/// What stands behind an import, going by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// Works, and shows nothing of the host but time and chance.
    Harmless,
    /// Standard output and error: lines of the log.
    Log,
    /// There is no environment and there are no arguments.
    NoEnvironment,
    /// There are no directories.
    NoFiles,
    /// An interface of `tinymcp:plugin`.
    Plugin,
    /// Every connection is denied.
    NoNetwork,
    /// Types alone, behind which nothing has to stand.
    Types,
    /// The host does not know it, and loads no component that wants it.
    Unknown,
}

impl Import {
    /// Sorts an import by its interface.
    fn of(name: &str) -> Self {
        if name.starts_with(OURS) {
            let is_known = PLUGIN_IMPORTS.iter().any(|interface| is_ours(name, interface));
            return if is_known { Self::Plugin } else { Self::Unknown };
        }
        let interface = name.strip_prefix("wasi:").and_then(|rest| rest.split_once("@0.2."));
        let Some((package, interface)) = interface.and_then(|(path, _)| path.split_once('/')) else {
            return Self::Unknown;
        };
        match (package, interface) {
            ("cli", "stdout" | "stderr") => Self::Log,
            ("cli", "environment") => Self::NoEnvironment,
            ("cli" | "clocks" | "io" | "random", _) => Self::Harmless,
            ("filesystem", _) => Self::NoFiles,
            ("http" | "sockets", _) => Self::NoNetwork,
            _ => Self::Unknown,
        }
    }

    /// The same in words.
    pub fn what_is_behind(self) -> &'static str {
        match self {
            Self::Harmless => "provided",
            Self::Log => "goes to the log",
            Self::NoEnvironment => "empty",
            Self::NoFiles => "not granted: no directories",
            Self::Plugin => "provided by this host",
            Self::NoNetwork => "not granted: every connection is denied",
            Self::Types => "types only",
            Self::Unknown => "unknown",
        }
    }
}

struct Exports {
    functions: Vec<Function>,
    warnings: Vec<String>,
    known: KnownTypes,
}

impl Interfaces {
    /// Finds what the component exports of `tinymcp:plugin`.
    fn of(engine: &Engine, component: &Component, pre: &InstancePre<Guest>) -> Result<Self, LoadError> {
        let component_type = component.component_type();
        let exports = |interface: &str| {
            component_type.exports(engine.wasm()).any(|(name, _)| is_ours(name, interface)).then_some(pre)
        };
        Ok(Self {
            tools: exports("tools").map(tools::GuestIndices::new).transpose().map_err(LoadError::Misfit)?,
            resources: exports("resources").map(resources::GuestIndices::new).transpose().map_err(LoadError::Misfit)?,
            prompts: exports("prompts").map(prompts::GuestIndices::new).transpose().map_err(LoadError::Misfit)?,
            completions: exports("completions")
                .map(completions::GuestIndices::new)
                .transpose()
                .map_err(LoadError::Misfit)?,
        })
    }

    fn are_none(&self) -> bool {
        !self.give_lists() && self.completions.is_none()
    }

    /// Whether there is anything to ask for when the plugin is loaded.
    pub(super) fn give_lists(&self) -> bool {
        self.tools.is_some() || self.resources.is_some() || self.prompts.is_some()
    }
}

/// The types of `tinymcp:plugin` that the component imports, and that mean something in a result.
fn known_types(engine: &Engine, component: &Component) -> KnownTypes {
    let component_type = component.component_type();
    let named = |interface: &str, name: &str| {
        let mut imports = component_type.imports(engine.wasm());
        let (_, import) = imports.find(|(import, _)| is_ours(import, interface))?;
        match import.ty {
            ComponentItem::ComponentInstance(instance) => match instance.get_export(engine.wasm(), name)?.ty {
                ComponentItem::Type(ty) => Some(ty),
                _ => None,
            },
            _ => None,
        }
    };
    KnownTypes { block: named("content", "block"), stop: named("input", "stop") }
}

/// Reads the exported functions, in the order of their names, whatever order the component has them in.
fn exports(engine: &Engine, component: &Component, docs: &Docs) -> Exports {
    let mut found = Exports { functions: Vec::new(), warnings: Vec::new(), known: known_types(engine, component) };
    let component_type = component.component_type();
    for (name, export) in component_type.exports(engine.wasm()) {
        match export.ty {
            ComponentItem::ComponentFunc(function) => {
                let export = component.get_export_index(None, name);
                found.add(FunctionName { interface: None, function: name.to_owned() }, &function, export, docs);
            }
            ComponentItem::ComponentInstance(instance) => {
                if FOREIGN_INTERFACES.iter().any(|prefix| name.starts_with(prefix)) {
                    continue;
                }
                let interface = component.get_export_index(None, name);
                for (function_name, export) in instance.exports(engine.wasm()) {
                    if let ComponentItem::ComponentFunc(function) = export.ty {
                        let export = component.get_export_index(interface.as_ref(), function_name);
                        let name =
                            FunctionName { interface: Some(name.to_owned()), function: function_name.to_owned() };
                        found.add(name, &function, export, docs);
                    }
                }
            }
            _ => {}
        }
    }
    found.functions.sort_by(|a, b| a.name.cmp(&b.name));
    found.warnings.sort();
    found
}

impl Exports {
    fn add(&mut self, name: FunctionName, function: &ComponentFunc, export: Option<ComponentExportIndex>, docs: &Docs) {
        if is_initialiser(&name, function) {
            return;
        }
        // A resource's methods and constructors need a resource to be called on, which JSON cannot hold.
        if name.function.starts_with('[') {
            self.warnings.push(format!("function `{name}` is no tool: it belongs to a resource"));
            return;
        }
        let (Some(export), signature) = (export, Signature::from_function(function, &self.known)) else { return };
        match signature {
            Ok(mut signature) => {
                let docs = docs.function(&name);
                signature.apply_docs(&docs);
                self.functions.push(Function {
                    input_schema: Arc::new(object(schema::input_schema(&signature))),
                    output_schema: schema::output_schema(&signature).map(|schema| Arc::new(object(schema))),
                    name,
                    docs,
                    kind: Kind::Typed { signature: Arc::new(signature), export: Export(export) },
                });
            }
            Err(reason) => self.warnings.push(format!("function `{name}` is no tool: {reason}")),
        }
    }
}

/// componentize-py exports its initialiser from an interface of its own, `exports`.
fn is_initialiser(name: &FunctionName, function: &ComponentFunc) -> bool {
    matches!(name.interface.as_deref(), None | Some("exports"))
        && name.function == "init"
        && INITIALISERS.iter().any(|known| function.params().map(|(name, _)| name).eq(known.iter().copied()))
}

fn object(schema: schemars::Schema) -> Map<String, Value> {
    match schema.to_value() {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_wasi_0_2_are_provided() {
        for provided in ["wasi:cli/environment@0.2.9", "wasi:http/types@0.2.10"] {
            assert_ne!(Import::of(provided), Import::Unknown, "{provided}");
        }
        for unknown in ["wasi:nn/tensor@0.2.0", "wasi:cli/environment@0.3.0", "acme:a/b", "wasi:cli"] {
            assert_eq!(Import::of(unknown), Import::Unknown, "{unknown}");
        }
    }
}
