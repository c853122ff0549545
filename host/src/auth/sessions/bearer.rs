//! Access tokens and the people behind them, from memory where that is fresh enough.

use std::net::IpAddr;
use std::sync::Arc;

use super::cache::{Facts, Freshness, Grant, LiveSession};
use super::login_token::SessionLogin;
use super::record::{AccessRecord, Record};
use super::{Sessions, TRIES, former};
use crate::auth::holder;
use crate::auth::people::Holder;
#[cfg(test)]
use crate::auth::tokens::LastToken;
use crate::auth::tokens::{Family, Opened, Token, TokenHash, TokenKind};
use crate::clock::now_s;
use crate::principal::{LoginFacts, LoginToken, Principal, Standing};
use crate::store::{Committed, StoreError};

/// The reason why a bearer token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum BearerError {
    /// The token is none of this server.
    Foreign,
    /// Its session has ended, or it was revoked.
    Ended,
    /// Its person, or its client, is turned away by the current rules.
    TurnedAway,
    /// Its time is over.
    Expired,
    /// The store cannot be read.
    Unavailable,
}

impl Sessions {
    /// Finds the principal behind an access token.
    #[cfg(test)]
    pub(in crate::auth) async fn authenticate(
        self: &Arc<Self>,
        raw_token: &str,
        last: &LastToken,
        from: impl Fn() -> Option<IpAddr> + Send + Sync,
    ) -> Result<Arc<Principal>, BearerError> {
        let opened = last.open(&self.vault, raw_token).filter(|opened| opened.kind == TokenKind::Access);
        self.principal_of(opened.ok_or(BearerError::Foreign)?, from).await
    }

    /// Finds the principal behind an access token that this server made.
    pub(in crate::auth) async fn principal_of(
        self: &Arc<Self>,
        opened: Opened,
        from: impl Fn() -> Option<IpAddr> + Send + Sync,
    ) -> Result<Arc<Principal>, BearerError> {
        self.holder(opened.family, opened.hash, from).await.map(|(_, principal)| principal)
    }

    /// Finds a session and its principal by a token that this server made, and asks the provider about the person if that
    /// is due.
    pub(super) async fn holder(
        self: &Arc<Self>,
        family: Family,
        hash: TokenHash,
        from: impl Fn() -> Option<IpAddr> + Send + Sync,
    ) -> Result<(Arc<LiveSession>, Arc<Principal>), BearerError> {
        let holder = self.known_holder(family, hash, from).await?;
        match holder.0.facts.recheck_at_s {
            Some(due_s) if due_s <= now_s() => self.rechecked_holder(family, hash, holder).await,
            _ => Ok(holder),
        }
    }

    pub(super) async fn known_holder(
        self: &Arc<Self>,
        family: Family,
        hash: TokenHash,
        from: impl Fn() -> Option<IpAddr> + Send + Sync,
    ) -> Result<(Arc<LiveSession>, Arc<Principal>), BearerError> {
        let cached = self.cache.get(&family).map(|live| self.by_rules_of_now(family, live));
        if let Some(live) = &cached
            && let Some(grant) = live.grant(&hash)
        {
            match live.freshness(self.store.replicas().hearing()) {
                Freshness::Fresh => return self.use_grant(family, live, grant, &from),
                Freshness::Reload => {
                    let sessions = Arc::clone(self);
                    self.in_flight.spawn(async move { sessions.reload(family).await });
                    return self.use_grant(family, live, grant, &from);
                }
                // Nobody waits for a store that is known to be away.
                Freshness::Away if self.store.honours(live.loaded) => {
                    return self.use_grant(family, live, grant, &from);
                }
                Freshness::Away => return Err(BearerError::Unavailable),
                Freshness::Stale => {}
            }
        }
        // Not here, or too old: another replica may have given it out, or ended it.
        match self.reload(family).await {
            Ok(live) => {
                let live = live.ok_or(BearerError::Ended)?;
                let grant = live.grant(&hash).ok_or(BearerError::Ended)?;
                self.use_grant(family, &live, grant, &from)
            }
            // Logins that are known go on while the store is away.
            Err(_) => {
                let honoured = cached.as_ref().filter(|live| self.store.honours(live.loaded));
                let grant = honoured.and_then(|live| Some((live, live.grant(&hash)?)));
                let (live, grant) = grant.ok_or(BearerError::Unavailable)?;
                self.use_grant(family, live, grant, &from)
            }
        }
    }

    /// The person of a session, as far as memory knows.
    pub(in crate::auth) fn holder_of(&self, family: &Family) -> Option<holder::Holder> {
        let live = self.cache.get(family).map(|live| former::of_facts(&live.facts));
        live.or_else(|| self.former.of(&family.row()))
    }

