//! The keys of maps, each of which may come once.
//!
//! WIT says nothing of a key that comes twice. Here it is refused in both directions: one of two values would be lost
//! silently, or another client would see the other one. The properties of an object are beyond this: of two with one name
//! the JSON parser keeps the last, as it does in records (RFC 8259 §4 leaves it open).

use std::collections::HashSet;

use wasmtime::component::Val;

/// Keys that have been seen, of one map and so of one type.
#[derive(Default)]
pub(super) struct Keys(HashSet<i128>);

impl Keys {
    /// Takes a key that is no string. Returns whether it is the first of its kind; `None` if it can be no key.
    pub(super) fn insert(&mut self, key: &Val) -> Option<bool> {
        let number = match key {
            Val::Bool(value) => i128::from(*value),
            Val::Char(value) => i128::from(u32::from(*value)),
            Val::S8(value) => i128::from(*value),
            Val::U8(value) => i128::from(*value),
            Val::S16(value) => i128::from(*value),
            Val::U16(value) => i128::from(*value),
            Val::S32(value) => i128::from(*value),
            Val::U32(value) => i128::from(*value),
            Val::S64(value) => i128::from(*value),
            Val::U64(value) => i128::from(*value),
            _ => return None,
        };
        Some(self.0.insert(number))
    }
}
