//! Tells what is left in an instance that is kept for the next call.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};

wit_bindgen::generate!({ world: "warm", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

/// Calls of `count` that this instance has had.
static CALLS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The memory that `fill` keeps.
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

struct Warm;

impl Guest for Warm {
    fn count() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn fail() -> Result<(), String> {
        Err("this tool fails on purpose".to_owned())
    }

    fn trap() {
        core::arch::wasm32::unreachable()
    }

    fn spin() {
        println!("spinning");
        loop {
            black_box(());
        }
    }

    fn fill(bytes: u32) -> u32 {
        KEPT.with_borrow_mut(|kept| {
            kept.push(vec![1; bytes as usize]);
            kept.iter().map(|block| u32::try_from(block.len()).expect("it came as 32 bits")).sum()
        })
    }

    fn ask(bytes: u32) -> bool {
        black_box(Vec::<u8>::new()).try_reserve_exact(bytes as usize).is_ok()
    }

    fn print(text: String) -> Result<u32, String> {
        io::stdout()
            .write_all(text.as_bytes())
            .and_then(|()| io::stdout().flush())
            .map_err(|error| error.to_string())?;
        Ok(u32::try_from(text.len()).unwrap_or(u32::MAX))
    }
}

export!(Warm);
