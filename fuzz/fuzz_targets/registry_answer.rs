#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tinymcp::fuzzing::run("registry_answer", bytes));
