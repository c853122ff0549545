//! What servers that share a store tell each other.
//!
//! They tell hints to look: which rows have changed, and that what is switched off has changed. Whoever hears one reads the
//! store; nothing that decides about anybody is ever in a message. Messages go through the shared store's own channels
//! ([`crate::redis`]), sealed under the root key with their sender, number and time ([`envelope`]).
//!
//! - `message`: what is told; `client_hint`: what of it is about clients. `member`: what the parts of this room share. `envelope`: a message as it travels, and what makes it a replay. `hearing`: whether this server hears what is told.
//!   `subscription`: the connection that hears. `news`: what each part of this server hears of it. `beat`: this server's own beat, which it hears itself, and what it says of
//!   itself to others. `peers`: the others, as they say. `agreement`: the format in which all of them write. `rollout`: when all
//!   change over to other plugins. `lacks`: names whose files they have not got. `of_late`: what this server does again when
//!   another server of the store writes.
//!
//! Invariant: a message is heard, or this server knows within [`hearing::SILENCE_MAX`] that it may have missed one. What
//! was known then is read anew. So it is when another tells a kind of hint that this version does not know: it may be about
//! something that this server knows by another name. Servers of several versions understand each other: a field that is
//! added to what they tell has a default, one that is not known is passed over, and a kind of hint that takes the place of
//! another is told once the format is agreed on that knows it (`crate::redis`, `format`). So is a new kind that is told
//! often, for what earlier versions do not have.

