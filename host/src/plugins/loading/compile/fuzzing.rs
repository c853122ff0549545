//! Files in the plugins directory, which may be anything, looked at before and beside compiling.

use super::{costly, features};
use crate::fuzzing::promises::assert_shown;
use crate::plugins::loading::component_kind::{ComponentKind, is_wit_package};
use crate::plugins::loading::file_kind::require_component;
use crate::plugins::loading::stack_size;
use crate::plugins::types::docs::{Docs, wit_texts};

/// Bytes of what is said about a file. Names of its own are cut.
const MAX_WORDS: usize = 4096;

/// Bytes of documentation of one component.
const MAX_DOCS_BYTES: usize = 256 << 10;

/// A file.
pub(crate) fn component(bytes: &[u8]) {
    if let Err(error) = require_component(bytes) {
        assert_shown(&error.to_string(), MAX_WORDS);
    }
    if is_wit_package(bytes) {
        assert!(require_component(bytes).is_ok(), "a package of WIT is a component");
        assert!(!is_wit_package(&bytes[..bytes.len() - 1]), "one that is cut short is none");
        assert_eq!(ComponentKind::of(["a:b/c"].into_iter(), bytes), ComponentKind::WitPackage);
    }
    stack_size::advice(bytes).iter().for_each(|advice| assert_shown(advice, MAX_WORDS));
    costly::costliest(bytes).iter().for_each(|costly| assert_shown(&costly.to_string(), MAX_WORDS));
    let refusal = wasmtime::Error::msg("no");
    features::missing(bytes, &refusal).iter().for_each(|words| assert_shown(words, MAX_WORDS));
    assert!(wit_texts(bytes).iter().map(|text| text.len()).sum::<usize>() <= MAX_DOCS_BYTES);
    for warning in Docs::from_component(bytes).take_warnings() {
        assert_shown(&warning, MAX_WORDS);
    }
}
