//! Who sent a request, as far as it is known, for the lines of the audit about refusals: the client that it proved to be, or
//! says to be, and the holder of a token that is dead.

use std::net::IpAddr;
use std::sync::OnceLock;

use super::clients::Client;
use crate::audit::event::{self, Who};
use crate::principal::Principal;

/// The sender of a request to an endpoint for clients, as far as it is known.
pub(super) struct Sender {
    pub(super) address: IpAddr,
    claimed: OnceLock<String>,
    proved: OnceLock<(String, Option<String>)>,
}

impl Sender {
    pub(super) fn at(address: IpAddr) -> Self {
        Self { address, claimed: OnceLock::new(), proved: OnceLock::new() }
    }

    /// Notes the id that the request gives, of which nothing is proved.
    pub(super) fn claims(&self, id: Option<String>) {
        if let Some(id) = id {
            let _ = self.claimed.set(id);
        }
    }

    /// The client that it has proved to be.
    pub(super) fn client(&self) -> Option<event::Client<'_>> {
        self.proved.get().map(client)
    }

    /// The id of the client that it says to be, until it has proved one.
    pub(super) fn claimed(&self) -> Option<&str> {
        self.claimed.get().filter(|_| self.proved.get().is_none()).map(String::as_str)
    }

    /// Notes the client that it is. One without a secret has proved nothing: anybody may give its id.
    pub(super) fn is(&self, client: &Client) {
        if !client.is_public() {
            let _ = self.proved.set((client.id.clone(), client.name.clone()));
        }
    }
}

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

fn client(known: &(String, Option<String>)) -> event::Client<'_> {
    event::Client { id: &known.0, name: known.1.as_deref() }
}
