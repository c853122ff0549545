//! The store of one server: a SQLite file in the state directory.
//!
//! One thread writes, others read; no call of SQLite is made on a thread of the async runtime. Writes that wait share
//! one transaction, and each caller gets its own answer once that is on the disk (write-ahead log, `synchronous =
//! FULL`).
//!
//! Invariant: a write is answered only after its transaction was committed.

mod check;
mod horizon;
mod lock;
mod open;
mod rows;
mod snapshot;
mod worker;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::horizon::Horizon;
pub(super) use self::open::{is_there, reseal};
pub(super) use self::snapshot::snapshot;
use self::worker::{Queue, WeakQueue, Workers};
use super::contract::{Backend, Committed, Key, Millis, OpenError, SealedRow, SealedWrite, StoreError, Table, now};
use super::seal::Sealer;
use crate::state::StateDir;

/// Time between two sweeps. Expired rows are misses at once; a sweep gives their space back.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Time between two batches of a sweep, in which others write.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// The SQLite backend.
pub(super) struct Sqlite {
    writer: Queue,
    readers: Queue,
}

impl Sqlite {
    /// Opens or makes the file, and starts its threads and its sweeper.
    pub(super) fn open(
        state: &StateDir,
        sealer: &Sealer,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, OpenError> {
        let Workers { writer, readers } = Workers::start(open::open(state, sealer)?, sealer, tracker)?;
        tracker.spawn(maintain(writer.downgrade(), readers.downgrade(), stop));
        Ok(Self { writer, readers })
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn get(&self, table: Table, key: Key, now: Millis) -> Result<Option<SealedRow>, StoreError> {
        self.readers.run(move |connection| rows::get(connection, table, &key, now)).await
    }

    async fn list(
        &self,
        table: Table,
        after: Option<Key>,
        limit: usize,
        now: Millis,
    ) -> Result<Vec<(Key, SealedRow)>, StoreError> {
        self.readers.run(move |connection| rows::list(connection, table, after, limit, now)).await
    }

    async fn commit(&self, writes: Vec<SealedWrite>, now: Millis) -> Result<Committed, StoreError> {
        self.writer.run(move |connection| rows::commit(connection, &writes, now)).await
    }
}

/// Sweeps from time to time, and closes the store when `stop` is cancelled.
async fn maintain(writer: WeakQueue, readers: WeakQueue, stop: CancellationToken) {
    let mut horizon = Horizon::new(Instant::now(), now());
    while stop.run_until_cancelled(tokio::time::sleep(jittered(SWEEP_INTERVAL))).await.is_some() {
        // No handle is left: the threads end by themselves.
        let Some(writer) = writer.upgrade() else { return };
        let Some(horizon) = horizon.at(Instant::now(), now()) else { continue };
        if let Some(Err(error)) = stop.run_until_cancelled(sweep(&writer, horizon)).await {
            tracing::warn!(%error, "expired rows not removed from the store");
        }
    }
    for queue in [writer, readers] {
        if let Some(queue) = queue.upgrade() {
            queue.close().await;
        }
    }
}

/// Removes rows that had expired by then in small transactions, and gives their space back to the system.
async fn sweep(writer: &Queue, horizon: Millis) -> Result<(), StoreError> {
    let mut is_changed = false;
    loop {
        let swept = writer.run(move |connection| rows::sweep(connection, horizon)).await?;
        is_changed |= swept.is_changed;
        if !swept.has_more {
            break;
        }
        tokio::time::sleep(jittered(SWEEP_PAUSE)).await;
    }
    match is_changed {
        true => writer.run_alone(rows::checkpoint).await,
        false => Ok(()),
    }
}

/// Adds or subtracts up to a quarter, so that several servers on one machine do not sweep in step.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.75..1.25))
}
