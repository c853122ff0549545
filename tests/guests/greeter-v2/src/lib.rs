//! Version 2 of a plugin that is replaced while it serves.

use std::thread;
use std::time::Duration;

wit_bindgen::generate!({ world: "greeter", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> String {
        format!("v2 greets {name}")
    }

    fn wait(ms: u32) -> String {
        thread::sleep(Duration::from_millis(ms.into()));
        "v2".to_owned()
    }

    fn part(name: String) -> String {
        format!("v2 parts from {name}")
    }
}

export!(Greeter);
