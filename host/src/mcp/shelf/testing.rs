//! Shelves for tests.

use std::time::Duration;

use super::Shelf;
use crate::redis::testing::TestRedis;
use crate::replicas::Replicas;
use crate::state::{Secrets, StateDir};
use crate::store::Store;

/// Shelves in a Redis of their own, which ends with them.
pub(in crate::mcp) struct Shelves {
    _redis: TestRedis,
    _scratch: tempfile::TempDir,
    pub(in crate::mcp) state: StateDir,
    pub(in crate::mcp) shelf: Shelf,
}

pub(in crate::mcp) async fn shelves() -> Shelves {
    let (redis, scratch) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let state = StateDir::open(scratch.path(), &Secrets::default()).unwrap();
    let connected = Store::connect(&redis.address(), &state, true).await.unwrap();
    let store = Store::shared(connected, &Replicas::default(), &state, Duration::from_secs(1));
    let shelf = Shelf::new(store, &state, 1 << 20);
    Shelves { _redis: redis, _scratch: scratch, state, shelf }
}
