//! The reasons why a file gives no plugin.

use super::compile::CompileError;
use super::component_kind::ComponentKind;
use crate::plugins::wit::VERSION;

/// A reason why a file gives no plugin. Each message names the cause and, where there is one, the cure.
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
    /// The file cannot be compiled: cut short, damaged, or using features that this host lacks.
    #[error("not a valid component: {0:#}")]
    Invalid(wasmtime::Error),
    /// There is no machine code of it.
    #[error("{0}")]
    NotCompiled(CompileError),
    /// Nothing is wrong with the file, as far as that was found out.
    #[error("{0}")]
    Host(String),
    /// The component imports things that this host does not provide.
    #[error("imports what this host does not provide: {}; it provides WASI 0.2, `wasi:http` 0.2 and `tinymcp:plugin` {VERSION}", quoted(.0))]
    UnknownImports(Vec<String>),
    /// The component was built for another version of `tinymcp:plugin`.
    #[error(
        "built for `tinymcp:plugin@{0}`, and this host has `{VERSION}`: build it again with the WIT of this version"
    )]
    OtherVersion(String),
    /// Its exports of `tinymcp:plugin` do not fit.
    #[error("what it exports of `tinymcp:plugin` does not fit this host: {0:#}")]
    Misfit(wasmtime::Error),
    /// Linking failed although all interfaces are known: another version of one of them.
    #[error("imports do not fit this host: {0:#}")]
    Unlinkable(wasmtime::Error),
    /// There is nothing to call: the reasons why its functions are no tools, and the kind of the component.
    #[error("no tools: {}", because(.0, *.1))]
    NoTools(Vec<String>, ComponentKind),
}

impl LoadError {
    /// True if another try may end otherwise, with the same file.
    pub(in crate::plugins) fn is_passing(&self) -> bool {
        matches!(self, Self::NotCompiled(error) if error.is_passing())
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn because(reasons: &[String], kind: ComponentKind) -> String {
    let words = kind.in_words();
    let exports = || format!("it exports no function that can be a tool ({})", reasons.join("; "));
    match (reasons, kind.is_something_else()) {
        ([], true) => words.to_owned(),
        ([], false) => format!("it exports no function; {words}"),
        (_, true) => format!("{}; {words}", exports()),
        (_, false) => exports(),
    }
}
