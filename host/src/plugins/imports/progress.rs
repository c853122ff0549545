//! `tinymcp:plugin/progress`: how far a call has come, for clients that asked.

pub(super) mod throttle;

use std::time::Instant;

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::conversation::PluginMessage;
use crate::plugins::wit::progress;
use crate::sanitize::cut;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    progress::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl progress::Host for Guest {
    async fn report(&mut self, done: f64, total: Option<f64>, message: Option<String>) -> wasmtime::Result<()> {
        let Some(outbox) = self.conversation.outbox.clone().filter(|outbox| outbox.wants_progress) else {
            return Ok(());
        };
        let total = total.filter(|total| total.is_finite());
        if !self.progress.admits(Instant::now(), done, total) {
            return Ok(());
        }
        // A client that went away needs no report.
        let _ = outbox
            .messages
            .send(PluginMessage::Progress { done, total, message: message.as_deref().map(shortened) })
            .await;
        Ok(())
    }

    async fn detach(&mut self) -> wasmtime::Result<()> {
        if let Some(outbox) = self.conversation.outbox.clone() {
            let _ = outbox.messages.send(PluginMessage::Detach).await;
        }
        Ok(())
    }
}

/// A message is a line beside a progress bar.
fn shortened(message: &str) -> String {
    const MAX_BYTES: usize = 1024;
    cut(message, MAX_BYTES)
}
