//! `tinymcp:plugin/secrets`: secrets that the operator grants to the plugin, by name.
//!
//! A name that is not granted and one that does not exist look the same, and there is no list of them.

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::wit::secrets;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    secrets::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl secrets::Host for Guest {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let found = self.grants.find(|grants| grants.secret(&name).map(|secret| secret.reveal().to_owned()));
        self.decided("secrets", Some(&name), found.is_some());
        Ok(found)
    }
}
