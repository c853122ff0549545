//! When what is prepared comes into force: at once on a server alone, and together on the servers of one store.
//!
//! What a server serves already, and what it wants at its start, waits for nobody.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::replicas::{Replicas, Rollout, Turn};

/// The interval between looks at how far others are, in memory, while this server waits for them.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// This server among the others, for what it serves of registries.
pub(super) struct Together {
    replicas: Replicas,
    /// A digest of what is wanted, and since when.
    wanted: Option<(String, Instant)>,
    /// A digest of what was served whole; none since the start.
    served: Option<String>,
}

impl Together {
    pub(super) fn with(replicas: Replicas) -> Self {
        Self { replicas, wanted: None, served: None }
    }

    /// This is what is to be served, as lines. Returns the moment until which what is prepared of it is held back; none if it is
    /// not.
    pub(super) async fn want(&mut self, lines: impl Iterator<Item = String>, patience: Duration) -> Option<Instant> {
        let digest = lines.fold(Sha256::new(), |digest, line| digest.chain_update(line).chain_update("\n")).finalize();
        let wanted: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let since = match self.wanted.take() {
            Some((before, since)) if before == wanted => since,
            _ => Instant::now(),
        };
        let is_new = self.served.as_ref().is_some_and(|served| *served != wanted);
        self.wanted = Some((wanted, since));
        self.say(false).await;
        (is_new && !self.replicas.is_alone() && !patience.is_zero()).then(|| since + patience)
    }

    /// Everything that is wanted is at hand: waits for its turn, and no longer than `until`.
    pub(super) async fn turn(&self, until: Instant) {
        self.say(true).await;
        let mut waits_for = Vec::new();
        while let Turn::After(others) = self.replicas.turn() {
            if Instant::now() >= until {
                tracing::warn!(
                    "other servers have not got the plugins that the lock names after `plugins.update_wait`, and are not waited for any longer: {}",
                    if others.is_empty() { "none of them is heard".to_owned() } else { others.join(", ") }
                );
                return;
            }
            if others != waits_for {
                tracing::info!(
                    "the plugins that the lock names now are at hand; other servers are waited for: {}",
                    others.join(", ")
                );
                waits_for = others;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Everything that is wanted is served.
    pub(super) async fn serves(&mut self) {
        self.served = self.wanted.as_ref().map(|(wanted, _)| wanted.clone());
        self.say(true).await;
    }

    /// Tells others.
    async fn say(&self, is_prepared: bool) {
        let wanted = self.wanted.as_ref().map(|(wanted, _)| wanted.clone()).unwrap_or_default();
        let served = self.served.clone().unwrap_or_default();
        let is_prepared = is_prepared || served == wanted;
        self.replicas.rolled(Rollout { wanted, is_prepared, served }).await;
    }
}
