//! The lines of the audit about sessions.

use super::Sessions;
use super::record::Record;
use crate::audit::Event;
use crate::audit::event::{Client, TokenChange};

impl Sessions {
    /// Tells the audit of a change of a session. `reason` is one of our own words.
    pub(super) fn tell(&self, what: TokenChange, record: &Record, reason: Option<&'static str>) {
        let client = Client { id: &record.client_id, name: record.client_name.as_deref() };
        self.audit.record(&Event::Token { what, who: Some(record.identity.who()), client: Some(client), reason });
    }
}
