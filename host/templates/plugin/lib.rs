//! The functions that `wit/world.wit` promises.

wit_bindgen::generate!({ world: "NAME", path: "wit", generate_all });

/// Carries the WIT text into the component, so that its comments become the tools' descriptions.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Plugin;

impl Guest for Plugin {
    fn FUNCTION(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Plugin);
