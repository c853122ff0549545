//! From the bytes of a file to a [`Plugin`](super::plugin::Plugin).
//!
//! It knows nothing of the directory, and nothing of plugins that are loaded already.

pub mod cache;
pub mod compile;
mod component;
mod component_kind;
pub mod error;
mod file_kind;
pub mod interface_names;
pub(super) mod lists;
pub mod loader;
mod queue;
pub mod stack_size;
mod threads;