mod agreement;
mod beat;
mod client_hint;
mod envelope;
pub mod hearing;
mod lacks;
mod member;
mod message;
mod news;
mod of_late;
mod peers;
mod rollout;
mod subscription;

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::agreement::Format;
pub use self::client_hint::{ChangedList, ClientHint, RestHint, UpdatedResource};
use self::hearing::Hearing;
pub use self::lacks::Lacks;
pub(crate) use self::lacks::{BACK_WITHIN, OthersLack};
use self::member::Member;
pub use self::message::Hint;
use self::message::Message;
pub(crate) use self::news::{News, Told};
pub(crate) use self::of_late::{OfLate, at_each_change};
pub use self::peers::{About, Peer};
pub(crate) use self::rollout::{NOTHING, Rollout, Turn};
use crate::config::effective::SharedSettings;
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
        let inner = Arc::new(Member::new(redis, state, about, &stop));
        tracker.spawn(subscription::run(Arc::clone(&inner), stop.clone()));
        tracker.spawn(beat::run(Arc::clone(&inner), stop));
        Self(Some(inner))
    }

    /// Tells the servers of a shared store of changes, and hears nothing: for a command.
    ///
    /// # Errors
    /// The store's clock cannot be read.
    pub async fn told_by_command(redis: Redis, state: &StateDir) -> Result<Self, Fault> {
        let member = Member::new(redis, state, About::default(), &CancellationToken::new());
        let begin = Instant::now();
        let vitals = member.redis.vitals().await?;
        member.heard.answered(vitals.time_ms, begin.elapsed());
        Ok(Self(Some(Arc::new(member))))
    }

    /// A hint as a message, and the channel for it, for a script that tells it with what it changes. None for a server
    /// alone.
    pub(crate) fn message(&self, hint: Hint) -> Option<(Vec<u8>, Vec<u8>)> {
        let inner = self.0.as_ref()?;
        Some((inner.redis.channel("all"), inner.envelopes.seal(&Message::Hint(hint), inner.heard.time_ms())))
    }

    /// Tells the others; nothing for a server alone.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub(crate) async fn tell(&self, hint: Hint) -> Result<(), Fault> {
        match &self.0 {
            Some(inner) => inner.tell(&inner.redis.channel("all"), &Message::Hint(hint)).await,
            None => Ok(()),
        }
    }

    /// The name of this process among the others, in hexadecimal digits; empty for a server alone.
    pub(crate) fn own_name(&self) -> String {
        self.0.as_ref().map(|inner| peers::name_of(&inner.envelopes.own())).unwrap_or_default()
    }

    /// True for another process that is gone: it has said goodbye, or nothing for so long that it is. False as long as
    /// this server may have missed its words.
    pub(crate) fn is_gone(&self, name: &str) -> bool {
        let Some(inner) = &self.0 else { return true };
        let is_own = peers::name_of(&inner.envelopes.own()) == name;
        !is_own && inner.heard.unbroken_for() > inner.peers.gone_after() && !inner.peers.is_there(name)
    }

    /// What others change, from now on. Nothing for a server alone.
    pub(crate) fn news(&self) -> Option<News> {
        let inner = self.0.as_ref()?;
        Some(News { hints: inner.hints.subscribe(), gaps: inner.heard.gaps(), left: inner.left.clone() })
    }

    /// Whether this server hears what others change.
    pub fn hearing(&self) -> Hearing {
        match &self.0 {
            None => Hearing::Alone,
            Some(inner) if inner.redis.format().unread().is_some() => Hearing::Outdated,
            Some(inner) => inner.heard.now(),
        }
    }

    /// The time for which everything was heard, up to now: since the store was last away, or another server began to write.
    /// For a server alone it has always been so.
    pub(crate) fn unbroken_for(&self) -> Duration {
        self.0.as_ref().map_or(Duration::MAX, |inner| inner.heard.unbroken_for())
    }

    /// True if the store has been away for longer than this, or will not be used any more.
    pub fn is_away_for_more_than(&self, time: Duration) -> bool {
        match self.hearing() {
            Hearing::Alone | Hearing::Clear | Hearing::Deaf => false,
            Hearing::Away(heard) => heard.elapsed() > time,
            Hearing::Outdated => true,
        }
    }

    /// The format in which the servers of the store write; none for a server alone.
    pub fn format(&self) -> Option<Format> {
        self.0.as_ref().map(|inner| Format::of(inner))
    }

    /// Counts the times that this server may have missed something.
    #[cfg(test)]
    pub(crate) fn gaps(&self) -> Option<watch::Receiver<u64>> {
        Some(self.0.as_ref()?.heard.gaps())
    }

    /// Counts the changes of the servers that write: what was acknowledged last may be lost at each.
    pub(crate) fn changes_of_primary(&self) -> Option<watch::Receiver<u64>> {
        Some(self.0.as_ref()?.primaries.subscribe())
    }

    /// This server has another configuration from now on, of which others are told the digests.
    pub(crate) fn configured(&self, shared: SharedSettings) {
        if let Some(inner) = &self.0 {
            inner.peers.configured(shared);
        }
    }

    /// Tells the others how far this server is with its plugins from registries.
    pub(crate) async fn rolled(&self, rollout: Rollout) {
        if self.0.as_ref().is_some_and(|inner| inner.peers.rolled(rollout)) {
            self.say_here().await;
        }
    }

    /// This server lacks the files of these names from now on. Returns true if the others are to be told.
    pub(crate) fn lack(&self, lacks: Lacks) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.peers.lack(lacks))
    }

    /// Tells the others at once what this server says of itself.
    pub(crate) async fn say_here(&self) {
        let Some(inner) = &self.0 else { return };
        let (all, here) = (inner.redis.channel("all"), Message::Here(inner.peers.own()));
        // Where it is not heard now, the next word that this server says of itself has it.
        drop(inner.tell(&all, &here).boxed().await);
    }

    /// What the others lack of the files of names. None as long as some may not have been heard.
    pub(crate) fn others_lack(&self) -> Option<OthersLack> {
        let Some(inner) = &self.0 else { return Some(OthersLack::default()) };
        inner.has_heard_all().then(|| inner.peers.others_lack())
    }

    /// Whether this server may change over to the plugins that it has at hand; now, for a server alone.
    pub(crate) fn turn(&self) -> Turn {
        self.0.as_ref().map_or(Turn::Now, |inner| inner.peers.turn(inner.has_heard_all()))
    }

    /// The servers that serve plugins from registries which this one has not been able to get for so long, or not since its
    /// start; none, if it is not behind. Nobody may be named at a start, until others have been heard.
    pub fn ahead(&self, patience: Duration) -> Option<Vec<String>> {
        let inner = self.0.as_ref()?;
        inner.peers.ahead(patience, inner.has_heard_all())
    }

    /// True for a server that has no others.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.is_none()
    }

    /// The others that are there.
    pub fn peers(&self) -> Vec<Peer> {
        self.0.as_ref().map(|inner| inner.peers.others()).unwrap_or_default()
    }

    /// The number of servers that are there, this one with them. While nothing is heard of others, those that were there
    /// last count.
    pub(crate) fn alive(&self) -> u32 {
        let Some(inner) = &self.0 else { return 1 };
        let at = match inner.heard.now() {
            Hearing::Alone | Hearing::Clear => Instant::now(),
            Hearing::Deaf | Hearing::Away(_) | Hearing::Outdated => inner.heard.last(),
        };
        u32::try_from(inner.peers.others_at(at)).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// In which way others differ from this server, and the store from what it has to be, in words; each is a thing to put
    /// right.
    pub fn differences(&self) -> Vec<String> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let unfit = inner.unfit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        inner.peers.differences().into_iter().chain(unfit).collect()
    }
}
