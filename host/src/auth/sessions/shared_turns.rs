//! The shared half of [`super::turns`]: of the servers of one store, one at a time asks the provider about a session.
//!
//! Providers take a refresh token once, and some end the login of one that comes twice. So whoever is about to ask takes a
//! lease of the session's row first, and only while that is as it was read. The others wait until the row has changed, read
//! it again, and mostly find that nothing is due any more. A refresh in which the provider is not asked takes none.
//!
//! A lease is kept up while its holder has something under way: the question, however long it takes, and then the answer
//! until the row has it. It ends [`LIFE`] after its holder has died, and at once when the provider has said nothing of use.
//! After a gap nobody takes a turn for a moment ([`SETTLED`]), but for those who had one. What it cannot do is in
//! `docs/replicas.md`: whatever comes of a second question, the row has one winner.
//!
//! A server alone has turns in its own process, and pays nothing here.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::replicas::Replicas;
use crate::store::{Key, Lease, Leased, Leases, Revision, Store, StoreError, Table};

/// The life of a lease that is not kept up: longer than most failovers take, and short enough that whoever waits for a server
/// that was killed still gets an answer.
const LIFE: Duration = Duration::from_secs(10);

/// Times that a lease is kept up within its life.
const KEPT_UP: u32 = 5;

/// The time after a gap in which nobody takes a turn: the store may have lost turns, or they have run out. Whoever had one takes
/// it again before, and writes down what it has.
const SETTLED: Duration = Duration::from_secs(3);

/// Looks at a lease that another server has: the first pause between two, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(250);

const OVERTAKEN: &str = "another server has begun to renew a session at the provider while this one does: this server was stopped for long, or the shared store has lost a turn. If the provider takes a refresh token once, the session may end";

/// The turns of all servers.
pub(super) struct SharedTurns {
    leases: Option<Leases>,
    replicas: Replicas,
    life: Duration,
    in_flight: TaskTracker,
}

/// A server's turn, until it is dropped; that of a server alone is nothing.
#[derive(Default)]
pub(super) struct SharedTurn {
    _over: Option<DropGuard>,
}

/// What came of the wait for a turn.
pub(super) enum Waited {
    /// It is this server's turn, and the row is as it was read.
    Turn(SharedTurn),
    /// The row has changed, or is gone: it has to be read again.
    Changed,
    /// Another server asks, and has been asking for too long to wait for it.
    Busy,
}

impl SharedTurns {
    pub(super) fn of(store: &Store, in_flight: TaskTracker) -> Self {
        Self { leases: store.leases().cloned(), replicas: store.replicas().clone(), life: LIFE, in_flight }
    }

    /// Waits for the turn to ask about the session of a row that was read.
    ///
    /// # Errors
    /// [`StoreError`]. A turn that was taken all the same ends by itself.
    pub(super) async fn take(&self, row: Key, read: Revision) -> Result<Waited, StoreError> {
        let Some(leases) = &self.leases else { return Ok(Waited::Turn(SharedTurn::default())) };
        self.settled().await;
        let (lease, began, mut pause) = (Lease::of(Table::Session, row), Instant::now(), PAUSE_MIN);
        loop {
            match leases.take(&lease, read, self.life).await? {
                Leased::Taken => return Ok(Waited::Turn(self.keep_up(leases.clone(), lease))),
                Leased::Changed => return Ok(Waited::Changed),
                // Longer than a dead holder's lease lives.
                Leased::Held if began.elapsed() > self.life + self.life / 2 => return Ok(Waited::Busy),
                Leased::Held => sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Waits until turns of before a gap are there again; for so long at most, since a server that never hears the others
    /// must go on too.
    async fn settled(&self) {
        let began = Instant::now();
        while began.elapsed() < SETTLED && self.replicas.unbroken_for() < SETTLED {
            sleep(PAUSE_MAX).await;
        }
    }

    /// Keeps a lease up until the turn is over, and ends it then.
    fn keep_up(&self, leases: Leases, lease: Lease) -> SharedTurn {
        let (over, life) = (CancellationToken::new(), self.life);
        let turn = SharedTurn { _over: Some(over.clone().drop_guard()) };
        self.in_flight.spawn(async move {
            while over.run_until_cancelled(sleep(life / KEPT_UP)).await.is_some() {
                match leases.keep(&lease, life).await {
                    Ok(true) => {}
                    Ok(false) => return tracing::warn!("{OVERTAKEN}"),
                    Err(error) => tracing::debug!(%error, "a turn at the provider could not be kept up"),
                }
            }
            if let Err(error) = leases.release(&lease).await {
                tracing::debug!(%error, "a turn at the provider could not be ended, and ends by itself");
            }
        });
        turn
    }
}

#[cfg(test)]
mod tests;
