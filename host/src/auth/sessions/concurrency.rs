//! Requests of one process that concern the same thing: codes that were just redeemed, answers that are not stored yet, and
//! sessions of which the provider says nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::record::{Answer, Record};
use super::shared_turns::SharedTurn;
use crate::auth::identity::Identity;
use crate::auth::tokens::{Family, TokenHash};
use crate::auth::upstream::messages::UpstreamTokens;
use crate::clock::{now_ms, now_s};
use crate::log_limiter::LogLimiter;

/// The time at which a request came in.
#[derive(Debug, Clone, Copy)]
pub(in crate::auth) struct StartTime {
    at: Instant,
    at_ms: u64,
}

impl StartTime {
    pub(in crate::auth) fn now() -> Self {
        Self { at: Instant::now(), at_ms: now_ms() }
    }
}

/// Codes that were redeemed here a moment ago, with their answers.
///
/// Some clients send the same redemption twice at once, and use either answer. So whoever has asked before the first was
/// answered gets the same; whoever asks afterwards has no claim to it.
#[derive(Default)]
pub(super) struct AnswerCache(Mutex<HashMap<TokenHash, (Instant, Answer)>>);

/// The time for which an answer is kept: longer than a request can have been under way when it was given.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Answers that are kept at once. There are as many as logins in a minute.
const ANSWERED_MAX: usize = 10_000;

/// The time after its redemption in which a code may come again without ending its session: a client that has lost the
/// answer tries again by itself.
const RETRIED_MS: u64 = 10_000;

impl StartTime {
    /// True if the request came longer after a code's redemption than a client tries again.
    pub(super) fn is_long_after(self, used_ms: u64) -> bool {
        self.at_ms > used_ms.saturating_add(RETRIED_MS)
    }
}

impl AnswerCache {
    pub(super) fn note(&self, code: TokenHash, answer: Answer) {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        if answered.len() < ANSWERED_MAX {
            answered.insert(code, (Instant::now(), answer));
        }
    }

    /// The answer to a code's redemption, for a request that began before it was given.
    pub(super) fn get(&self, code: &TokenHash, began: StartTime) -> Option<Answer> {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = answered.get(code)?;
        (began.at <= *at).then(|| answer.clone())
    }
}

/// The provider's answer to a refresh token; empty, if nothing was due.
#[derive(Default)]
pub(super) struct UpstreamRenewal {
    pub(super) tokens: Option<UpstreamTokens>,
    pub(super) identity: Option<Identity>,
    /// The tokens that the provider was asked with.
    pub(super) before: Option<UpstreamTokens>,
    /// Other servers ask nothing until the row has the answer.
    pub(super) _turn: SharedTurn,
}

impl UpstreamRenewal {
    /// True if the row has a later word of the provider's than this one: another server has asked in spite of all. A row with
    /// an earlier word is what a failover has left.
    pub(super) fn is_outdated_by(&self, row: &UpstreamTokens) -> bool {
        let is_later = |tokens: &UpstreamTokens| row.checked_at >= tokens.checked_at;
        self.before.as_ref() != Some(row) && self.tokens.as_ref().is_none_or(is_later)
    }

    pub(super) fn apply(&self, record: &mut Record) {
        if let Some(tokens) = &self.tokens {
            record.upstream = tokens.clone();
            record.refused_since_s = None;
        }
        if let Some(identity) = &self.identity {
            // A refresh need not say again in which of its own sessions the provider has it.
            let sid = identity.sid.clone().or_else(|| record.identity.sid.take());
            record.identity = Identity { sid, ..identity.clone() };
        }
    }
}

/// Answers of the provider that could not be stored yet: providers take a refresh token once.
#[derive(Default)]
pub(super) struct PendingRenewals(Mutex<HashMap<Family, UpstreamRenewal>>);

/// Sessions of which something may be unsaved at once. It takes a store that fails, and a refresh each.
const UNSAVED_MAX: usize = 10_000;

impl PendingRenewals {
    pub(super) fn keep(&self, family: Family, renewed: UpstreamRenewal) {
        let mut unsaved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.tokens.is_some() && unsaved.len() < UNSAVED_MAX {
            unsaved.insert(family, renewed);
        }
    }

