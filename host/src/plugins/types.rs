//! A WIT type as the host sees it, and its faces: JSON Schema, JSON values, text, and documentation.
//!
//! It knows types, and neither files nor calls.

pub mod codec;
mod display;
pub mod docs;
pub mod schema;
pub mod shape;
pub(super) mod uris;
pub(super) mod validator;
