//! Sessions that the provider refuses to renew without saying that they have ended.

use std::time::Duration;

use super::{GONE, Sessions, TRIES};
use crate::audit::event::TokenChange;
use crate::auth::errors::OAuthError;
use crate::auth::tokens::Family;
use crate::auth::upstream::messages::Alike;
use crate::clock::now_s;
use crate::store::{Committed, StoreError};

impl Sessions {
    /// Notes that a session was refused, and ends it when that has gone on for too long. A refusal that others get too,
    /// while nobody's session is renewed for half of that time, begins it anew: it says nothing of this session.
    ///
    /// Returns the answer for the client.
    ///
    /// # Errors
    /// The store fails.
    pub(super) async fn refused(&self, family: &Family, alike: Alike) -> Result<OAuthError, StoreError> {
        let is_own = is_own(alike, self.lives.refused);
        for _ in 0..TRIES {
            let Some((row, mut record)) = self.load(family).await? else { return Ok(GONE) };
            let now_s = now_s();
            let since_s = is_own.then(|| record.refused_since_s.unwrap_or(now_s));
            if since_s.is_some_and(|since_s| now_s >= since_s.saturating_add(self.lives.refused.as_secs())) {
                tracing::warn!(session = ?family, "the provider goes on to refuse this session; it ends");
                self.tell(TokenChange::Ended, &record, Some("refused_by_provider"));
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

/// True if a refusal says something of the session: others are not refused, or others are renewed meanwhile.
fn is_own(alike: Alike, limit: Duration) -> bool {
    match alike {
        Alike::Nobody => true,
        Alike::Others { renewed_ago } => renewed_ago.is_some_and(|ago| ago < limit / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_dead_tokens_are_nobodys_outage_while_others_are_renewed() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        for (alike, expected) in [
            (Alike::Nobody, true),
            (Alike::Others { renewed_ago: None }, false),
            (Alike::Others { renewed_ago: Some(days(3)) }, true),
            (Alike::Others { renewed_ago: Some(days(4)) }, false),
        ] {
            assert_eq!(is_own(alike, days(7)), expected, "{alike:?}");
        }
    }
}
