//! Access tokens that are revoked alone (RFC 7009): each is taken out of its session's row, and once more where a failover may
//! have brought it back.

use std::collections::HashMap;

use super::record::Record;
use super::{Sessions, TRIES};
use crate::audit::event::TokenChange;
use crate::auth::errors::OAuthError;
use crate::auth::tokens::{Family, TokenHash};
use crate::store::{Committed, StoreError};

impl Sessions {
    /// Revokes an access token, if it is this client's.
    pub(super) async fn revoke_access(
        &self,
        family: Family,
        hash: TokenHash,
        client_id: &str,
    ) -> Result<(), OAuthError> {
        let taken_out = self.take_out(family, &[hash], |record| record.client_id == client_id).await?;
        if let Some(record) = taken_out {
            self.revoked.note([(family, hash)]);
            self.tell(TokenChange::Revoked, &record, None);
        }
        Ok(())
    }

    /// Takes out once more what was revoked here of late: another server of the store writes now, which may have lost it.
    pub(in crate::auth) async fn repeat_revocations(&self) -> Result<(), StoreError> {
        let mut by_session: HashMap<Family, Vec<TokenHash>> = HashMap::new();
        for (family, hash) in self.revoked.all() {
            by_session.entry(family).or_default().push(hash);
        }
        for (family, revoked) in by_session {
            match self.take_out(family, &revoked, |_| true).await {
                // What cannot be read lets nobody in.
                Err(error @ StoreError::Damaged(_)) => tracing::error!(session = ?family, %error, "a session is lost"),
                taken_out => drop(taken_out?),
            }
        }
        Ok(())
    }

    /// Takes access tokens out of a session that is the one which is meant. Returns its row as it is then; none if there was
    /// nothing to take out.
    async fn take_out(
        &self,
        family: Family,
        revoked: &[TokenHash],
        is_meant: impl Fn(&Record) -> bool,
    ) -> Result<Option<Record>, StoreError> {
        for _ in 0..TRIES {
            let Some((row, mut record)) = self.load(&family).await? else { return Ok(None) };
            let before = record.access.len();
            record.access.retain(|access| !revoked.contains(&access.hash));
            if record.access.len() == before || !is_meant(&record) {
                return Ok(None);
            }
            let expires = row.expires;
            if self.replace(&family, &row, &mut record, expires).await? == Committed::Done {
                self.remember(family, &record);
                return Ok(Some(record));
            }
        }
        Err(StoreError::Unavailable("a session was changed again and again".to_owned()))
    }
}
