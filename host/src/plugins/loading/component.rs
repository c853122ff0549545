//! From a compiled component to a [`Plugin`]: link it, and read its exports.
//!
//! Invariant: loading has no effect on plugins that are loaded already, and a plugin is never changed afterwards.

use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use super::component_kind::ComponentKind;
use super::error::LoadError;
use crate::plugins::imports::guest::Guest;
use crate::plugins::imports::{Import, OURS, Provision, is_ours, older, talks};
use crate::plugins::names::FunctionName;
use crate::plugins::plugin::{Digest, Export, Function, FunctionKind, Interfaces, Plugin, Sha256, shorten};
use crate::plugins::sandbox::engine::Engine;
use crate::plugins::sandbox::runtime::Runtime;
use crate::plugins::types::docs::Docs;
use crate::plugins::types::schema;
use crate::plugins::types::shape::Signature;
use crate::plugins::types::shape::reader::KnownTypes;
use crate::plugins::wit::{VERSION, completions, prompts, resources, tools};

/// Exports that are the host's to call, or other systems', and never tools.
const FOREIGN_INTERFACES: [&str; 2] = ["wasi:", OURS];

/// Functions that toolchains export to prepare a component while it is built, by their parameters:
/// componentize-py, and jco with its QuickJS backend.
const INITIALISERS: [&[&str]; 2] =
    [&["app-name", "symbols", "stub-wasi"], &["shim", "script", "entry-path", "disable-gc"]];

/// Makes a plugin of a compiled component and the bytes of its file.
///
/// # Errors
/// [`LoadError`].
pub(in crate::plugins) fn load(
    runtime: &Runtime,
    component: &Component,
    digest: Digest,
    name: &str,
    bytes: &[u8],
) -> Result<Plugin, LoadError> {
    let engine = &runtime.engine;
    let imports = imports(engine, component);
    let component_type = component.component_type();
    let exported = || component_type.exports(engine.wasm()).map(|(name, _)| name);
    require_version(imports.iter().map(|import| import.name.as_str()).chain(exported()))?;
    let mut docs = Docs::from_component(bytes);
    let Exports { functions, mut warnings, .. } = exports(engine, component, &docs);
    // First: to know that a program or a web handler is no plugin helps more than to know what it lacks here.
    let kind = functions.is_empty().then(|| ComponentKind::of(exported(), bytes));
    if let Some(kind) = kind.filter(|kind| kind.is_something_else())
        && !exported().any(|name| name.starts_with(OURS))
    {
        return Err(LoadError::NoTools(warnings, kind));
    }
    let pre = link(runtime, component, &imports)?;
    let interfaces = interfaces(engine, component, &pre)?;
    if let Some(kind) = kind.filter(|_| interfaces.are_none()) {
        return Err(LoadError::NoTools(warnings, kind));
    }
    warnings.append(&mut docs.take_warnings());
    let names: Vec<&FunctionName> = functions.iter().map(|function| &function.name).collect();
    warnings.extend(docs.mismatches(&names));
    shorten(&mut warnings);
    Ok(Plugin {
        name: name.into(),
        digest,
        sha256: Sha256::of(bytes),
        signed: None,
        description: docs.world().map(str::to_owned),
        functions,
        prompts: Arc::default(),
        resources: Arc::default(),
        templates: Arc::default(),
        talks: imports.iter().any(|import| talks(&import.name)),
        keep_warm: docs.keep_warm(),
        needs: docs.needs().clone(),
        imports,
        warnings,
        list_warnings: Vec::new(),
        interfaces,
        pre,
    })
}

/// While the package is 0.x, there is one version of it at a time.
fn require_version<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), LoadError> {
    let other = names.find_map(|name| {
        let version = name.strip_prefix(OURS)?.split_once('@').map_or("(none)", |(_, version)| version);
        (version != VERSION).then(|| version.to_owned())
    });
    other.map_or(Ok(()), |version| Err(LoadError::OtherVersion(version)))
}

