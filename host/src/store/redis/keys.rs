//! The keys of rows, and where they are.

use crate::redis::{Place, Redis};
use crate::store::contract::{Key, Table};

/// The place of a row, and of all that stands beside it.
pub(super) fn place(key: &Key) -> Place {
    Place(key.place())
}

/// The key of a row.
pub(super) fn row(redis: &Redis, table: Table, key: &Key) -> Vec<u8> {
    redis.key(place(key), &format!("r{}", table.id()), &key.0)
}

/// The key of its lease.
pub(super) fn lease(redis: &Redis, table: Table, key: &Key) -> Vec<u8> {
    redis.key(place(key), &format!("l{}", table.id()), &key.0)
}
