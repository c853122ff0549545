//! The functions that `wit/world.wit` promises.

use tinymcp::plugin::kv;

wit_bindgen::generate!({ world: "NAME", path: "wit", generate_all });

/// Carries the WIT text into the component, so that its comments become the tools' descriptions.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Plugin;

impl Guest for Plugin {
    fn FUNCTION(name: String) -> Result<String, String> {
        // Also of two calls at once each is counted.
        let times = kv::increment(&format!("greeted/{name}"), 1);
        let times = times.map_err(|error| format!("nothing can be counted here: {error}"))?;
        Ok(format!("Hello, {name}! That was number {times}."))
    }
}

export!(Plugin);
