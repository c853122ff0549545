//! The connection that hears what servers tell: all of them on one channel, and this one on its own.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::envelope::{Dropped, Taken};
use super::member::Member;
use super::message::Message;
use crate::log_limiter::LogLimiter;

/// Pause before a lost subscription is made again.
const PAUSE: Duration = Duration::from_millis(100);

static NOT_OURS: LogLimiter = LogLimiter::new("messages in the shared store that no server of it has made");
static REPLAYED: LogLimiter = LogLimiter::new("messages in the shared store that were sent again");

/// Hears until `stop`.
pub(super) async fn run(inner: Arc<Member>, stop: CancellationToken) {
    let hear = async {
        loop {
            if let Err(error) = hear(&inner).await {
                tracing::debug!(%error, "the subscription to other servers is made again");
            }
            inner.heard.interrupted();
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(hear).await;
}

/// Subscribes, and takes what comes until the connection ends.
async fn hear(inner: &Member) -> Result<(), crate::redis::Fault> {
    let own = inner.own_channel();
    let mut told = inner.redis.subscribe(&[inner.redis.channel("all"), own]).await?;
    while let Some(bytes) = told.next().await {
        take(inner, &bytes);
    }
    Ok(())
}

fn take(inner: &Member, bytes: &[u8]) {
    match inner.envelopes.open(bytes, inner.heard.time_ms()) {
        Ok(Taken { sender, message }) => match message {
            Message::Beat if sender == inner.envelopes.own() => inner.heard.beat(),
            _ if sender == inner.envelopes.own() => {}
            Message::Beat => {}
            // Without a part of this server that listens, nobody has to know.
            Message::Hint(hint) => drop(inner.hints.send(hint)),
            Message::Here(about) => inner.heard_of(sender, &about),
            Message::Gone => inner.peers.forget(&sender),
        },
        Err(Dropped::Forged) => NOT_OURS.log(|| {
            tracing::warn!("a message in the shared store is not of a server with this root key; it is dropped");
        }),
        Err(Dropped::Replayed) => {
            REPLAYED.log(|| tracing::warn!("a message in the shared store was sent again, or late; it is dropped"));
        }
        // What a later version has to tell that this one does not know.
        Err(Dropped::Unknown) => tracing::debug!("a message of a later version"),
        // It may be about something that is known here: what that is cannot be told, so all of it is looked at.
        Err(Dropped::UnknownHint) => {
            tracing::debug!("a hint of a later version");
            inner.heard.missed();
        }
    }
}
