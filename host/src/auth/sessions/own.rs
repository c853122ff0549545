//! Sessions of one person: for their own page, and for the provider's word about them.

use super::Sessions;
use super::listed::{ListedSession, read};
use crate::audit::event::TokenChange;
use crate::auth::tokens::Family;
use crate::auth::upstream::messages::Logout;
use crate::principal::Principal;
use crate::store::{Key, Row, StoreError, Table};

/// Rows that are read at once.
const PAGE: usize = 500;

/// The id by which a session is listed and ended.
pub(in crate::auth) fn id(family: &Family) -> String {
    family.row().to_hex()
}

impl Sessions {
    /// Every session of a person. All rows are gone through for it, so that one person's are one at a time.
    pub(in crate::auth) async fn of_person(&self, person: &Principal) -> Result<Vec<ListedSession>, StoreError> {
        let list = async {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let (sessions, next) = self.page(after).await?;
                let is_theirs = |session: &ListedSession| {
                    (&session.issuer, &session.subject) == (&person.issuer, &person.subject)
                        && session.provider == self.upstream.name()
                };
                found.extend(sessions.into_iter().map(|(_, session)| session).filter(is_theirs));
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(found),
                }
            }
        };
        self.listing.take(person.person(), list).await
    }

    /// Ends a session by its key, if it is this person's. Returns whether it is.
    pub(in crate::auth) async fn end_own(&self, key: Key, person: &Principal) -> Result<bool, StoreError> {
        let Some(row) = self.store.get(Table::Session, &key).await? else { return Ok(false) };
        let record = read(&row)?;
        let is_theirs = (&record.identity.issuer, &record.identity.subject) == (&person.issuer, &person.subject)
            && self.upstream.vouches_for(&record.provider, &record.identity);
        if !is_theirs {
            return Ok(false);
        }
        self.tell(TokenChange::Ended, &record, Some("ended_by_person"));
        self.end_row(key, Some(record)).await?;
        Ok(true)
    }

    /// Ends every session that was begun in a session of the provider's which has ended there. Returns their number.
    pub(in crate::auth) async fn end_by_provider(&self, logout: &Logout) -> Result<usize, StoreError> {
        let (mut ended, mut after) = (0, None);
        loop {
            let rows = self.store.list(Table::Session, after, PAGE).await?;
            for (key, row) in &rows {
                if self.is_concerned(row, logout)? {
                    self.tell(TokenChange::Ended, &read(row)?, Some("logged_out_at_provider"));
                    self.end_row(*key, None).await?;
                    ended += 1;
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == PAGE => after = Some(*key),
                _ => return Ok(ended),
            }
        }
    }

    fn is_concerned(&self, row: &Row, logout: &Logout) -> Result<bool, StoreError> {
        let record = read(row)?;
        Ok(self.upstream.vouches_for(&record.provider, &record.identity) && logout.concerns(&record.identity))
    }
}
