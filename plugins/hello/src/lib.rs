//! The tool `hello`.

wit_bindgen::generate!({ world: "hello", path: "wit" });

/// Carries the WIT text into the component, so that its comments become the tool's description.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Hello;

impl Guest for Hello {
    fn hello(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Hello);
