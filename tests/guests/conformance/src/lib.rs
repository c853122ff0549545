//! Tools that answer with texts, some of them with an error, under names of the conformance suite.

wit_bindgen::generate!({ world: "conformance", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Conformance;

impl Guest for Conformance {
    fn test_simple_text() -> String {
        "This is a simple text response for testing.".to_owned()
    }

    fn test_error_handling() -> Result<String, String> {
        Err("This tool intentionally returns an error for testing".to_owned())
    }

    fn test_logging_tool() -> String {
        "Tool execution completed".to_owned()
    }

    fn test_streaming_elicitation() -> String {
        "Nothing is asked".to_owned()
    }
}

export!(Conformance);
