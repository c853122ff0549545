//! Works for some 50 ms before its first answer, as the runtimes of interpreted languages do.
//!
//! There is no documentation in this plugin on purpose: the host has to do without.

use std::hint::black_box;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

wit_bindgen::generate!({ world: "slow-start", path: "wit" });

/// Rounds of the work at the start: about 50 ms on a machine of 2024.
const ROUNDS: u32 = 50_000_000;

/// The result of the work; every instance has to do it anew.
static STARTED: LazyLock<u32> =
    LazyLock::new(|| (0..ROUNDS).fold(1, |mixed, round| black_box(mixed ^ round).rotate_left(1)));

/// Calls that this instance has had.
static CALLS: AtomicU32 = AtomicU32::new(0);

struct SlowStart;

impl Guest for SlowStart {
    fn count() -> u32 {
        black_box(*STARTED);
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

export!(SlowStart);
