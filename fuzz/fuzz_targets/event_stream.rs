#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tinymcp_tests::sse::check(bytes));
