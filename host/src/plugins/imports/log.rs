//! `tinymcp:plugin/log`: messages to the client, for clients that asked for their level.
//!
//! Nothing of it goes to the server's log, which is for what a plugin prints: a message may tell its reader what only
//! the reader may know. Both share one cap (`limits.log`).

use serde_json::Value;
use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::conversation::PluginMessage;
use crate::plugins::wit::log::{self, Level};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl log::Host for Guest {
    async fn write(&mut self, level: Level, text: String) -> wasmtime::Result<()> {
        self.send(level, None, text.len(), || Value::String(text)).await;
        Ok(())
    }

    async fn write_json(&mut self, level: Level, logger: String, json: String) -> wasmtime::Result<()> {
        let size = json.len().saturating_add(logger.len());
        // What is no JSON is sent as the text that it is: a message must not be lost for its form.
        let data = || serde_json::from_str(&json).unwrap_or(Value::String(json));
        self.send(level, Some(logger), size, data).await;
        Ok(())
    }
}

impl Guest {
    async fn send(&mut self, level: Level, logger: Option<String>, size: usize, data: impl FnOnce() -> Value) {
        let Some(outbox) = self.conversation.outbox.clone().filter(|outbox| outbox.wants(level)) else { return };
        if !self.prints.has_room_for(size) {
            return;
        }
        // A client that went away needs no message.
        let _ = outbox.messages.send(PluginMessage::Log { level, logger, data: data() }).await;
    }
}
