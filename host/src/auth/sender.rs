//! Who sent a request, as far as it is known, for the lines of the audit about refusals: the client that it proved to be, or
//! says to be.

use std::net::IpAddr;
use std::sync::OnceLock;

use super::clients::Client;
use super::holder::client;
use crate::audit::event;

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
