//! The WebAssembly engine, and what contains a call of a guest: places, limits, deadlines, and what became of it.
//!
//! It knows neither files nor names: a call is handed what is served.

pub(super) mod argument_memory;
pub(super) mod call;
pub mod engine;
pub(super) mod gate;
pub(super) mod instance;
pub(super) mod limiter;
pub mod requests;
pub mod runtime;
pub mod traps;
pub(super) mod warm;
