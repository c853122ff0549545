//! `auth.recheck`: asking the provider again about people whose sessions are in use.
//!
//! A request that finds it due waits for the answer, for a few seconds at most; others of its session wait with it. What
//! the provider says holds at once. While it says nothing, the session goes on, and it is asked again after a pause.

use std::sync::Arc;
use std::time::Duration;

use super::bearer::BearerError;
use super::cache::LiveSession;
use super::{Sessions, TRIES};
use crate::audit::event::TokenChange;
use crate::auth::errors::OAuthError;
use crate::auth::tokens::{Family, TokenHash};
use crate::auth::upstream::messages::UpstreamTokens;
use crate::clock::now_s;
use crate::principal::Principal;
use crate::store::Committed;

/// The longest time that a request waits for the provider. The question goes on without it.
const WAIT: Duration = Duration::from_secs(5);

impl Sessions {
    /// The time from which on the provider is asked about a person, if it ever is.
    pub(super) fn recheck_at_s(&self, upstream: &UpstreamTokens) -> Option<u64> {
        let every = self.lives.recheck.filter(|_| self.upstream.can_ask(upstream))?;
        Some(upstream.checked_at.saturating_add(every.as_secs()))
    }

    /// True if it is time to ask the provider about a person by `auth.recheck`.
    pub(super) fn is_recheck_due(&self, family: &Family, upstream: &UpstreamTokens) -> bool {
        self.recheck_at_s(upstream).is_some_and(|due_s| due_s <= now_s()) && !self.silences.has(family)
    }

    /// Asks the provider about a person, and finds the holder of a token again as they are then; as they were, if it says
    /// nothing in time.
    pub(super) async fn rechecked_holder(
        self: &Arc<Self>,
        family: Family,
        hash: TokenHash,
        known: (Arc<LiveSession>, Arc<Principal>),
    ) -> Result<(Arc<LiveSession>, Arc<Principal>), BearerError> {
        if self.silences.has(&family) {
            return Ok(known);
        }
        let sessions = Arc::clone(self);
        // A request that goes away must not take the provider's new tokens with it.
        let work = async move { sessions.turns.take(family, sessions.recheck_in_turn(family)).await };
        match tokio::time::timeout(WAIT, self.in_flight.spawn(work)).await {
            Ok(_) => self.known_holder(family, hash, || None).await,
            Err(_) => Ok(known),
        }
    }

    /// Asks the provider about a person, unless whoever had the turn before has done so.
    async fn recheck_in_turn(&self, family: Family) {
        for _ in 0..TRIES {
            let Ok(Some((row, mut record))) = self.load(&family).await else { return };
            if !self.is_recheck_due(&family, &record.upstream) {
                // Somebody else has asked, and their answer may be newer than what is in memory.
                self.remember(family, &record);
                return;
            }
            let renewed = match self.renewed(&family, &row, &record).await {
                Ok(Some(renewed)) => renewed,
                Ok(None) => continue,
                // It has ended there, and here.
                Err(OAuthError::InvalidGrant(_)) => return,
                Err(_) => {
                    self.silences.note(family, &record.upstream);
                    return;
                }
            };
            if renewed.tokens.is_none() {
                return;
            }
            renewed.apply(&mut record);
            if !self.people.admits(&record.identity) {
                tracing::warn!(session = ?family, "the person may not log in any more; the session ends");
                self.tell(TokenChange::Ended, &record, Some("turned_away_at_recheck"));
                if let Err(error) = self.end(&family, Some(record)).await {
                    tracing::error!(%error, "a session could not be ended");
                }
                return;
            }
            match self.replace_renewed((family, renewed), &row, &mut record, row.expires).await {
                Ok(Committed::Done) => {
                    self.silences.end(&family);
                    self.remember(family, &record);
                    return;
                }
                Ok(Committed::Conflict) => {}
                Err(error) => {
                    tracing::error!(%error, "the provider's word about a session could not be written down");
                    return;
                }
            }
        }
    }
}
