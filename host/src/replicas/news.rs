//! What a part of this server hears of the others, and that it may have missed something.

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::message::Hint;

/// Something that a part of this server has to look at.
pub(crate) enum Told {
    /// What a hint is about.
    Hint(Hint),
    /// Anything: hints may have been missed.
    Gap,
}

/// What others change from the moment on at which this was made.
pub(crate) struct News {
    pub(super) hints: broadcast::Receiver<Hint>,
    pub(super) gaps: watch::Receiver<u64>,
    pub(super) left: CancellationToken,
}

impl News {
    /// The next of it; none once nobody listens any more. What is dropped while it waits has lost nothing.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        tokio::select! {
            hint = self.hints.recv() => match hint {
                Ok(hint) => Some(Told::Hint(hint)),
                Err(RecvError::Lagged(_)) => Some(Told::Gap),
                Err(RecvError::Closed) => None,
            },
            changed = self.gaps.changed() => changed.is_ok().then_some(Told::Gap),
        }
    }

    /// Cancelled when this server leaves.
    pub(crate) fn left(&self) -> CancellationToken {
        self.left.clone()
    }
}
