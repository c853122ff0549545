//! The tool `add`.

wit_bindgen::generate!({ world: "add", path: "wit" });

/// Carries the WIT text into the component, so that its comments become the tool's description.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Add;

impl Guest for Add {
    fn add(a: f64, b: f64) -> f64 {
        a + b
    }
}

export!(Add);
