//! Who a client is.

pub mod document;
