//! The reasons for which a plugin is not built.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The target whose linker makes components directly.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// The reason for which a plugin is not built.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error("{program} is not installed: {install}")]
    Missing { program: &'static str, install: String },
    #[error("`{}` cannot be started: {source}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("`{} --version` failed: {said}", program.display())]
    Broken { program: PathBuf, said: String },
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("`{}` reported errors, see above", program.display())]
    Reported { program: PathBuf },
    #[error("the crate builds no component: its `Cargo.toml` needs `crate-type = [\"cdylib\"]` in `[lib]`")]
    NoComponent,
    #[error("{}", lines(.0))]
    Exports(Vec<MissingExport>),
    #[error(
        "{place}: `{outer}` has `{inner}` in it, and jco makes no valid component of types of a world that are in each other: put them into an interface, and `use` them from there"
    )]
    NestedTypes { place: String, inner: String, outer: String },
    #[error("{}", one_world(.0))]
    Worlds(Vec<String>),
    #[error("the toolchain has made a component that is not valid, and no host would load it: {0}")]
    Invalid(wasmparser::BinaryReaderError),
    #[error("`{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The cure for WIT that does not say what the plugin is made of.
fn one_world(worlds: &[String]) -> String {
    if worlds.is_empty() {
        return "its WIT has no world, and a plugin is made of one: write `world NAME { export …; }` into `wit/world.wit`"
            .to_owned();
    }
    let worlds = worlds.iter().map(|world| format!("`{world}`")).collect::<Vec<_>>().join(", ");
    format!(
        "its WIT has several worlds ({worlds}), and a plugin is made of one: keep that one in `wit/`, and move the others \
         out of it"
    )
}

impl BuildError {
    /// Wraps a failure to read or write this path.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn lines(missing: &[MissingExport]) -> String {
    let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A function of the world that the module does not have as it must be.
#[derive(Debug)]
pub(super) struct MissingExport {
    /// The name in the world.
    pub(super) function: String,
    /// The name that the module must use.
    pub(super) name: String,
    /// The object that it must be in.
    pub(super) object: Option<String>,
    pub(super) mismatch: Mismatch,
}

/// The difference between an export of the module and that of its world.
#[derive(Debug)]
pub(super) enum Mismatch {
    Absent { similar: Option<String> },
    Async,
    NotAsync,
    Generator,
    NotFunction,
}

impl fmt::Display for MissingExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, name, object, mismatch } = self;
        let place = object.as_ref().map(|object| format!(" in `export const {object} = {{ … }}`")).unwrap_or_default();
        match mismatch {
            Mismatch::Absent { similar } => {
                let written = if object.is_some() {
                    format!("`{name}(…) {{ … }}`")
                } else {
                    format!("`export function {name}(…)`")
                };
                write!(f, "its world exports `{function}`, and the module lacks {written}{place}")?;
                similar.as_ref().map_or(Ok(()), |similar| write!(f, ": is that `{similar}`?"))
            }
            Mismatch::Async => write!(
                f,
                "`{name}`{place} is async, and the world's `{function}` is not: nothing waits for its promise; write `async func` there, or make it a plain function"
            ),
            Mismatch::NotAsync => {
                write!(f, "`{name}`{place} is not async, and the world's `{function}` is: write `async` before it")
            }
            Mismatch::Generator => write!(f, "`{name}`{place} is a generator: make it a plain function"),
            Mismatch::NotFunction => write!(f, "`{name}`{place} is no function, and the world's `{function}` is one"),
        }
    }
}

/// The reason for which there is no target for components.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("no Rust toolchain: install it from https://rustup.rs")]
    NoRust,
    #[error(
        "the target {TARGET} is missing and there is no rustup to add it: install it the way this Rust was installed"
    )]
    NoRustup,
    #[error("rustup could not add the target {TARGET}, see above")]
    Refused,
}
