//! `tinymcp:plugin/changes`: the plugin says that something has changed.

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::announcements::List;
use crate::plugins::plugin::MAX_URI_BYTES;
use crate::plugins::wit::changes;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    changes::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl changes::Host for Guest {
    fn tools(&mut self) -> wasmtime::Result<()> {
        self.list_changed(List::Tools);
        Ok(())
    }

    fn prompts(&mut self) -> wasmtime::Result<()> {
        self.list_changed(List::Prompts);
        Ok(())
    }

    fn resources(&mut self) -> wasmtime::Result<()> {
        self.list_changed(List::Resources);
        Ok(())
    }

    fn updated(&mut self, uri: String) -> wasmtime::Result<()> {
        // Nobody calls while lists are made, and a list that changes something would be made again without end.
        if self.conversation.caller.is_some() && uri.len() <= MAX_URI_BYTES {
            self.announcements.resource(&self.plugin, &uri);
        }
        Ok(())
    }
}

impl Guest {
    fn list_changed(&self, list: List) {
        if self.conversation.caller.is_some() {
            self.announcements.list(&self.plugin, list);
        }
    }
}