fn imports(engine: &Engine, component: &Component) -> Vec<Import> {
    let component_type = component.component_type();
    let imports = component_type.imports(engine.wasm());
    let behind = |name: &str, item: &ComponentItem| match Provision::of(name) {
        Provision::Unknown if is_types_only(engine, item) => Provision::Types,
        behind => behind,
    };
    imports.map(|(name, import)| Import { behind: behind(name, &import.ty), name: name.to_owned() }).collect()
}

/// True if nobody would have to provide anything: interfaces of types alone are shared so that others can
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

fn link(runtime: &Runtime, component: &Component, imports: &[Import]) -> Result<InstancePre<Guest>, LoadError> {
    let linked = runtime.linker.instantiate_pre(component).or_else(|error| {
        let older = older(&runtime.linker, imports.iter().map(|import| &import.name));
        older.and_then(|linker| linker.instantiate_pre(component).ok()).ok_or(error)
    });
    linked.map_err(|error| {
        let unknown = imports.iter().filter(|import| import.behind == Provision::Unknown);
        let unknown: Vec<String> = unknown.map(|import| import.name.clone()).collect();
        if unknown.is_empty() { LoadError::Unlinkable(error) } else { LoadError::UnknownImports(unknown) }
    })
}

/// Bytes of the schemas of all functions of a plugin. Types are shared by their names in a file, and written out in each
/// schema.
const MAX_SCHEMA_BYTES: usize = 4 * 1024 * 1024;

struct Exports {
    functions: Vec<Function>,
    warnings: Vec<String>,
    known: KnownTypes,
    /// Bytes that further schemas may have.
    room: usize,
    /// The first function that has found no room, and the number of all of them.
    left_out: Option<(FunctionName, usize)>,
}

/// Finds the component's exports of `tinymcp:plugin`.
fn interfaces(engine: &Engine, component: &Component, pre: &InstancePre<Guest>) -> Result<Interfaces, LoadError> {
    let component_type = component.component_type();
    let exports = |interface: &str| {
        component_type.exports(engine.wasm()).any(|(name, _)| is_ours(name, interface)).then_some(pre)
    };
    Ok(Interfaces {
        tools: exports("tools").map(tools::GuestIndices::new).transpose().map_err(LoadError::Misfit)?,
        resources: exports("resources").map(resources::GuestIndices::new).transpose().map_err(LoadError::Misfit)?,
        prompts: exports("prompts").map(prompts::GuestIndices::new).transpose().map_err(LoadError::Misfit)?,
        completions: exports("completions")
            .map(completions::GuestIndices::new)
            .transpose()
            .map_err(LoadError::Misfit)?,
    })
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

/// Reads the exported functions, in the order of their names.
fn exports(engine: &Engine, component: &Component, docs: &Docs) -> Exports {
    let mut found = Exports {
        functions: Vec::new(),
        warnings: Vec::new(),
        known: known_types(engine, component),
        room: MAX_SCHEMA_BYTES,
        left_out: None,
    };
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
    shorten(&mut found.warnings);
    if let Some((first, count)) = &found.left_out {
        let most = MAX_SCHEMA_BYTES >> 20;
        found.warnings.push(format!(
            "function `{first}` and {} more are no tools: the schemas of all functions together have more than {most} MiB",
            count - 1
        ));
    }
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
        if let Some((_, count)) = &mut self.left_out {
            *count += 1;
            return;
        }
        let (Some(export), signature) = (export, Signature::from_function(function, &self.known)) else { return };
        match signature {
            Ok(mut signature) => {
                let docs = docs.function(&name);
                signature.apply_docs(&docs);
                let input_schema = schema::input_schema(&signature);
                let output_schema = schema::output_schema(&signature);
                let bytes = |schema: &schemars::Schema| schema.as_value().to_string().len();
                let bytes = bytes(&input_schema) + output_schema.as_ref().map_or(0, bytes);
                let Some(room) = self.room.checked_sub(bytes) else {
                    self.left_out = Some((name, 1));
                    return;
                };
                self.room = room;
                self.functions.push(Function {
                    input_schema: Arc::new(object(input_schema)),
                    output_schema: output_schema.map(|schema| Arc::new(object(schema))),
                    name,
                    docs,
                    kind: FunctionKind::Typed { signature: Arc::new(signature), export: Export(export) },
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
