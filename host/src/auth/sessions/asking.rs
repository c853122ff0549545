//! Asking the provider about a session, and writing down what it says.
//!
//! It is done in the session's turn, here ([`super::turns`]) and among all servers of the store ([`super::shared_turns`]), and
//! only where that is due. From the provider's answer on its old refresh token is used up, and until the row has the new one
//! it is nowhere but in `unsaved`: what cannot be written down is tried again until it is, and no other server asks before.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::concurrency::UpstreamRenewal;
use super::record::Record;
use super::shared_turns::{SharedTurn, Waited};
use super::{GONE, Sessions, TRIES};
use crate::audit::event::TokenChange;
use crate::auth::errors::OAuthError;
use crate::auth::identity::Identity;
use crate::auth::tokens::Family;
use crate::auth::upstream::messages::{RefreshError, RefreshOutcome};
use crate::store::{Committed, Row, StoreError};

/// The pauses before what could not be written down is tried again: the first, and the longest.
const SAVED_AGAIN_MIN: Duration = Duration::from_millis(50);
const SAVED_AGAIN_MAX: Duration = Duration::from_secs(1);

impl Sessions {
    /// Renews the provider's tokens, if they are due by the row. None if that has changed meanwhile and has to be read again,
    /// as it has where another server renewed them.
    pub(super) async fn renewed(
        &self,
        family: &Family,
        row: &Row,
        record: &Record,
    ) -> Result<Option<UpstreamRenewal>, OAuthError> {
        let unsaved = self.unsaved.take(family).filter(|unsaved| !unsaved.is_outdated_by(&record.upstream));
        if unsaved.is_some() {
            return Ok(unsaved);
        }
        // What only `auth.recheck` wants to know changes nothing while the provider does not say it.
        let is_due = self.upstream.is_due(&record.upstream);
        let is_recheck = !is_due && self.is_recheck_due(family, &record.upstream);
        if !is_due && !is_recheck {
            return Ok(Some(UpstreamRenewal::default()));
        }
        match self.shared_turns.take(family.row(), row.revision).await? {
            Waited::Turn(turn) => self.asked(family, record, is_recheck, turn).await,
            Waited::Changed => Ok(None),
            Waited::Busy if is_recheck => Ok(Some(UpstreamRenewal::default())),
            Waited::Busy => Err(OAuthError::unavailable()),
        }
    }

    /// Asks the provider. The turn goes into what it says; it ends here if that is nothing.
    async fn asked(
        &self,
        family: &Family,
        record: &Record,
        is_recheck: bool,
        turn: SharedTurn,
    ) -> Result<Option<UpstreamRenewal>, OAuthError> {
        let nothing = || Ok(Some(UpstreamRenewal::default()));
        let asked = match is_recheck {
            true => self.upstream.ask(&record.upstream, &record.identity).await,
            false => self.upstream.refresh(&record.upstream, &record.identity).await,
        };
        match asked {
            Ok(RefreshOutcome::NotNeeded) => nothing(),
            Ok(RefreshOutcome::Tokens { tokens, identity }) => {
                let is_another =
                    |it: &Identity| (&it.issuer, &it.subject) != (&record.identity.issuer, &record.identity.subject);
                if identity.as_ref().is_some_and(is_another) {
                    tracing::error!(session = ?family, "the provider refreshed somebody else; the session ends");
                    self.upstream.discard(tokens);
                    self.tell(TokenChange::Ended, record, Some("other_person"));
                    self.end(family, None).await?;
                    return Err(GONE);
                }
                let before = Some(record.upstream.clone());
                Ok(Some(UpstreamRenewal { tokens: Some(tokens), identity, before, _turn: turn }))
            }
            Err(RefreshError::Ended) => {
                // Where a turn was lost, another server has asked too: then it is these tokens that are over.
                if self.load(family).await?.is_some_and(|(_, now)| now.upstream != record.upstream) {
                    return Ok(None);
                }
                tracing::info!(session = ?family, "the provider has ended the login; the session ends");
                let reason = if is_recheck { "ended_at_recheck" } else { "ended_by_provider" };
                self.tell(TokenChange::Ended, record, Some(reason));
                self.end(family, None).await?;
                Err(GONE)
            }
            Err(RefreshError::Refused(alike)) => match self.refused(family, alike).await? {
                OAuthError::Unavailable { .. } if is_recheck => {
                    self.silences.note(*family, &record.upstream);
                    nothing()
                }
                error => Err(error),
            },
            Err(RefreshError::Temporary { .. }) if is_recheck => {
                self.silences.note(*family, &record.upstream);
                nothing()
            }
            Err(RefreshError::Temporary { retry_after }) => Err(match retry_after {
                Some(retry_after_s) => OAuthError::Unavailable { retry_after_s },
                None => OAuthError::unavailable(),
            }),
        }
    }

    /// Writes a row with what the provider has said, which is kept until it is there.
    pub(super) async fn replace_renewed(
        &self,
        (family, renewed): (Family, UpstreamRenewal),
        row: &Row,
        record: &mut Record,
        expires: SystemTime,
    ) -> Result<Committed, StoreError> {
        self.unsaved.keep(family, renewed);
        let written = self.replace(&family, row, record, expires).await;
        match &written {
            Ok(Committed::Done) => drop(self.unsaved.take(&family)),
            // Whoever has called reads the row again first, and mostly does it.
            Ok(Committed::Conflict) | Err(_) => self.save_later(),
        }
        written
    }

    /// Forgets what the provider has said of a session that is over.
    pub(super) fn forget_unsaved(&self, family: &Family) {
        if let Some(tokens) = self.unsaved.take(family).and_then(|unsaved| unsaved.tokens) {
            self.upstream.discard(tokens);
        }
    }

    /// Writes down what could not be, as soon as that is possible: nobody may ask this server about that session for long, and
    /// other servers wait.
    fn save_later(&self) {
        if self.is_saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let own = Weak::clone(&self.own);
        self.in_flight.spawn(async move {
            let mut pause = SAVED_AGAIN_MIN;
            while let Some(sessions) = own.upgrade() {
                if sessions.save_all().await {
                    return;
                }
                drop(sessions);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(SAVED_AGAIN_MAX);
            }
        });
    }

    /// True if nothing is left to be saved, or somebody else sees to it.
    async fn save_all(&self) -> bool {
        for family in self.unsaved.families() {
            if let Err(error) = self.turns.take(family, self.save(family)).await {
                tracing::debug!(%error, "what the provider has said of sessions cannot be written down yet");
                return false;
            }
        }
        self.is_saving.store(false, Ordering::Release);
        self.unsaved.families().is_empty() || self.is_saving.swap(true, Ordering::AcqRel)
    }

    async fn save(&self, family: Family) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let Some((row, mut record)) = self.load(&family).await? else {
                self.forget_unsaved(&family);
                break;
            };
            let unsaved = self.unsaved.take(&family).filter(|unsaved| !unsaved.is_outdated_by(&record.upstream));
            let Some(renewed) = unsaved else { break };
            renewed.apply(&mut record);
            let expires = row.expires;
            if self.replace_renewed((family, renewed), &row, &mut record, expires).await? == Committed::Done {
                self.remember(family, &record);
                break;
            }
        }
        Ok(())
    }
}
