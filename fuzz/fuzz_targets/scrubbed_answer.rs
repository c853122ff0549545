#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tinymcp::fuzzing::run("scrubbed_answer", bytes));