    /// Notes the use of a code or a refresh token from an address, to be written with what it changes.
    pub(in crate::auth) fn note_use(&self, kind: TokenKind, raw_token: &str, from: IpAddr) {
        if let Some(token) = Token::open(&self.vault, kind, raw_token) {
            self.presences.of(token.family).note(now_s(), || Some(from));
        }
    }

    fn use_grant(
        self: &Arc<Self>,
        family: Family,
        live: &Arc<LiveSession>,
        grant: &Grant,
        from: impl Fn() -> Option<IpAddr>,
    ) -> Result<(Arc<LiveSession>, Arc<Principal>), BearerError> {
        let principal = grant.principal(|| self.principal(family, live, &grant.access));
        let principal = principal.ok_or(BearerError::TurnedAway)?;
        let now_s = now_s();
        if grant.access.expires_s <= now_s {
            return Err(BearerError::Expired);
        }
        // An entry that was read before its session was ended here.
        if live.presence.ended.is_cancelled() {
            return Err(BearerError::Ended);
        }
        live.presence.note(now_s, from);
        if live.is_first_use(grant) {
            let (sessions, generation) = (Arc::clone(self), grant.access.generation);
            self.in_flight.spawn(async move { sessions.note_first_use(family, generation).await });
        }
        Ok((Arc::clone(live), Arc::clone(principal)))
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

    pub(super) async fn reload(&self, family: Family) -> Result<Option<Arc<LiveSession>>, StoreError> {
        match self.load(&family).await? {
            Some((_, record)) => Ok(Some(self.remember(family, &record))),
            None => {
                if let Some(live) = self.cache.get(&family) {
                    self.former.note(family.row(), former::of_facts(&live.facts));
                }
                self.cache.forget(&family);
                self.presences.end(&family.row());
                Ok(None)
            }
        }
    }

    /// The session under the current rules.
    fn by_rules_of_now(&self, family: Family, live: Arc<LiveSession>) -> Arc<LiveSession> {
        if live.rules == self.people.version() {
            return live;
        }
        // The version first: rules that change meanwhile make this outdated, and not the other way round.
        let rules = self.people.version();
        let grants = live.grants.iter().map(|grant| Grant::new(grant.access.clone())).collect();
        self.cache.replace(family, &live, (rules, grants))
    }

    pub(super) fn remember(&self, family: Family, record: &Record) -> Arc<LiveSession> {
        let facts = Facts {
            identity: Arc::new(record.identity.clone()),
            provider: record.provider.clone(),
            client_id: record.client_id.clone(),
            view: record.view.clone(),
            client_name: record.client_name.clone(),
            browser: record.browser,
            recheck_at_s: self.recheck_at_s(&record.upstream),
            all_ended: record.all_ended,
        };
        let presence = self.presences.of(family);
        let predecessor = record.refresh.as_ref().and_then(|refresh| refresh.predecessor.as_ref());
        let is_unused = predecessor.is_some_and(|predecessor| predecessor.answer_used_s.is_none());
        let generation = record.refresh.as_ref().map(|refresh| refresh.generation).filter(|_| is_unused);
        // The version first: rules that change meanwhile make this outdated, and not the other way round.
        let rules = self.people.version();
        let grants = record.access.iter().cloned().map(Grant::new).collect();
        let live = LiveSession::new(record.changes, Arc::new(facts), rules, grants, generation, presence);
        self.cache.insert(family, live)
    }

    /// The principal of a token by the current rules; none if the person may not call any more.
    fn principal(&self, family: Family, live: &LiveSession, access: &AccessRecord) -> Option<Principal> {
        let LiveSession { facts, presence, .. } = live;
        let identity = &facts.identity;
        if !self.people.continues(identity, &facts.client_id, facts.all_ended) {
            return None;
        }
        let possible = self.people.held_by(identity);
        let login: Arc<dyn LoginToken> = Arc::new(SessionLogin::new(&self.own, family));
        let in_use = Arc::clone(presence);
        let holder = Holder {
            people: self.people.clone(),
            identity: Arc::clone(identity),
            client_id: facts.client_id.clone(),
            scopes: access.scopes.clone(),
            all_ended: facts.all_ended,
            ended: presence.ended.clone(),
            _in_use: in_use,
        };
        let principal = Principal::known(LoginFacts {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            email: identity.email.clone().filter(|_| identity.email_verified),
            name: identity.name.clone(),
            provider: facts.provider.clone(),
            client: facts.client_id.clone(),
            client_name: facts.client_name.clone(),
            granted: &access.scopes & &possible,
            possible,
            standing: Standing::of(Arc::new(holder), login),
        });
        Some(principal.at(&facts.view))
    }
}
