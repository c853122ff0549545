//! Every target, on stable Rust.

mod driver;

use std::collections::BTreeSet;
use std::fs;

use self::driver::{Driven, corpus, drive, fuzz};
use super::TARGETS;

/// Targets of the tests' own code, which their crate runs.
const ELSEWHERE: [&str; 1] = ["event_stream"];

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            let target = TARGETS.into_iter().find(|target| target.name == stringify!($name)).unwrap();
            drive(Driven { name: target.name, run: target.run });
        })*
    };
}

targets![
    json_to_values,
    values_to_json,
    wit_section,
    package_docs,
    component,
    configuration,
    oauth_parameters,
    redirect,
    registration,
    client_document,
    message,
    request_state,
    provider_answer,
    discovery_document,
    key_set,
    registry_answer,
    granted_request,
    address_class,
    request_headers,
    scrubbed_answer,
    text,
];

#[test]
fn every_target_has_a_test_a_corpus_and_a_fuzzer() {
    let names = TARGETS.map(|target| target.name);
    assert_eq!(names, NAMES);
    let listed = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let expected: BTreeSet<String> = names.iter().chain(&ELSEWHERE).map(|name| (*name).to_owned()).collect();
    assert_eq!(listed("corpus"), expected);
    assert_eq!(listed("fuzz_targets"), expected);
    for name in names.into_iter().chain(ELSEWHERE) {
        let files = corpus(name);
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(!files.is_empty() && bytes <= 48 << 10, "the corpus of {name} has {bytes} bytes in {}", files.len());
        let fuzzer = fs::read_to_string(fuzz().join("fuzz_targets").join(name).with_extension("rs")).unwrap();
        assert!(fuzzer.contains("fuzz_target!"), "{fuzzer}");
        let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
