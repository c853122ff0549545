//! Refusals for the audit, with what is known of who sent the request.

use std::net::IpAddr;

use super::errors::OAuthError;
use super::holder::Holder;
use super::sender::Sender;
use super::server::AuthorizationServer;
use super::tokens::{LastToken, TokenKind};
use crate::audit::Event;
use crate::audit::event::Reason;

impl AuthorizationServer {
    /// Tells the audit of a request of a client that was refused; nothing of one that is merely wrong.
    pub(super) fn refused_client(&self, error: &OAuthError, sender: &Sender) {
        if let Some(reason) = error.reason() {
            self.refused_sender(reason, sender);
        }
    }

    /// The same for a reason that is known.
    pub(super) fn refused_sender(&self, reason: Reason, sender: &Sender) {
        let (client, claimed, from) = (sender.client(), sender.claimed(), Some(sender.address));
        self.audit.record(&Event::Refusal { reason, who: None, client, claimed, from });
    }

    /// Tells the audit that a bearer token was refused, and whose it was, where that is still known.
    pub(super) fn refused_token(&self, reason: Reason, raw_token: &str, last: &LastToken, from: Option<IpAddr>) {
        let is_known = matches!(reason, Reason::EndedToken | Reason::TurnedAway) && self.audit.is_on();
        let holder = is_known.then(|| self.holder_of(raw_token, last)).flatten();
        let who = holder.as_ref().map(Holder::who);
        let client = holder.as_ref().and_then(Holder::client);
        self.audit.record(&Event::Refusal { reason, who, client, claimed: None, from });
    }

    fn holder_of(&self, raw_token: &str, last: &LastToken) -> Option<Holder> {
        let opened = last.open(&self.tokens, raw_token)?;
        match opened.kind {
            TokenKind::Access => self.sessions.holder_of(&opened.family),
            TokenKind::Machine => self.machines.holder_of(&opened.family),
            TokenKind::Operator => self.operator_tokens().holder_of(&opened.family),
            TokenKind::Refresh | TokenKind::Code | TokenKind::Device | TokenKind::Browser => None,
        }
    }
}