    pub(super) fn take(&self, family: &Family) -> Option<UpstreamRenewal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(family)
    }

    pub(super) fn families(&self) -> Vec<Family> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

/// The time for which the provider is not asked again about a session of which it has said nothing.
const PAUSE: Duration = Duration::from_secs(10);

/// The most sessions of which that is remembered; of those beyond, it is asked at each request.
const SILENCES_MAX: usize = 50_000;

static SILENT: LogLimiter = LogLimiter::new("sessions about which the provider could not be asked (`auth.recheck`)");

/// The sessions about which the provider was asked lately and has said nothing.
#[derive(Default)]
pub(super) struct Silences(Mutex<HashMap<Family, Instant>>);

impl Silences {
    /// Notes that the provider has said nothing of a session, and says how old its last word is.
    pub(super) fn note(&self, family: Family, upstream: &UpstreamTokens) {
        let minutes = now_s().saturating_sub(upstream.checked_at) / 60;
        SILENT.log(|| {
            tracing::warn!(
                session = ?family,
                "the provider does not answer a question about a session that is in use (`auth.recheck`); its last word is {minutes} minutes old, and the session goes on"
            );
        });
        let mut silences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if silences.len() >= SILENCES_MAX {
            silences.retain(|_, since| since.elapsed() < PAUSE);
        }
        if silences.len() < SILENCES_MAX {
            silences.insert(family, Instant::now());
        }
    }

    pub(super) fn has(&self, family: &Family) -> bool {
        let silences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silences.get(family).is_some_and(|since| since.elapsed() < PAUSE)
    }

    pub(super) fn end(&self, family: &Family) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(family);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::auth::tokens::{Token, TokenKind};
    use crate::vault::Vault;

    #[test]
    fn an_answer_is_shared_by_those_who_asked_before_it_was_given() {
        let code = || Token::new(&Vault::for_tests(1), TokenKind::Code, Family::new()).hash();
        let (code, other) = (code(), code());
        let answered = AnswerCache::default();
        let before = StartTime::now();
        assert!(answered.get(&code, before).is_none());
        let answer = Answer {
            access_token: "a".to_owned(),
            refresh_token: "r".to_owned(),
            scopes: BTreeSet::new(),
            issued_s: 1,
            expires_s: 2,
        };
        answered.note(code, answer);
        assert_eq!(answered.get(&code, before).unwrap().access_token, "a");
        assert!(answered.get(&other, before).is_none());
        let after = StartTime { at: Instant::now() + Duration::from_millis(1), ..before };
        assert!(answered.get(&code, after).is_none());
    }

    #[test]
    fn a_code_may_come_again_for_ten_seconds() {
        let began = |at_ms| StartTime { at: Instant::now(), at_ms };
        for (at_ms, expected) in [(999_000, false), (1_000_000, false), (1_010_000, false), (1_010_001, true)] {
            assert_eq!(began(at_ms).is_long_after(1_000_000), expected, "{at_ms}");
        }
        assert!(!began(u64::MAX).is_long_after(u64::MAX));
    }

    #[test]
    fn the_later_word_of_the_provider_counts() {
        let tokens = |name: &str, checked_at| UpstreamTokens {
            access_token: name.to_owned(),
            refresh_token: None,
            id_token: None,
            expires_at: None,
            scope: Vec::new(),
            checked_at,
        };
        // This one was asked with `old`, and told `new` at 20.
        let renewal = UpstreamRenewal {
            tokens: Some(tokens("new", 20)),
            before: Some(tokens("old", 10)),
            ..UpstreamRenewal::default()
        };
        for (row, expected) in [
            (tokens("old", 10), false),
            // Written down already, or another server was told something later.
            (tokens("new", 20), true),
            (tokens("another", 21), true),
            (tokens("another", 20), true),
            // A failover has left what was before.
            (tokens("older", 9), false),
        ] {
            let name = row.access_token.clone();
            assert_eq!(renewal.is_outdated_by(&row), expected, "{name}");
        }
        // Tokens may be renewed in the second in which they were given.
        let at_once = UpstreamRenewal { before: Some(tokens("old", 20)), ..renewal };
        assert!(!at_once.is_outdated_by(&tokens("old", 20)));
    }
}
