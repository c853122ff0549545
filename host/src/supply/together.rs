//! When what is prepared comes into force: at once on a server alone, and together on the servers of one store.
//!
//! What a server serves already, and what it wants at its start, waits for nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::replicas::{NOTHING, Replicas, Rollout, Turn};

/// The interval between looks at how far others are, in memory, while this server waits for them.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// This server among the others, for what it serves of registries.
pub(super) struct Together {
    replicas: Replicas,
    wanted: Option<Wanted>,
    /// What was served whole; none since the start.
    served: Option<Served>,
}

/// What is served.
struct Served {
    digest: String,
    lines: BTreeSet<String>,
}

/// What is wanted.
struct Wanted {
    digest: String,
    lines: BTreeSet<String>,
    since: Instant,
    /// What is at hand of it is not held back any longer.
    is_released: bool,
    /// What the lock has not got of what the configuration has from registries.
    unlocked: BTreeSet<String>,
}

impl Together {
    pub(super) fn with(replicas: Replicas) -> Self {
        Self { replicas, wanted: None, served: None }
    }

    /// True for a server that has no others.
    pub(super) fn is_alone(&self) -> bool {
        self.replicas.is_alone()
    }

    /// This is what is to be served, as lines that begin with the plugin's name, and what would be if it were locked. Returns the
    /// moment until which what is prepared of it is held back; none if it is not.
    pub(super) async fn want(
        &mut self,
        lines: impl Iterator<Item = String>,
        unlocked: BTreeSet<String>,
        patience: Duration,
    ) -> Option<Instant> {
        let lines: BTreeSet<String> = lines.collect();
        let digest = digest_of(&lines);
        let before = self.wanted.take().filter(|before| before.digest == digest);
        // What is only taken away ends at once.
        let is_new = self.served.as_ref().is_some_and(|served| !lines.is_subset(&served.lines));
        let (since, is_released) = before.map_or((Instant::now(), false), |before| (before.since, before.is_released));
        let wanted = Wanted { digest, lines, since, is_released, unlocked };
        let is_held = is_new && !wanted.is_released && !self.is_alone() && !patience.is_zero();
        let until = is_held.then(|| wanted.since + patience);
        self.wanted = Some(wanted);
        self.say(false).await;
        until
    }

    /// The time is over, and not everything is at hand: the rest is not held back for it.
    pub(super) fn release(&mut self) {
        tracing::warn!(
            "not all plugins that the lock names are at hand after `plugins.update_wait`; those that are come into force"
        );
        if let Some(wanted) = &mut self.wanted {
            wanted.is_released = true;
        }
    }

    /// Everything that is wanted is at hand: waits for its turn, and no longer than `until`.
    pub(super) async fn turn(&self, until: Instant) {
        self.say(true).await;
        let mut waits_for = None;
        while let Turn::After(others) = self.replicas.turn() {
            if Instant::now() >= until {
                tracing::warn!(
                    "other servers have not got the plugins that the lock names after `plugins.update_wait`, and are not waited for any longer: {}",
                    named(&others)
                );
                return;
            }
            if waits_for.as_ref() != Some(&others) {
                tracing::info!(
                    "the plugins that the lock names now are at hand; other servers are waited for: {}",
                    named(&others)
                );
                waits_for = Some(others);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Nobody knows what is to be served: the lock cannot be read.
    pub(super) async fn wants_something_unknown(&mut self) {
        let digest = "a lock that cannot be read".to_owned();
        let (lines, unlocked) = Default::default();
        self.wanted = Some(Wanted { digest, lines, since: Instant::now(), is_released: false, unlocked });
        self.say(false).await;
    }

    /// Everything that is wanted is served.
    pub(super) async fn serves(&mut self) {
        let served = |wanted: &Wanted| Served { digest: wanted.digest.clone(), lines: wanted.lines.clone() };
        self.served = self.wanted.as_ref().map(served);
        self.say(true).await;
    }

    /// Tells others.
    async fn say(&self, is_prepared: bool) {
        let wanted = self.wanted.as_ref().map(|wanted| wanted.digest.clone()).unwrap_or_default();
        let served = self.served.as_ref().map(|served| served.digest.clone()).unwrap_or_default();
        // Of what was released some is served, and of what was served before the rest: neither is whole.
        let is_mixed = served != wanted && self.wanted.as_ref().is_some_and(|wanted| wanted.is_released);
        let served = if is_mixed { String::new() } else { served };
        let is_prepared = is_prepared || served == wanted;
        let name = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        let serves = self.served.iter().flat_map(|served| served.lines.iter().map(name)).collect();
        let unlocked = self.wanted.as_ref().map(|wanted| wanted.unlocked.clone()).unwrap_or_default();
        self.replicas.rolled(Rollout { wanted, is_prepared, served, serves, unlocked }).await;
    }
}

/// A digest of what is wanted, the same wherever the same is; that of nothing has a name.
fn digest_of(lines: &BTreeSet<String>) -> String {
    if lines.is_empty() {
        return NOTHING.to_owned();
    }
    let hash = lines.iter().fold(Sha256::new(), |hash, line| hash.chain_update(line).chain_update("\n")).finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of servers that are waited for.
fn named(others: &[String]) -> String {
    if others.is_empty() { "they have not been heard of late".to_owned() } else { others.join(", ") }
}
