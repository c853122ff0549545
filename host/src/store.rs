//! The rows that outlive the process: logins under way, sessions, and marks of what may happen only once.
//!
//! Rows have a table, a key and an expiry. [`Store::commit`] changes several of them together under conditions, or
//! none; it is durable when it returns. An expired row is a miss, swept or not. It knows nothing of what its rows mean.
//!
//! A key is always a hash. A value is sealed before a backend sees it, together with its place, revision and expiry:
//! nothing in a backend can be read, moved or changed without the server's key (`docs/store.md`).

mod contract;
mod redis;
mod seal;
mod sqlite;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::contract::Change;
use self::contract::{Backend, now};
pub use self::contract::{Committed, Key, OpenError, Primary, Revision, Row, StoreError, Table, Write};
pub use self::redis::{Lease, Leased, Leases};
use self::redis::{Memory, RedisRows};
use self::seal::{Seal, Sealer};
use self::sqlite::Sqlite;
use crate::metrics::{Metrics, StoreOperation};
use crate::redis::{Address, Redis};
use crate::replicas::hearing::Hearing;
use crate::replicas::{Replicas, at_each_change};
use crate::state::StateDir;

/// A handle to the store.
///
/// A call whose future is dropped may have taken place or not, as with a connection that breaks.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    sealer: Sealer,
    metrics: Metrics,
    replicas: Replicas,
    leases: Option<Leases>,
    /// Time for which what is known is honoured while the store is away.
    stale: Duration,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Opens the store in the state directory, or makes it, and starts its sweeper. Call it in a runtime.
    ///
    /// The whole store is read once and checked for damage. It is closed when `stop` is cancelled: later calls fail.
    /// `tracker` waits for that.
    ///
    /// # Errors
    /// [`OpenError`]: a store that cannot be read is never replaced by an empty one.
    pub fn open(state: &StateDir, tracker: &TaskTracker, stop: CancellationToken) -> Result<Self, OpenError> {
        let sealer = Sealer::of(state);
        let backend = Arc::new(Sqlite::open(state, &sealer, tracker, stop)?);
        let (metrics, replicas, leases) = Default::default();
        Ok(Self { backend, sealer, metrics, replicas, leases, stale: Duration::MAX })
    }

    /// The store that several servers share. What is known of it is honoured for `stale` while it is away. Call it in a
    /// runtime.
    pub fn shared(redis: Redis, replicas: &Replicas, state: &StateDir, stale: Duration) -> Self {
        let sealer = Sealer::shared(state, &redis);
        let backend = Arc::new(RedisRows::new(redis, replicas.clone()));
        if let Some(changes) = replicas.changes_of_primary() {
            let backend = Arc::downgrade(&backend);
            tokio::spawn(at_each_change(changes, "sessions that ended of late could not be ended again", move || {
                let backend = backend.upgrade()?;
                Some(async move { backend.repeat_removals().await })
            }));
        }
        let leases = Some(backend.leases());
        Self { backend, sealer, metrics: Metrics::default(), replicas: replicas.clone(), leases, stale }
    }

    /// The other servers of this store.
    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// The leases of its rows, by which its servers take turns; none of a server alone.
    pub fn leases(&self) -> Option<&Leases> {
        self.leases.as_ref()
    }

    /// True if what was read at a time may still be acted on while the store cannot be read.
    pub fn honours(&self, read: Instant) -> bool {
        let verified = match self.replicas.hearing() {
            // A server alone has changed everything itself.
            Hearing::Alone => return true,
            // Whatever is known was read before it was written otherwise.
            Hearing::Outdated => return false,
            Hearing::Clear | Hearing::Deaf => read,
            // Up to the last beat every change was heard.
            Hearing::Away(heard) => read.max(heard),
        };
        verified.elapsed() <= self.stale && !self.stale.is_zero()
    }

    /// Opens what several servers share, or makes it if it `may_make` it: only with the root key that it was written under,
    /// or one that is listed as an earlier one. The state directory remembers which store it was: one that was emptied, or
    /// made anew, is not taken for it.
    ///
    /// # Errors
    /// [`crate::redis::OpenError`].
    pub async fn connect(
        address: &Address,
        state: &StateDir,
        may_make: bool,
    ) -> Result<Redis, crate::redis::OpenError> {
        let sealer = Sealer::of(state);
        let fresh = may_make.then_some(|| sealer.check_value());
        let memory = Memory::open(state, address);
        let redis =
            Redis::open(address, memory.mark().as_ref(), fresh, |value| sealer.check(value) == Seal::Sound).await?;
        memory.keep(redis.mark());
        Ok(redis)
    }

    /// Looks whether [`Self::connect`] would have a store, and changes nothing. Without a state directory its key is not tried.
    /// True if a store is there already.
    ///
    /// # Errors
    /// [`crate::redis::OpenError`].
    pub async fn look(address: &Address, state: Option<&StateDir>) -> Result<bool, crate::redis::OpenError> {
        let sealer = state.map(Sealer::of);
        let known = state.and_then(|state| Memory::open(state, address).mark());
        let opens = |value: &[u8]| sealer.as_ref().is_none_or(|sealer| sealer.check(value) == Seal::Sound);
        Redis::look(address, known.as_ref(), opens).await
    }

    /// The same, whose operations are counted.
    #[must_use]
    pub fn counted_in(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// True if there is a store in a state directory.
    pub fn is_there(state: &StateDir) -> bool {
        sqlite::is_there(state)
    }

    /// Writes a copy of the store of a state directory, as it is at one moment, into a file. It may be in use.
    ///
    /// # Errors
    /// The store cannot be read, or the file not written.
    pub fn snapshot(state: &StateDir, into: &std::path::Path) -> Result<(), OpenError> {
        sqlite::snapshot(state, &Sealer::of(state), into)
    }

    /// Seals the store's check value anew, under the current root key. The store may be in use.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn reseal(state: &StateDir) -> Result<(), OpenError> {
        sqlite::reseal(state, &Sealer::of(state))
    }

    /// Reads a row; one that has expired is a miss.
    ///
    /// # Errors
    /// [`StoreError`]: there may be a row or not.
    pub async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>, StoreError> {
        let row = self.timed(StoreOperation::Get, self.backend.get(table, *key, now())).await?;
        row.map(|row| self.sealer.open(table, key, row)).transpose()
    }

    /// A page of a table's rows in the order of their keys, after this key or from the first on. The page is the last one
    /// if it has fewer rows than asked for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, table: Table, after: Option<Key>, limit: usize) -> Result<Vec<(Key, Row)>, StoreError> {
        let rows = self.backend.list(table, after, limit, now()).await?;
        rows.into_iter().map(|(key, row)| Ok((key, self.sealer.open(table, &key, row)?))).collect()
    }

    /// Makes all changes, or none if a condition does not hold. Conditions are about the rows before the commit.
    ///
    /// # Errors
    /// [`StoreError`]: the changes may have been made or not, but never in part.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<Committed, StoreError> {
        let writes: Vec<_> = writes.into_iter().map(|write| self.sealer.seal(write)).collect();
        // Some backends could not do it, and the others would hide that.
        debug_assert!(
            writes.iter().all(|write| matches!(write.change, Change::Remove))
                || writes.windows(2).all(|pair| pair[0].key.place() == pair[1].key.place()),
            "rows that are written together are at one place",
        );
        self.timed(StoreOperation::Commit, self.backend.commit(writes, now())).await
    }

    async fn timed<T>(
        &self,
        operation: StoreOperation,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !self.metrics.is_on() {
            return work.await;
        }
        let began = Instant::now();
        let outcome = work.await;
        self.metrics.store(operation, outcome.is_ok(), began.elapsed());
        outcome
    }
}
