//! Access tokens: whose they are, from memory where that is fresh enough.

use std::sync::Arc;

use super::cache::{Freshness, Grant, Live};
use super::record::{Access, Record};
use super::{Sessions, TRIES, now_s};
use crate::auth::tokens::{Family, Kind, Token};
use crate::principal::{Known, Principal};
use crate::store::{Committed, StoreError};

/// Why a bearer token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum BearerError {
    /// It is no access token of this server.
    Foreign,
    /// Its session has ended, or it was revoked.
    Ended,
    /// Its time is over.
    Expired,
    /// The store cannot say.
    Unavailable,
}

impl Sessions {
    /// Who is behind an access token.
    pub(in crate::auth) async fn authenticate(
        self: &Arc<Self>,
        raw_token: &str,
    ) -> Result<Arc<Principal>, BearerError> {
        let token = Token::open(&self.vault, Kind::Access, raw_token).ok_or(BearerError::Foreign)?;
        let hash = token.hash();
        let cached = self.cache.get(&token.family);
        if let Some(live) = &cached
            && let Some(grant) = live.grant(&hash)
        {
            match live.freshness() {
                Freshness::Fresh => return self.use_grant(token.family, live, grant),
                Freshness::Reload => {
                    let (sessions, family) = (Arc::clone(self), token.family);
                    self.tasks.spawn(async move { sessions.reload(family).await });
                    return self.use_grant(token.family, live, grant);
                }
                Freshness::Stale => {}
            }
        }
        // Not here, or too old: another replica may have given it out, or ended it.
        match self.reload(token.family).await {
            Ok(live) => {
                let live = live.ok_or(BearerError::Ended)?;
                let grant = live.grant(&hash).ok_or(BearerError::Ended)?;
                self.use_grant(token.family, &live, grant)
            }
            // Logins that are known go on while the store is away.
            Err(_) => {
                let grant = cached.as_ref().and_then(|live| Some((live, live.grant(&hash)?)));
                let (live, grant) = grant.ok_or(BearerError::Unavailable)?;
                self.use_grant(token.family, live, grant)
            }
        }
    }

    fn use_grant(self: &Arc<Self>, family: Family, live: &Live, grant: &Grant) -> Result<Arc<Principal>, BearerError> {
        if grant.expires_s <= now_s() {
            return Err(BearerError::Expired);
        }
        if live.is_first_use(grant) {
            let (sessions, generation) = (Arc::clone(self), grant.generation);
            self.tasks.spawn(async move { sessions.note_first_use(family, generation).await });
        }
        Ok(Arc::clone(&grant.principal))
    }

    /// Writes down that a token of the latest rotation has arrived, which begins the end of the grace.
    async fn note_first_use(&self, family: Family, generation: u32) {
        for _ in 0..TRIES {
            let Ok(Some((row, mut record))) = self.load(&family).await else { return };
            let refresh = record.refresh.as_mut().filter(|refresh| refresh.generation == generation);
            let predecessor = refresh.and_then(|refresh| refresh.predecessor.as_mut());
            let Some(predecessor) = predecessor.filter(|it| it.answer_used_s.is_none()) else { return };
            predecessor.answer_used_s = Some(now_s());
            let expires = row.expires;
            match self.replace(&family, &row, &mut record, expires).await {
                Ok(Committed::Conflict) => {}
                Ok(Committed::Done) => {
                    self.remember(family, &record);
                    return;
                }
                Err(error) => {
                    tracing::warn!(?error, "the first use of a token could not be noted");
                    return;
                }
            }
        }
    }

    async fn reload(&self, family: Family) -> Result<Option<Arc<Live>>, StoreError> {
        match self.load(&family).await? {
            Some((_, record)) => Ok(Some(self.remember(family, &record))),
            None => {
                self.cache.forget(&family);
                Ok(None)
            }
        }
    }

    pub(super) fn remember(&self, family: Family, record: &Record) -> Arc<Live> {
        let possible = self.people.held_by(&record.identity);
        let is_allowed = self.people.admits(&record.identity);
        let identity = &record.identity;
        let principal = |access: &Access| {
            Principal::known(Known {
                issuer: identity.issuer.clone(),
                subject: identity.subject.clone(),
                email: identity.email.clone().filter(|_| identity.email_verified),
                name: identity.name.clone(),
                provider: record.provider.clone(),
                client: record.client_id.clone(),
                granted: &access.scopes & &possible,
                possible: possible.clone(),
            })
        };
        let grant = |access: &Access| Grant {
            hash: access.hash,
            expires_s: access.expires_s,
            generation: access.generation,
            principal: Arc::new(principal(access)),
        };
        // Whoever was taken from `[auth] allow` is out with the restart that this takes.
        let grants = record.access.iter().filter(|_| is_allowed).map(grant).collect();
        let predecessor = record.refresh.as_ref().and_then(|refresh| refresh.predecessor.as_ref());
        let is_unused = predecessor.is_some_and(|predecessor| predecessor.answer_used_s.is_none());
        let generation = record.refresh.as_ref().map(|refresh| refresh.generation).filter(|_| is_unused);
        self.cache.insert(family, Live::new(record.changes, grants, generation))
    }
}
