//! The WebAssembly engine: one per process, with its pool of instances, its clock and its slow lane.
//!
//! It knows WebAssembly, and neither plugins, nor imports, nor callers.

mod clock;
mod lane;
pub(in crate::plugins) mod pace;
mod turns;

use std::fs;
use std::hash::{Hash, Hasher};

use wasmparser::WasmFeatures;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use self::clock::Clock;
pub(in crate::plugins) use self::clock::{TICK, TickGuard};
pub(in crate::plugins) use self::lane::{Lane, SlowFlag, nice};
pub(in crate::plugins) use self::turns::Share;

/// The WebAssembly features that components may use.
///
/// Async is on since jco's QuickJS components call `task.cancel`; concurrency itself costs a call nothing that can be
/// measured. `error-context` is off: those that a guest makes take memory of the host, without a bound. So are lists of
/// fixed length, of which the engine itself says that they are not done.
pub(in crate::plugins) const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::THREADS)
    .difference(WasmFeatures::MEMORY64)
    .union(WasmFeatures::COMPONENT_MODEL)
    .union(WasmFeatures::CM_ASYNC)
    .union(WasmFeatures::CM_MAP);

/// Stack of a guest's WebAssembly frames. A deeper recursion traps; 1 MiB is what native threads of small programs get.
const WASM_STACK_BYTES: usize = 1024 * 1024;

/// Stack of the fiber that a call runs on: the guest's frames, and the host functions that it calls beneath them.
const FIBER_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Core instances, tables and memories that one component may have. Python's runtime has eleven instances;
/// the bounds only stop a component that is made of nothing else.
pub(in crate::plugins) const MAX_INSTANCES: u32 = 128;
pub(in crate::plugins) const MAX_TABLES: u32 = 64;
pub(in crate::plugins) const MAX_MEMORIES: u32 = 16;

/// Elements of one table. Tables hold a program's indirectly called functions: large runtimes have some ten thousand.
pub(in crate::plugins) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Tables and memories that the pool holds for each slot. Most components have one memory and up to three tables;
/// the few with more take those of idle slots.
const TABLES_PER_SLOT: u32 = 8;
const MEMORIES_PER_SLOT: u32 = 2;

/// Memory of a pooled slot that stays resident between calls, set back by hand instead of by the kernel: all that
/// a small Rust guest has, whose stack alone takes the first MiB. Writing it anew takes some 20 µs; having the kernel take
/// it away interrupts every processor that runs the server, and costs three times that.
///
/// After a rush of calls this much stays for each slot that was used at the same time.
const KEEP_RESIDENT_BYTES: usize = 1280 * 1024;

/// The way in which the memory of a call is made clean for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaning {
    /// All of it goes back to the kernel, but for [`KEEP_RESIDENT_BYTES`].
    Whole,
    /// Only pages that the kernel reports as written are set back, where it can tell and its reports are true.
    Scan,
}

/// The engine of this process.
pub struct Engine {
    wasm: wasmtime::Engine,
    clock: Clock,
    lane: Lane,
}

impl Engine {
    /// Starts the engine with room for so many instances at once.
    ///
    /// The pool reserves address space for every slot, some gigabytes each. Where the system does not give so much
    /// (`ulimit -v`, strict overcommit), instances are allocated on demand, which costs a call some 30 µs.
    ///
    /// # Errors
    /// When the processor or the system cannot run WebAssembly code as configured, or no thread can be started.
    pub(in crate::plugins) fn new(instances: u32, cleaning: Cleaning) -> wasmtime::Result<Self> {
        let wasm = match wasmtime::Engine::new(&config(Some(pool(instances, cleaning.possible())))) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!(
                    instances,
                    error = format!("{error:#}"),
                    "no address space for the instance pool; calls allocate on demand, which is slower: lower `pool.slots`"
                );
                wasmtime::Engine::new(&config(None))?
            }
        };
        let clock = Clock::start(wasm.clone())?;
        Ok(Self { wasm, clock, lane: Lane::start()? })
    }

    pub(in crate::plugins) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// The threads for guests that need more than a moment.
    pub(in crate::plugins) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Keeps the clock ticking while the result lives.
    pub(in crate::plugins) fn tick(&self) -> TickGuard {
        self.clock.tick()
    }

    /// Names the code that this engine makes: compiled code is only good for an engine of the same name.
    pub(in crate::plugins) fn code_version(&self) -> String {
        code_version(&self.wasm)
    }
}

/// An engine that makes the same code as [`Engine`] and runs none: it has no pool, on which code does not depend.
///
/// # Errors
/// When the processor cannot run WebAssembly code as configured.
pub(in crate::plugins) fn compiling_engine() -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&config(None))
}

/// Names the code that an engine makes, with 32 characters.
pub(in crate::plugins) fn code_version(engine: &wasmtime::Engine) -> String {
    let mut hasher = Blake3Hasher(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().to_hex()[..32].to_owned()
}

/// The engine's configuration: features and code generation. Everything that changes code is part of the cache's key.
fn config(pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config.wasm_features(FEATURES, true).wasm_features(FEATURES.complement(), false);
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(FIBER_STACK_BYTES);
    // Only system unwinders and debuggers read it; a tenth of the code's size.
    config.native_unwind_info(false);
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

fn pool(slots: u32, cleaning: Cleaning) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(MAX_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES_PER_SLOT))
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(slots)
        .max_core_instances_per_component(MAX_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_component_instance_size(4 * 1024 * 1024)
        .max_core_instance_size(4 * 1024 * 1024)
        .max_tables_per_module(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(match cleaning {
            Cleaning::Whole => Enabled::No,
            Cleaning::Scan => Enabled::Auto,
        });
    pool
}

impl Cleaning {
    /// Falls back where a scan is impossible, or would miss something.
    ///
    /// The scan of wasmtime 48 looks for pages that are present. One that was swapped out meanwhile is not, and the next
    /// call in this slot would read what the last one wrote (bytecodealliance/wasmtime#14357).
    fn possible(self) -> Self {
        if self == Self::Whole {
            return self;
        }
        let obstacle = if !PoolingAllocationConfig::is_pagemap_scan_available() {
            "this kernel cannot tell which pages were written"
        } else if may_swap() {
            "this machine has swap, and a page that was swapped out would be missed"
        } else {
            return self;
        };
        tracing::warn!("`pool.scan` is on and has no effect: {obstacle}");
        Self::Whole
    }
}

/// True if the kernel swaps to anything. A setting that cannot be read may mean yes.
fn may_swap() -> bool {
    fs::read_to_string("/proc/swaps").map_or(true, |swaps| lists_swap(&swaps))
}

/// `/proc/swaps` is one line of headings, and one for each device or file.
fn lists_swap(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| !line.trim().is_empty())
}

/// Lets `std::hash::Hash` values be hashed with a function that stays the same over releases of Rust.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn finish(&self) -> u64 {
        let digest = self.0.finalize();
        u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_a_line_below_the_headings() {
        let headings = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!lists_swap(headings) && !lists_swap(""));
        assert!(lists_swap(&format!("{headings}/swapfile file\t\t524284\t\t0\t\t-2\n")));
    }
}
