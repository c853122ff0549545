//! The holder of a token that was given out here, for the lines of the audit about one that is dead.

use crate::audit::event::{self, Who};
use crate::principal::Principal;

/// The holder of a token that was given out here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) is_person: bool,
    /// The client's id and its own name.
    pub(super) client: Option<(String, Option<String>)>,
}

impl Holder {
    /// A machine, which is its own client.
    pub(super) fn of_machine(principal: &Principal) -> Self {
        let (issuer, subject) = (principal.issuer.clone(), principal.subject.clone());
        Self { issuer, subject, email: None, is_person: false, client: None }
    }

    pub(super) fn who(&self) -> Who<'_> {
        let Self { issuer, subject, email, is_person, .. } = self;
        Who { issuer, subject, email: email.as_deref(), is_person: *is_person }
    }

    /// Their client.
    pub(super) fn client(&self) -> Option<event::Client<'_>> {
        self.client.as_ref().map(client)
    }
}

/// A client by its id and its own name.
pub(super) fn client(known: &(String, Option<String>)) -> event::Client<'_> {
    event::Client { id: &known.0, name: known.1.as_deref() }
}
