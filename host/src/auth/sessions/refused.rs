//! Sessions that the provider refuses to renew without saying that they have ended.

use super::{GONE, Sessions, TRIES, now_s};
use crate::auth::errors::OAuthError;
use crate::auth::tokens::Family;
use crate::store::{Committed, StoreError};

impl Sessions {
    /// Notes that a session was refused, and ends it when that has gone on for too long. What others are refused too
    /// begins the time anew: it says nothing of this session.
    ///
    /// Returns what the client is answered.
    ///
    /// # Errors
    /// The store fails.
    pub(super) async fn refused(&self, family: &Family, is_own: bool) -> Result<OAuthError, StoreError> {
        for _ in 0..TRIES {
            let Some((row, mut record)) = self.load(family).await? else { return Ok(GONE) };
            let now_s = now_s();
            let since_s = is_own.then(|| record.refused_since_s.unwrap_or(now_s));
            if since_s.is_some_and(|since_s| now_s >= since_s.saturating_add(self.lives.refused.as_secs())) {
                tracing::warn!(session = ?family, "the provider goes on to refuse this session alone; it ends");
                self.end(family, Some(record)).await?;
                return Ok(GONE);
            }
            if record.refused_since_s == since_s {
                break;
            }
            record.refused_since_s = since_s;
            let expires = row.expires;
            if self.replace(family, &row, &mut record, expires).await? == Committed::Done {
                self.remember(*family, &record);
                break;
            }
        }
        Ok(OAuthError::unavailable())
    }
}
