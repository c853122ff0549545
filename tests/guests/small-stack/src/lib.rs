//! Does what needs much stack in the 128 KiB that a crate made by `tinymcp new` has.

use std::hint::black_box;
use std::mem::MaybeUninit;

wit_bindgen::generate!({ world: "small-stack", path: "wit" });

#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct SmallStack;

impl Guest for SmallStack {
    fn json(text: String) -> Result<String, String> {
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Ok(value.to_string())
    }

    fn matches(pattern: String, text: String) -> Result<bool, String> {
        regex::Regex::new(&pattern).map(|regex| regex.is_match(&text)).map_err(|error| error.to_string())
    }

    fn deep(calls: u32) -> u32 {
        descend(calls)
    }

    fn wide(kilobytes: u32) -> u32 {
        if kilobytes > 64 { fill::<{ 512 * 1024 }>() } else { fill::<{ 64 * 1024 }>() }
    }

    fn stray() -> u32 {
        // SAFETY: it is not; the sandbox has to stand it.
        unsafe { *black_box(0x7000_0000 as *const u32) }
    }
}

#[inline(never)]
fn descend(calls: u32) -> u32 {
    let own = black_box([calls; 256]);
    if calls == 0 { 0 } else { descend(calls - 1) + u32::from(own[black_box(7)] == calls) }
}

#[inline(never)]
fn fill<const BYTES: usize>() -> u32 {
    let mut own = [const { MaybeUninit::<u8>::uninit() }; BYTES];
    // One by one: filled at once, it would be one instruction, of whose place the engine says nothing.
    own.iter_mut().map(|byte| u32::from(*black_box(byte).write(1))).sum()
}

export!(SmallStack);
