//! What this server has removed of late, to be removed again when another server writes.

use crate::replicas::OfLate;
use crate::store::contract::{Change, Key, SealedWrite, Table};

/// The tables whose rows must not come back: what ends is a login, or a token of a machine.
const ENDED_FOR_GOOD: [Table; 2] = [Table::Session, Table::Machine];

#[derive(Default)]
pub(super) struct Removed(OfLate<(Table, Key)>);

impl Removed {
    /// Notes removals that are done.
    pub(super) fn note(&self, writes: &[SealedWrite]) {
        let is_end =
            |write: &&SealedWrite| matches!(write.change, Change::Remove) && ENDED_FOR_GOOD.contains(&write.table);
        self.0.note(writes.iter().filter(is_end).map(|write| (write.table, write.key)));
    }

    pub(super) fn of_late(&self) -> Vec<(Table, Key)> {
        self.0.all()
    }
}
