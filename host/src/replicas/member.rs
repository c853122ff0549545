//! This server among the others of its store: what the parts of this room share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::envelope::Envelopes;
use super::hearing::Heard;
use super::message::{Hint, Message};
use super::peers::{About, Peers, Sender, name_of};
use crate::redis::{Fault, Redis};
use crate::state::StateDir;

/// Time within which the store answers a beat; then it counts as away.
pub(super) const ANSWER_MAX: Duration = Duration::from_millis(400);

/// Hints that wait for a part of this server that is slow to look. One that misses some looks at everything.
const WAITING_MAX: usize = 4096;

/// This server among the others.
pub(super) struct Member {
    pub(super) redis: Redis,
    pub(super) envelopes: Envelopes,
    pub(super) hints: broadcast::Sender<Hint>,
    pub(super) heard: Heard,
    pub(super) peers: Peers,
    /// What is wrong with the store, which takes part all the same.
    pub(super) unfit: Mutex<Option<String>>,
    /// Counts the changes of the servers that write.
    pub(super) primaries: watch::Sender<u64>,
    /// Cancelled when this server leaves the others: it ends, or does not read any more what they write.
    pub(super) left: CancellationToken,
}

impl Member {
    /// A server that has heard nothing yet.
    pub(super) fn new(redis: Redis, state: &StateDir, about: About, stop: &CancellationToken) -> Self {
        Self {
            redis,
            envelopes: Envelopes::of(state),
            hints: broadcast::Sender::new(WAITING_MAX),
            heard: Heard::default(),
            peers: Peers::new(about),
            unfit: Mutex::default(),
            primaries: watch::Sender::default(),
            left: stop.child_token(),
        }
    }

    /// Looks whether the store is still as it has to be.
    pub(super) async fn look_at_store(&self) {
        let Ok(unfit) = self.redis.unfit().await else { return };
        let mut known = self.unfit.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == unfit {
            return;
        }
        match &unfit {
            Some(unfit) => tracing::error!("{unfit}; no server would start with it"),
            None => tracing::info!("the shared store is as it has to be again"),
        }
        *known = unfit;
    }

    /// All others that are there have been heard of late.
    pub(super) fn has_heard_all(&self) -> bool {
        self.heard.unbroken_for() > self.peers.all_heard_after()
    }

    /// The channel that only this server hears.
    pub(super) fn own_channel(&self) -> Vec<u8> {
        self.redis.channel(&name_of(&self.envelopes.own()))
    }

    pub(super) async fn tell(&self, channel: &[u8], message: &Message) -> Result<(), Fault> {
        self.redis.publish(channel, &self.envelopes.seal(message, self.heard.time_ms())).await
    }

    /// Another server says what it is.
    pub(super) fn heard_of(&self, sender: Sender, about: &About) {
        if self.peers.note(sender, about) {
            tracing::info!(name = about.name, version = about.version, "another server of the shared store is there");
        }
    }
}
