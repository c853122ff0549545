//! Refresh tokens: rotation, retries, and theft.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::{Answer, Predecessor, Record, RefreshRecord};
use super::transition::{self, Renewal};
use super::{GONE, Sessions, TRIES};
use crate::audit::event::TokenChange;
use crate::auth::errors::OAuthError;
use crate::auth::people::is_inert;
use crate::auth::tokens::{Token, TokenKind};
use crate::clock::{now_ms, now_s};
use crate::store::Committed;
use crate::view::View;

/// The time for which the answer to a refresh may be repeated when no token of it was ever seen: a laptop that slept
/// before the answer arrived is not logged out.
const UNSEEN_ANSWER_S: u64 = 24 * 3600;

/// What a refresh token is exchanged for.
enum Next {
    /// A new pair, of this generation.
    Pair(u32),
    /// An answer that was given before and lost.
    Again(Answer),
}

impl Sessions {
    /// Exchanges a refresh token for the next pair (RFC 6749 §6, RFC 9700 §4.14), for the view of its session. A `view`
    /// that the client names must be that one.
    ///
    /// The immediate predecessor of the current token gets the answer that it got before, for as long as nobody has
    /// used that, and a moment longer; with another access token in it where the first is over or nearly. Anything
    /// older is theft, and ends the session.
    ///
    /// # Errors
    /// `invalid_grant` and others. A refusal changes nothing, but for theft.
    pub(in crate::auth) async fn refresh(
        self: &Arc<Self>,
        raw_token: &str,
        client_id: &str,
        raw_scope: Option<&str>,
        view: Option<View>,
    ) -> Result<Answer, OAuthError> {
        let token = Token::open(&self.vault, TokenKind::Refresh, raw_token).ok_or(GONE)?;
        let (sessions, client_id) = (Arc::clone(self), client_id.to_owned());
        let asked = self.people.asked(raw_scope);
        // A client that goes away must not take the provider's new tokens with it.
        let work = async move {
            let family = token.family;
            sessions.turns.take(family, sessions.refresh_in_turn(&token, (&client_id, view.as_ref()), asked)).await
        };
        self.in_flight.spawn(work).await.unwrap_or_else(|_| Err(OAuthError::unavailable()))
    }

    async fn refresh_in_turn(
        &self,
        token: &Token,
        (client_id, view): (&str, Option<&View>),
        asked: Option<BTreeSet<String>>,
    ) -> Result<Answer, OAuthError> {
        for _ in 0..TRIES {
            let (row, mut record) = self.load(&token.family).await?.ok_or(GONE)?;
            if record.client_id != client_id {
                return Err(GONE);
            }
            record.require_view(view)?;
            let known = record.refresh.as_ref().map(RefreshRecord::known);
            let now_s = now_s();
            let next = match transition::renewal(&token.hash(), token.lineage, known.as_ref(), row.revision.primary) {
                Renewal::Next { generation } => Next::Pair(generation),
                Renewal::Unknown => return Err(GONE),
                Renewal::Again | Renewal::Theft => {
                    let Some(answer) = self.answer_to_repeat(token, record.refresh.as_ref(), now_s) else {
                        tracing::warn!(session = ?token.family, "an old refresh token was used again; its session ends");
                        self.tell(TokenChange::Ended, &record, Some("refresh_token_reused"));
                        self.end(&token.family, Some(record)).await?;
                        return Err(GONE);
                    };
                    // At the end of the session's time another one would live no longer.
                    let is_over = answer.is_nearly_over(now_s) && answer.expires_s < self.access_end_s(&record, now_s);
                    if !is_over && record.has_access(&answer.access_token, &self.vault) {
                        return Ok(answer);
                    }
                    Next::Again(answer)
                }
            };
            // Clients repeat what they asked for at first, which may be more than the person holds by now, but not more
            // than the person approved (RFC 6749 §6).
            let is_wider = |scope: &String| !record.approved.contains(scope) && !is_inert(scope);
            if matches!(next, Next::Pair(_)) && asked.iter().flatten().any(is_wider) {
                return Err(OAuthError::InvalidScope);
            }
            let renewed = match (self.renewed(&token.family, &row, &record).await, &next) {
                // The provider is down, and what was lost is good for a moment more.
                (Err(OAuthError::Unavailable { .. }), Next::Again(answer))
                    if answer.expires_s > now_s && record.has_access(&answer.access_token, &self.vault) =>
                {
                    return Ok(answer.clone());
                }
                (renewed, _) => renewed?,
            };
            let Some(renewed) = renewed else { continue };
            renewed.apply(&mut record);
            if !self.people.admits(&record.identity) {
                tracing::warn!(session = ?token.family, "the person may not log in any more; the session ends");
                self.tell(TokenChange::Ended, &record, Some("turned_away"));
                self.end(&token.family, Some(record)).await?;
                return Err(GONE);
            }
            let answer = match next {
                Next::Pair(generation) => {
                    let granted = self.granted(&record, asked.as_ref());
                    let by = (token.family, row.revision.primary);
                    let (answer, current) = self.mint(by, &mut record, granted, generation, now_s);
                    let predecessor = Some(Predecessor::new(token, &answer, now_s));
                    record.refresh = Some(RefreshRecord { current, generation, predecessor });
                    record.code.used_ms.get_or_insert_with(now_ms);
                    answer
                }
                Next::Again(lost) => self.mint_again(token, &mut record, lost, now_s),
            };
            let expires = self.expires(&record);
            if self.replace_renewed((token.family, renewed), &row, &mut record, expires).await? == Committed::Done {
                self.remember(token.family, &record);
                self.tell(TokenChange::Refreshed, &record, None);
                return Ok(answer);
            }
        }
        Err(OAuthError::unavailable())
    }

    /// The earlier answer to a refresh token that is not the current one, if this is a retry; nothing, if it is theft.
    fn answer_to_repeat(&self, token: &Token, refresh: Option<&RefreshRecord>, now_s: u64) -> Option<Answer> {
        let predecessor = refresh?.predecessor.as_ref().filter(|predecessor| predecessor.hash == token.hash())?;
        let is_in_grace = match predecessor.answer_used_s {
            Some(used_s) => now_s <= used_s + self.lives.grace.as_secs(),
            None => now_s <= predecessor.rotated_s + UNSEEN_ANSWER_S,
        };
        predecessor.answer(token).filter(|_| is_in_grace)
    }

    /// The answer that was lost, with another access token in place of its own, which dies. The refresh token is the
    /// same one and the grace goes on as it was, so that retries have no more successors than one.
    fn mint_again(&self, token: &Token, record: &mut Record, lost: Answer, now_s: u64) -> Answer {
        if let Some(old) = Token::open(&self.vault, TokenKind::Access, &lost.access_token) {
            record.access.retain(|access| access.hash != old.hash());
        }
        // What the lost answer was for, cut to what the person holds by now.
        let scopes = if lost.scopes.is_empty() { lost.scopes } else { self.granted(record, Some(&lost.scopes)) };
        let generation = record.refresh.as_ref().map_or(0, |refresh| refresh.generation);
        let (access_token, expires_s) = self.mint_access(token.family, record, scopes.clone(), generation, now_s);
        let answer = Answer { access_token, refresh_token: lost.refresh_token, scopes, issued_s: now_s, expires_s };
        if let Some(predecessor) = record.refresh.as_mut().and_then(|refresh| refresh.predecessor.as_mut()) {
            predecessor.replace_answer(token, &answer);
        }
        answer
    }
}
