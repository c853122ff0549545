//! What every call of a plugin is handed, set up once: a call then costs a fresh [`wasmtime::Store`], an instantiation and
//! the guest's own work.

use std::sync::Arc;

use wasmtime::component::Linker;

use super::announcements::Announcements;
use super::argument_memory::ArgumentMemory;
use super::engine::{Cleaning, Engine};
use super::gate::Gate;
use super::guest::{self, Guest};
use super::warm::Warm;

/// The engine, and all that calls share.
pub struct Runtime {
    /// Runs WebAssembly.
    pub engine: Engine,
    /// Provides the imports of all components.
    pub(super) linker: Linker<Guest>,
    /// A place for each call that the pool has room for, shared by the people who call.
    pub(super) slots: Arc<Gate>,
    pub(super) arguments: ArgumentMemory,
    /// Instances that are kept for further calls.
    pub(super) warm: Warm,
    pub(super) announcements: Announcements,
}

impl Runtime {
    /// Starts the engine with room for `slots` calls at once, and `warm` instances that are kept for further ones.
    ///
    /// # Errors
    /// When the processor or the system cannot run WebAssembly code as configured, or no thread can be started.
    pub fn new(slots: u32, warm: u32, cleaning: Cleaning) -> wasmtime::Result<Self> {
        let engine = Engine::new(slots.saturating_add(warm), cleaning)?;
        Ok(Self {
            linker: guest::linker(engine.wasm())?,
            engine,
            slots: Arc::new(Gate::of_pool(slots as usize)),
            arguments: ArgumentMemory::new(),
            warm: Warm::new(warm as usize),
            announcements: Announcements::new(),
        })
    }
}
