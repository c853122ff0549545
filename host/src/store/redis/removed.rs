//! What this server has removed of late, to be removed again when another server writes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::contract::{Change, Key, SealedWrite, Table};

/// Time for which a removal is remembered: longer than a failover takes.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most that are; the oldest go.
const MAX: usize = 100_000;

/// The tables whose rows must not come back: what ends is a login, or a token of a machine.
const ENDED_FOR_GOOD: [Table; 2] = [Table::Session, Table::Machine];

#[derive(Default)]
pub(super) struct Removed(Mutex<VecDeque<(Table, Key, Instant)>>);

impl Removed {
    /// Notes removals that are done.
    pub(super) fn note(&self, writes: &[SealedWrite]) {
        let is_end =
            |write: &&SealedWrite| matches!(write.change, Change::Remove) && ENDED_FOR_GOOD.contains(&write.table);
        let mut removed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        removed.extend(writes.iter().filter(is_end).map(|write| (write.table, write.key, Instant::now())));
        while removed.front().is_some_and(|(_, _, at)| at.elapsed() > REMEMBERED) || removed.len() > MAX {
            removed.pop_front();
        }
    }

    pub(super) fn of_late(&self) -> Vec<(Table, Key)> {
        let removed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_late = removed.iter().filter(|(_, _, at)| at.elapsed() <= REMEMBERED);
        of_late.map(|(table, key, _)| (*table, *key)).collect()
    }
}
