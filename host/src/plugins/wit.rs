//! `tinymcp:plugin` as Rust: the types that plugins and host share, the exports of a plugin beyond its own functions, and
//! its imports.
//!
//! Everything here is generated from `wit/`. The types are plain data and serve as the host's own, so that no other
//! module needs a second set of them.

/// The version of the package. A component that was built for another one is refused.
pub const VERSION: &str = "0.1.0";

#[expect(missing_docs, reason = "generated; the documentation is in `wit/`")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "everything",
        imports: {
            "tinymcp:plugin/progress": async | trappable,
            "tinymcp:plugin/log": async | trappable,
            "tinymcp:plugin/kv": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        additional_derives: [Clone, PartialEq],
    });
}

pub use self::generated::exports::tinymcp::plugin::{completions, prompts, resources, tools};
pub use self::generated::tinymcp::plugin::{caller, changes, content, input, kv, log, progress, secrets, settings};
