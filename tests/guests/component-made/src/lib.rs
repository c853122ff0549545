//! A plugin in the layout of cargo component 0.21.

#[rustfmt::skip]
#[allow(warnings)]
mod bindings;

use bindings::{Guest, Item};

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[link_section = "tinymcp-wit"]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct ComponentMade;

impl Guest for ComponentMade {
    fn total(items: Vec<Item>) -> Result<f64, String> {
        if let Some(item) = items.iter().find(|item| item.count == 0) {
            return Err(format!("no pieces of {}", item.name));
        }
        Ok(items.iter().map(|item| f64::from(item.count) * item.price.unwrap_or_default()).sum())
    }
}

bindings::export!(ComponentMade with_types_in bindings);
