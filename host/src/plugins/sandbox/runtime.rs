//! The host's side of every call, set up once: a call then costs a fresh [`wasmtime::Store`], an instantiation and
//! the guest's own work.

use std::sync::Arc;

use wasmtime::component::Linker;

use super::address_space::AddressSpace;
use super::argument_memory::ArgumentMemory;
use super::engine::{Cleaning, Engine};
use super::gate::Gate;
use super::warm::Warm;
use crate::plugins::announcements::Announcements;
use crate::plugins::imports::guest::Guest;
use crate::plugins::imports::linker;
use crate::plugins::services::Services;

/// The engine, and all that calls share.
pub struct Runtime {
    /// Runs WebAssembly.
    pub engine: Engine,
    /// Provides the imports of all components.
    pub(in crate::plugins) linker: Linker<Guest>,
    /// A place for each call that the pool has room for, shared by the people who call.
    pub(in crate::plugins) slots: Arc<Gate>,
    pub(in crate::plugins) arguments: ArgumentMemory,
    /// Instances that are kept for further calls.
    pub(in crate::plugins) warm: Warm,
    pub(in crate::plugins) announcements: Announcements,
    pub(in crate::plugins) services: Arc<Services>,
}

impl Runtime {
    /// Starts the engine with room for `slots` calls at once, and `warm` instances that are kept for further ones.
    ///
    /// Where the system allows less address space than that needs, there is room for fewer.
    ///
    /// # Errors
    /// When the processor or the system cannot run WebAssembly code as configured, or no thread can be started.
    pub fn new(slots: u32, warm: u32, cleaning: Cleaning, services: Services) -> wasmtime::Result<Self> {
        let space = AddressSpace::of(slots.saturating_add(warm));
        if space.is_too_small() {
            return Err(wasmtime::Error::msg(space.to_string()));
        }
        if space.is_short() {
            tracing::warn!("{space}");
        }
        let slots = slots.min(space.fits());
        let warm = warm.min(space.fits() - slots);
        let engine = Engine::new(slots.saturating_add(warm), cleaning)?;
        Ok(Self {
            linker: linker(engine.wasm())?,
            engine,
            slots: Arc::new(Gate::of_pool(slots as usize)),
            arguments: ArgumentMemory::new(),
            warm: Warm::new(warm as usize),
            announcements: Announcements::default(),
            services: Arc::new(services),
        })
    }
}
