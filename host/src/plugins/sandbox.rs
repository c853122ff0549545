//! The WebAssembly engine, and the containment of calls: places, limits, deadlines, and causes of failures.
//!
//! It knows neither files nor names: a call gets the plugin and its terms.

pub mod address_space;
pub(super) mod argument_memory;
pub(super) mod call;
mod cpu;
pub mod engine;
pub(super) mod gate;
pub(super) mod instance;
pub(super) mod limiter;
pub mod requests;
pub mod runtime;
pub mod traps;
pub(super) mod values;
pub(super) mod warm;
