//! `tinymcp:plugin/settings`: the operator's settings for the plugin.

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::wit::settings;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    settings::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl settings::Host for Guest {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.settings.get(&name).cloned())
    }

    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.settings.keys().cloned().collect())
    }
}
