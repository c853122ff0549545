//! The memory that arguments of all calls may take at once, as the engine's values.
//!
//! A request of four megabytes can hold a list of bytes that takes 120 as values, for as long as its call lasts. Small
//! ones are not counted; large ones wait for each other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All values that are counted together: a few of the largest requests.
const BUDGET_BYTES: usize = 512 * 1024 * 1024;

/// Arguments that take less are not counted. Times `pool.slots` they are as much as the budget.
const SMALL_BYTES: usize = 2 * 1024 * 1024;

/// Bytes for which one permit stands.
const UNIT_BYTES: usize = 64 * 1024;

pub(in crate::plugins) struct ArgumentMemory(Arc<Semaphore>);

impl ArgumentMemory {
    pub(in crate::plugins) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_BYTES / UNIT_BYTES)))
    }

    /// Waits until so many bytes are free. They are given back when the result is dropped.
    pub(in crate::plugins) async fn hold(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes < SMALL_BYTES {
            return None;
        }
        // What is larger than the budget has it for itself.
        let units = bytes.min(BUDGET_BYTES).div_ceil(UNIT_BYTES);
        Arc::clone(&self.0).acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn large_arguments_wait_for_each_other_and_small_ones_for_nobody() {
        let memory = ArgumentMemory::new();
        let first = memory.hold(BUDGET_BYTES / 2).now_or_never().unwrap();
        let second = memory.hold(BUDGET_BYTES / 2).now_or_never().unwrap();
        assert!(memory.hold(BUDGET_BYTES * 9).now_or_never().is_none());
        assert!(memory.hold(1000).now_or_never().is_some());
        drop((first, second));
        assert!(memory.hold(BUDGET_BYTES * 9).now_or_never().unwrap().is_some());
    }
}
