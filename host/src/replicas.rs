//! What servers that share a store tell each other.
//!
//! They tell hints to look: which rows have changed, and that what is switched off has changed. Whoever hears one reads the
//! store; nothing that decides about anybody is ever in a message. Messages go through the shared store's own channels
//! ([`crate::redis`]), sealed under the root key with their sender, number and time ([`envelope`]).
//!
//! - `message`: what is told. `member`: what the parts of this room share. `envelope`: a message as it travels, and what makes it a replay. `hearing`: whether this server hears what is told.
//!   `subscription`: the connection that hears. `beat`: this server's own beat, which it hears itself, and what it says of
//!   itself to others. `peers`: the others, as they say.
//!
//! Invariant: a message is heard, or this server knows within [`hearing::SILENCE_MAX`] that it may have missed one. What
//! was known then is read anew.

mod beat;
mod envelope;
pub mod hearing;
mod member;
mod message;
mod peers;
mod subscription;

use std::fmt;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::hearing::Hearing;
use self::member::Member;
pub use self::message::Hint;
use self::message::Message;
pub use self::peers::{About, Peer};
use crate::redis::{Fault, Redis};
use crate::state::StateDir;

/// The other servers, for one of several; or nobody, for a server alone.
#[derive(Clone, Default)]
pub struct Replicas(Option<Arc<Member>>);

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Replicas(..)" } else { "Replicas(alone)" })
    }
}

impl Replicas {
    /// Joins the servers of a shared store, until `stop`.
    pub fn join(redis: Redis, state: &StateDir, about: About, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let inner = Arc::new(Member::new(redis, state, about, stop.clone()));
        tracker.spawn(subscription::run(Arc::clone(&inner), stop.clone()));
        tracker.spawn(beat::run(Arc::clone(&inner), stop));
        Self(Some(inner))
    }

    /// Tells the servers of a shared store of changes, and hears nothing: for a command.
    ///
    /// # Errors
    /// The store's clock cannot be read.
    pub async fn told_by_command(redis: Redis, state: &StateDir) -> Result<Self, Fault> {
        let member = Member::new(redis, state, About::default(), CancellationToken::new());
        member.heard.answered(Some(member.redis.vitals().await?.time_ms));
        Ok(Self(Some(Arc::new(member))))
    }

    /// A hint as a message, and the channel for it, for a script that tells it with what it changes. None for a server
    /// alone.
    pub(crate) fn message(&self, hint: Hint) -> Option<(Vec<u8>, Vec<u8>)> {
        let inner = self.0.as_ref()?;
        Some((inner.redis.channel("all"), inner.envelopes.seal(&Message::Hint(hint), inner.heard.time_ms())))
    }

    /// What others have changed, from now on. Nothing for a server alone.
    pub(crate) fn hints(&self) -> Option<broadcast::Receiver<Hint>> {
        Some(self.0.as_ref()?.hints.subscribe())
    }

    /// Whether this server hears what others change.
    pub fn hearing(&self) -> Hearing {
        self.0.as_ref().map_or(Hearing::Alone, |inner| inner.heard.now())
    }

    /// Counts the times that this server may have missed something.
    pub(crate) fn gaps(&self) -> Option<watch::Receiver<u64>> {
        Some(self.0.as_ref()?.heard.gaps())
    }

    /// Counts the changes of the servers that write: what was acknowledged last may be lost at each.
    pub(crate) fn changes_of_primary(&self) -> Option<watch::Receiver<u64>> {
        Some(self.0.as_ref()?.primaries.subscribe())
    }

    /// Cancelled when this server leaves.
    pub(crate) fn left(&self) -> Option<CancellationToken> {
        Some(self.0.as_ref()?.stop.clone())
    }

    /// This server has another configuration from now on, of which others are told the digest.
    pub(crate) fn configured(&self, digest: String) {
        if let Some(inner) = &self.0 {
            inner.peers.configured(digest);
        }
    }

    /// The others that are there.
    pub fn peers(&self) -> Vec<Peer> {
        self.0.as_ref().map(|inner| inner.peers.others()).unwrap_or_default()
    }

    /// In which way others differ from this server, in words; each is a thing to put right.
    pub fn differences(&self) -> Vec<String> {
        self.0.as_ref().map(|inner| inner.peers.differences()).unwrap_or_default()
    }
}
