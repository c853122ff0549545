//! Sessions as operators and their own people see them: no token, nothing of which one could be made, and nothing of the
//! provider's.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Sessions;
use super::record::Record;
use crate::audit::event::TokenChange;
use crate::store::{Key, Row, Store, StoreError, Table};
use crate::view::View;

/// Sessions of a page: as many as are read in a moment, and as many as fit a line of the control socket.
const PAGE: usize = 500;

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedSession {
    /// Its id: 64 hexadecimal digits, of which the first eight are in the log.
    pub id: String,
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
    /// The person's address.
    pub email: Option<String>,
    /// True if the provider has verified the address.
    pub email_verified: bool,
    /// The person's name.
    pub name: Option<String>,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The client's id.
    pub client_id: String,
    /// The client's name, by its own account.
    pub client: Option<String>,
    /// The URI to which its tokens' code was sent, which says where the client is; none of a browser on this server's own
    /// pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// The view that its tokens are for; `/mcp` where there is none.
    #[serde(default, skip_serializing_if = "View::is_main")]
    pub view: View,
    /// The scopes that the person approved.
    pub scopes: Vec<String>,
    /// The time of the login, in seconds since 1970.
    pub since_s: u64,
    /// The time of the last use that is known.
    pub used_s: Option<u64>,
    /// The address that it came from, past trusted proxies.
    pub from: Option<IpAddr>,
    /// The time at which it ends if it is not used.
    pub expires_s: u64,
    /// True while its client has not fetched its tokens.
    pub is_pending: bool,
}

/// A page of sessions, and the place at which the next one begins; none after the last.
pub(crate) type Page = (Vec<(Key, ListedSession)>, Option<Key>);

/// Reads a page of the sessions in a store. `all_ended` is `SwitchedOff::all_ended`: sessions before it are over.
pub(in crate::auth) async fn page(store: &Store, after: Option<Key>, all_ended: u64) -> Result<Page, StoreError> {
    let rows = store.list(Table::Session, after, PAGE).await?;
    let next = rows.last().filter(|_| rows.len() == PAGE).map(|(key, _)| *key);
    let mut sessions = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let record = read(&row)?;
        if record.all_ended >= all_ended && !is_spent(&record) {
            sessions.push((key, listed(key, &row, record)));
        }
    }
    Ok((sessions, next))
}

/// True for the rest of a code that nobody can redeem any more.
fn is_spent(record: &Record) -> bool {
    let has_tokens = record.refresh.is_some() || record.browser.is_some();
    !has_tokens && (record.code.used_ms.is_some() || record.code.expires_s <= crate::clock::now_s())
}

pub(super) fn read(row: &Row) -> Result<Record, StoreError> {
    serde_json::from_slice(&row.value)
        .map_err(|_| StoreError::Damaged("a session's row is not what this version writes".to_owned()))
}

fn listed(key: Key, row: &Row, record: Record) -> ListedSession {
    let expires = row.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    ListedSession {
        id: key.to_hex(),
        issuer: record.identity.issuer,
        subject: record.identity.subject,
        email: record.identity.email,
        email_verified: record.identity.email_verified,
        name: record.identity.name,
        provider: record.provider,
        client_id: record.client_id,
        client: None,
        redirect_uri: Some(record.code.redirect_uri).filter(|uri| !uri.is_empty()),
        view: record.view,
        scopes: record.approved.into_iter().collect(),
        since_s: record.created_s,
        // A browser's is noted now and then, with an address or without.
        used_s: record.used.map(|used| used.at_s).max(record.browser.as_ref().map(|browser| browser.used_s)),
        from: record.used.map(|used| used.from),
        expires_s: expires.as_secs(),
        is_pending: record.refresh.is_none() && record.browser.is_none(),
    }
}

impl Sessions {
    /// A page of the sessions, with what memory knows of their last use.
    pub(in crate::auth) async fn page(&self, after: Option<Key>) -> Result<Page, StoreError> {
        let (mut sessions, next) = page(&self.store, after, self.people.all_ended()).await?;
        for (key, session) in &mut sessions {
            let noted = self.presences.find(key).and_then(|presence| presence.last_use());
            if let Some(noted) = noted.filter(|noted| session.used_s.is_none_or(|used_s| noted.at_s >= used_s)) {
                (session.used_s, session.from) = (Some(noted.at_s), Some(noted.from));
            }
        }
        Ok((sessions, next))
    }

    /// Ends a session by the key of its row: its row is gone, and all that goes on in it ends. Returns whether there was
    /// one.
    pub(in crate::auth) async fn end_by_key(&self, key: Key) -> Result<bool, StoreError> {
        let row = self.store.get(Table::Session, &key).await?;
        let is_there = row.is_some();
        // One that cannot be read ends too.
        let record = row.as_ref().and_then(|row| read(row).ok());
        if is_there {
            if let Some(record) = &record {
                self.tell(TokenChange::Ended, record, Some("ended_by_operator"));
            }
            self.end_row(key, record).await?;
        }
        Ok(is_there)
    }
}
