//! This server among the others of its store: what the parts of this room share.

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::envelope::Envelopes;
use super::hearing::Heard;
use super::message::{Hint, Message};
use super::peers::{About, Peers, Sender};
use crate::redis::{Fault, Redis};

/// This server among the others.
pub(super) struct Member {
    pub(super) redis: Redis,
    pub(super) envelopes: Envelopes,
    pub(super) hints: broadcast::Sender<Hint>,
    pub(super) heard: Heard,
    pub(super) peers: Peers,
    /// Counts the changes of the servers that write.
    pub(super) primaries: watch::Sender<u64>,
    pub(super) stop: CancellationToken,
}

impl Member {
    /// The channel that only this server hears.
    pub(super) fn own_channel(&self) -> Vec<u8> {
        let own: String = self.envelopes.own().iter().map(|byte| format!("{byte:02x}")).collect();
        self.redis.channel(&own)
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
