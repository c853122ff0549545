//! The work that holding one value against a schema may take.
//!
//! Steps are counted, so that the same value always ends in the same way; the stack is bounded by its address; and for
//! all that no count foresees, so is the processor's time. There is no other way out of the library's recursion than to
//! unwind it.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crate::plugins::sandbox::engine::pace;

/// Subschemas that one value may be held against: some tenths of a second at the worst, where an honest schema and a
/// request of four megabytes take a fraction.
pub(super) const MAX_STEPS: u32 = 2_000_000;

/// Processor time of one check. An unoptimised build takes several times as long for the same.
pub(super) const MAX_CPU: Duration = Duration::from_secs(if cfg!(debug_assertions) { 8 } else { 1 });

/// Stack that holding a value against a schema may take; threads have twice that.
const MAX_STACK_BYTES: usize = 1 << 20;

/// Work between two looks at the clock: entries of schemas and values, of which the clock takes as long as some.
const LOOK_EVERY: u32 = 2000;

thread_local! {
    static STEPS: Cell<u32> = const { Cell::new(0) };
    /// Work until the next look at the clock.
    static UNTIL_LOOK: Cell<u32> = const { Cell::new(0) };
    /// Processor time of the thread at which the check ends.
    static ENDS_AT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// The stack's address when the check began.
    static BASE: Cell<usize> = const { Cell::new(0) };
}

/// A check took more than it may, or nobody wants it any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// Makes a check of so many steps; its processor time is what the checks of a [`begin`] may take together.
pub(super) fn within<T>(steps: u32, check: impl FnOnce() -> T) -> Result<T, Exhausted> {
    STEPS.set(steps);
    UNTIL_LOOK.set(LOOK_EVERY);
    BASE.set(stack_address());
    panic::catch_unwind(AssertUnwindSafe(check)).map_err(|_| Exhausted)
}

/// Begins the time of a check.
pub(super) fn begin() {
    ENDS_AT.set(processor_time() + MAX_CPU);
}

/// Counts a step of about so much work.
pub(super) fn step(work: usize) {
    let is_too_deep = stack_address().abs_diff(BASE.get()) > MAX_STACK_BYTES;
    match STEPS.get().checked_sub(1).filter(|_| !is_too_deep) {
        Some(left) => STEPS.set(left),
        None => exhausted(),
    }
    let work = u32::try_from(work).unwrap_or(u32::MAX);
    match UNTIL_LOOK.get().checked_sub(work) {
        Some(left) => UNTIL_LOOK.set(left),
        None if processor_time() >= ENDS_AT.get() || !pace::is_wanted() => exhausted(),
        None => UNTIL_LOOK.set(LOOK_EVERY),
    }
}

/// Ends the check.
pub(super) fn exhausted() -> ! {
    panic::resume_unwind(Box::new(Exhausted))
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// About where the stack is.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here) as usize
}
