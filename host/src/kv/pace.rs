//! The pace of writes: a space is written so fast and no faster, so that a plugin in a loop leaves the disk to others.
//!
//! A write that comes too early waits for its turn. One that would have to wait long is refused, with the time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::request::{KvError, Operation, Owner, Space};

/// Time that a write of up to [`UNIT_BYTES`] takes of a space's pace: 500 a second, 2 MB of them.
const UNIT: Duration = Duration::from_millis(2);

/// Bytes of a value that count as one write more: a page of the file.
const UNIT_BYTES: usize = 4096;

/// Writes that a space may make at once after a pause: as long as these take at its pace.
const BURST: Duration = Duration::from_secs(1);

/// The longest that a write waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Spaces that are remembered before those that have paused are forgotten.
const REMEMBERED: usize = 4096;

/// The moment until which the writes of each space have taken its pace.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<Key, Instant>>);

/// A plugin, and a person if there is one.
type Key = (String, Option<[u8; 32]>);

impl Pace {
    /// Waits for the turn of an operation.
    ///
    /// # Errors
    /// It would have to wait too long.
    pub(super) async fn wait(&self, space: &Space, operation: &Operation) -> Result<(), KvError> {
        match self.turn(Instant::now(), space, cost(operation))? {
            Duration::ZERO => {}
            wait => tokio::time::sleep(wait).await,
        }
        Ok(())
    }

    /// Takes a turn, and returns the time until it comes.
    fn turn(&self, now: Instant, space: &Space, cost: Duration) -> Result<Duration, KvError> {
        if cost.is_zero() {
            return Ok(Duration::ZERO);
        }
        let person = match &space.owner {
            Owner::Plugin => None,
            Owner::Person(person) => Some(person.id),
        };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= REMEMBERED {
            taken.retain(|_, until| *until > now);
        }
        let until = taken.entry((space.plugin.clone(), person)).or_insert(now);
        let begins = (*until).max(now);
        let wait = begins.saturating_duration_since(now).saturating_sub(BURST);
        if wait > PATIENCE {
            return Err(KvError::TooManyWrites { retry_after: wait });
        }
        *until = begins + cost;
        Ok(wait)
    }
}

fn cost(operation: &Operation) -> Duration {
    let units: usize = operation.written().map(|bytes| 1 + bytes / UNIT_BYTES).sum();
    UNIT.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::request::Value;

    fn space(plugin: &str) -> Space {
        Space { plugin: plugin.to_owned(), owner: Owner::Plugin }
    }

    fn set(bytes: usize) -> Operation {
        Operation::Set { entries: vec![("a".to_owned(), Value(vec![0; bytes]))], ttl: None }
    }

    #[test]
    fn a_burst_is_free_and_what_follows_waits_for_its_turn() {
        let (pace, start) = (Pace::default(), Instant::now());
        let mut waits = (0..2000).map(|_| pace.turn(start, &space("a"), cost(&set(10))));
        assert!(waits.by_ref().take(501).all(|wait| wait == Ok(Duration::ZERO)));
        assert_eq!(waits.next().unwrap(), Ok(UNIT));
        let refused = waits.find(Result::is_err).unwrap();
        assert!(matches!(refused, Err(KvError::TooManyWrites { retry_after }) if retry_after > PATIENCE));
        assert_eq!(pace.turn(start, &space("b"), cost(&set(10))), Ok(Duration::ZERO), "others are not concerned");
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.turn(later, &space("a"), cost(&set(10))), Ok(Duration::ZERO));
    }

    #[test]
    fn large_values_and_many_entries_count_for_more_and_reads_for_nothing() {
        assert_eq!(cost(&set(0)), UNIT);
        assert_eq!(cost(&set(1024 * 1024)), 257 * UNIT);
        assert_eq!(cost(&Operation::Delete { names: vec![String::new(); 7] }), 7 * UNIT);
        assert_eq!(cost(&Operation::Get { names: vec![String::new(); 7] }), Duration::ZERO);
    }
}
