//! Tells the values that it reaches by their names: secrets, configuration and environment.
//!
//! The tool that it lists itself, `seen`, has in its description what was in reach while the list was made.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use exports::tinymcp::plugin::tools;
use tinymcp::plugin::content::Block;
use tinymcp::plugin::input::{Capabilities, Stop};
use tinymcp::plugin::{changes, secrets};
use wasi::config0_2_0_draft_2024_09_27::store as older;
use wasi::config0_2_0_rc_1::store as newer;

wit_bindgen::generate!({
    world: "tinymcp:names/names",
    path: ["../../../wit", "wit"],
    generate_all,
});

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

/// Calls of `count` that this instance has had.
static CALLS: AtomicU32 = AtomicU32::new(0);

type Pairs = Vec<(String, String)>;

struct Names;

/// What is in reach, on one line: the secret `API_KEY`, the configuration, and the environment.
fn seen() -> String {
    let all = newer::get_all().unwrap_or_default();
    format!("secret {:?}, config {all:?}, env {:?}", secrets::get("API_KEY"), Names::env())
}

impl Guest for Names {
    fn secret(name: String) -> Option<String> {
        secrets::get(&name)
    }

    fn newer(name: String) -> Result<Option<String>, String> {
        newer::get(&name).map_err(|error| format!("{error:?}"))
    }

    fn older(name: String) -> Result<Option<String>, String> {
        older::get(&name).map_err(|error| format!("{error:?}"))
    }

    fn all() -> Result<(Pairs, Pairs), String> {
        let newer = newer::get_all().map_err(|error| format!("{error:?}"))?;
        let older = older::get_all().map_err(|error| format!("{error:?}"))?;
        Ok((newer, older))
    }

    fn env() -> Pairs {
        std::env::vars().collect()
    }

    fn later(name: String, ms: u32) -> (Option<String>, Option<String>) {
        let first = secrets::get(&name);
        println!("waiting");
        std::thread::sleep(Duration::from_millis(ms.into()));
        (first, secrets::get(&name))
    }

    fn relist() {
        changes::tools();
    }

    fn count() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl tools::Guest for Names {
    fn list_tools() -> Vec<tools::Tool> {
        CALLS.fetch_add(1000, Ordering::Relaxed);
        vec![tools::Tool {
            name: "seen".to_owned(),
            title: None,
            description: seen(),
            input_schema: r#"{"type":"object"}"#.to_owned(),
            output_schema: None,
            hints: tools::Hints { read_only: None, destructive: None, idempotent: None, open_world: None },
            icons: Vec::new(),
            needs: Capabilities::empty(),
            tasks: tools::Tasks::Never,
            meta: None,
        }]
    }

    fn call_tool(_name: String, _arguments: String) -> Result<tools::Output, Stop> {
        Ok(tools::Output { content: vec![Block::Text(seen())], structured: None, is_error: false, meta: None })
    }
}

export!(Names);
