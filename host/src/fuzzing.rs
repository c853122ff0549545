//! Readers of foreign bytes, each as one function for fuzzers: it takes any bytes and panics where a promise is broken.
//!
//! Each function stands in the room of what it holds to its promises, in a file `fuzzing.rs`; this is the one place that
//! shows them to others, in builds with the feature `fuzzing` and in tests. `fuzz/` has a target of libFuzzer and a
//! corpus for each, and `fuzzing/tests.rs` runs them on stable Rust.

pub(crate) mod promises;
mod text;

use crate::{auth, config, grants, jwks, mcp, oci, plugins};

/// A function for fuzzers.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Reads any bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 21] = [
    Target { name: "json_to_values", run: plugins::types::codec::fuzzing::json_to_values },
    Target { name: "values_to_json", run: plugins::types::codec::fuzzing::values_to_json },
    Target { name: "wit_section", run: plugins::types::docs::fuzzing::wit_section },
    Target { name: "package_docs", run: plugins::types::docs::fuzzing::package_docs },
    Target { name: "component", run: plugins::loading::compile::fuzzing::component },
    Target { name: "configuration", run: config::fuzzing::configuration },
    Target { name: "oauth_parameters", run: auth::authorize::fuzzing::oauth_parameters },
    Target { name: "redirect", run: auth::clients::fuzzing::redirect },
    Target { name: "registration", run: auth::clients::fuzzing::registration },
    Target { name: "client_document", run: auth::clients::document::fuzzing::client_document },
    Target { name: "message", run: mcp::message_fuzzing },
    Target { name: "request_state", run: mcp::request_state_fuzzing },
    Target { name: "provider_answer", run: auth::upstream::fuzzing::provider_answer },
    Target { name: "discovery_document", run: auth::upstream::fuzzing::discovery_document },
    Target { name: "key_set", run: jwks::fuzzing::key_set },
    Target { name: "registry_answer", run: oci::fuzzing::registry_answer },
    Target { name: "granted_request", run: grants::fuzzing::granted_request },
    Target { name: "address_class", run: grants::fuzzing::address_class },
    Target { name: "request_headers", run: grants::fuzzing::request_headers },
    Target { name: "scrubbed_answer", run: grants::fuzzing::scrubbed_answer },
    Target { name: "text", run: text::text },
];

/// Runs the target of this name.
///
/// # Panics
/// When there is none, or a promise is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target {name}")).run)(bytes);
}

#[cfg(test)]
mod tests;
