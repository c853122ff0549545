//! The bound on a guest's memory.

use wasmtime::ResourceLimiter;

use super::engine::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};

/// Counts all linear memories of a call together, and remembers that it had to refuse:
/// a guest that is refused memory dies of something else, and its caller should hear why.
pub(in crate::plugins) struct Limiter {
    limit_bytes: u64,
    used_bytes: u64,
    refused: bool,
}

impl Limiter {
    pub(in crate::plugins) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: 0, refused: false }
    }

    /// Prepares for the next call of a guest that is kept: its memory stays, and earlier refusals do not count.
    pub(in crate::plugins) fn begin(&mut self) {
        self.refused = false;
    }

    /// True if the guest wanted more memory, or larger tables, than it may have.
    pub(in crate::plugins) fn refused(&self) -> bool {
        self.refused
    }

    fn allow(&mut self, fits: bool) -> bool {
        self.refused |= !fits;
        fits
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used_bytes = self.used_bytes + (desired - current) as u64;
        let fits = used_bytes <= self.limit_bytes;
        if fits {
            self.used_bytes = used_bytes;
        }
        Ok(self.allow(fits))
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.allow(desired <= MAX_TABLE_ELEMENTS))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}
