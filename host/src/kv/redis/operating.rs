//! Operations on the entries of one space: what they are about is read, decided on, and written if the space is still as it
//! was read; else all of it begins anew.

use std::time::Duration;

use super::layout::{self, At, FROZEN, Head};
use super::shared::{EXPIRED, Opened, Shared, Sight, Written};
use crate::kv::operations::{self, Changes, Decided, Look, Part, Seen};
use crate::kv::request::{KvError, Operation, Outcome, Space};

/// Times that a write begins anew because another server was quicker.
const TRIES: u32 = 60;

/// The longest pause before the next of them.
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// The time that a plugin is told to wait whose write was never the quickest.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The end of an attempt.
enum Stop {
    Kv(KvError),
    /// What has expired has to be known.
    NeedsRoom,
}

impl From<KvError> for Stop {
    fn from(error: KvError) -> Self {
        Self::Kv(error)
    }
}

impl Shared {
    /// Does something with the entries of one space.
    pub(super) async fn operate(
        &self,
        space: &Space,
        quota_bytes: u64,
        operation: &Operation,
    ) -> Result<Outcome, KvError> {
        let opened = self.opened().await?;
        let at = At { name: opened.sealer.name(space) };
        match Look::of(operation) {
            Look::Entries { names, part } => {
                let is_write = operation.written().next().is_some();
                let _turn = if is_write { Some(self.turn(at).await?) } else { None };
                self.decide(&opened, at, space, quota_bytes, operation, &names, part).await
            }
            Look::Names { prefix, cursor } => self.names(&opened, at, prefix, cursor).await,
            Look::NamesInTurn { after } => self.names_in_turn(&opened, at, after).await,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all of it is the one operation")]
    async fn decide(
        &self,
        opened: &Opened,
        at: At,
        space: &Space,
        quota_bytes: u64,
        operation: &Operation,
        names: &[&str],
        part: Part,
    ) -> Result<Outcome, KvError> {
        let (mut tries, mut most_expired) = (0, 0);
        while tries < TRIES {
            let Sight { now, head, expired, rows } = self.look(opened, at, names, part, most_expired).await?;
            let held = head.as_ref().map(|head| head.open(&opened.sealer, at)).transpose()?;
            let mut seen = Seen::new(now, held);
            for (name, row) in names.iter().zip(&rows) {
                seen.add(&opened.sealer, name, layout::read_entry(row)?)?;
            }
            let with_expired = || if most_expired == 0 { Err(Stop::NeedsRoom) } else { Ok(expired.clone()) };
            let decided = operations::decide(&opened.sealer, space, quota_bytes, operation, seen, with_expired);
            let changes = match decided {
                Ok(Decided { outcome, changes: None }) => return Ok(outcome),
                Ok(Decided { outcome, changes: Some(changes) }) => (outcome, changes),
                Err(Stop::NeedsRoom) => {
                    most_expired = EXPIRED;
                    continue;
                }
                // There is more to remove before there is no room.
                Err(Stop::Kv(KvError::Quota { .. })) if expired.len() >= EXPIRED => {
                    // One that another server hinders, or that is being handed over, is no endless loop.
                    let removed = self.remove_expired(opened, at, head, expired).await?;
                    tries += u32::from(removed == Written::Conflict);
                    continue;
                }
                Err(Stop::Kv(error)) => return Err(error),
            };
            let (outcome, Changes { space: held, entries }) = changes;
            let before = head.as_ref().map(|head| head.version);
            if before == Some(FROZEN) {
                return Err(handed());
            }
            let head = match head {
                Some(head) => head.next(held.bytes, held.turn),
                None => Head {
                    version: layout::new_version(),
                    bytes: held.bytes,
                    turn: held.turn,
                    seal: opened.sealer.seal_named(&at.name, &space.plugin, &held.sealed),
                },
            };
            if self.commit(opened, at, before, &head, &entries).await? == Written::Done {
                return Ok(outcome);
            }
            tries += 1;
            let most = Duration::from_millis(u64::from(tries)).min(PAUSE_MAX);
            tokio::time::sleep(most.mul_f64(rand::random())).await;
        }
        Err(KvError::TooManyWrites { retry_after: RETRY_AFTER })
    }
}

fn handed() -> KvError {
    KvError::Unavailable(
        "it is being handed to another plugin: the operator's `tinymcp kv OLD move NEW` has to end".to_owned(),
    )
}
