//! `tinymcp:plugin/caller`: the caller of the plugin.

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::wit::caller::{self, Person};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    caller::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl caller::Host for Guest {
    fn who(&mut self) -> wasmtime::Result<Option<Person>> {
        let caller = self.conversation.caller.as_ref().filter(|caller| !caller.is_anonymous());
        Ok(caller.map(|caller| Person {
            issuer: caller.issuer.clone(),
            subject: caller.subject.clone(),
            email: caller.email.clone(),
            name: caller.name.clone(),
            scopes: caller.scopes().into_iter().map(str::to_owned).collect(),
        }))
    }
}
