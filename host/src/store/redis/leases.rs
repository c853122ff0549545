//! Leases: for a short time, one server alone does something elsewhere on behalf of a row.
//!
//! A lease is a key beside its row with the random name of its holder in it, and ends by Redis's clock. It protects nothing in
//! the store: a row is changed by compare-and-swap, whoever has the lease. A failover may lose it, as it may any last write.

use std::sync::LazyLock;
use std::time::Duration;

use futures::FutureExt as _;

use super::keys;
use crate::redis::{Fault, Redis, Script, Step};
use crate::store::contract::{Key, Revision, StoreError, Table};

/// `KEYS`: mark, lease, row. `ARGV`: mark, the holder, the life in milliseconds, and the revision and the server that the row
/// must have; both are empty for a holder that goes on. One whose answer was lost is sent again, and finds its own name.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(
        "
if ARGV[4] ~= '' and (redis.call('GETRANGE', KEYS[3], 0, 7) ~= ARGV[4] or ARGV[5] ~= primary) then
  return {primary, 'changed'}
end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return {primary, 'held'} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {primary, 'taken'}
",
    )
});

/// `KEYS`: mark, lease. `ARGV`: mark, the holder.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::reading(
        "
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
return {primary}
",
    )
});

/// The leases of a store.
#[derive(Clone)]
pub struct Leases(Redis);

/// One holder's lease of one row, taken or not.
pub struct Lease {
    table: Table,
    key: Key,
    holder: [u8; 16],
}

/// The answer to whoever wants a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leased {
    /// It has it.
    Taken,
    /// Another one has it.
    Held,
    /// The row is not as it was read.
    Changed,
}

impl Lease {
    /// A lease of a row, for a holder of its own.
    pub fn of(table: Table, key: Key) -> Self {
        Self { table, key, holder: rand::random() }
    }
}

impl Leases {
    pub(in crate::store) fn new(redis: Redis) -> Self {
        Self(redis)
    }

    /// Takes a lease for so long, if nobody has it and its row is still as it was read.
    ///
    /// # Errors
    /// [`StoreError`]: it was taken or not, and ends by itself.
    pub async fn take(&self, lease: &Lease, read: Revision, life: Duration) -> Result<Leased, StoreError> {
        self.try_take(lease, (&read.number.to_le_bytes(), &read.primary.text()), life).await
    }

    /// Lets a lease that was taken live on for so long, from now on. One that has ended or was lost is taken again. True
    /// unless another has it by now.
    ///
    /// # Errors
    /// [`StoreError`]: it lives on or not.
    pub async fn keep(&self, lease: &Lease, life: Duration) -> Result<bool, StoreError> {
        Ok(self.try_take(lease, (b"", ""), life).await? == Leased::Taken)
    }

    /// Ends a lease, if this holder has it.
    ///
    /// # Errors
    /// [`StoreError`]: it has ended, or will by itself.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let step = Step::default().key(keys::lease(&self.0, lease.table, &lease.key)).argument(lease.holder);
        self.0.run_until_done(&RELEASE, keys::place(&lease.key), step).boxed().await?;
        Ok(())
    }

    async fn try_take(
        &self,
        Lease { table, key, holder }: &Lease,
        (number, primary): (&[u8], &str),
        life: Duration,
    ) -> Result<Leased, StoreError> {
        let step = Step::default()
            .key(keys::lease(&self.0, *table, key))
            .key(keys::row(&self.0, *table, key))
            .argument(*holder)
            .number(life.as_millis())
            .argument(number)
            .argument(primary);
        let answer = self.0.run_until_done(&TAKE, keys::place(key), step).boxed().await?;
        match answer.values.first().map(Vec::as_slice) {
            Some(b"taken") => Ok(Leased::Taken),
            Some(b"held") => Ok(Leased::Held),
            Some(b"changed") => Ok(Leased::Changed),
            _ => Err(Fault::Unexpected("no word about a lease").into()),
        }
    }
}
