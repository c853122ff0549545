//! Tokens that come to another part of this server than the one that they are for.
//!
//! A client that names no `resource` (RFC 8707) gets a token for `/mcp`. At the URL of a view it is told to log in, does so
//! in the same way, and would go on like this forever, with a browser each time. So whoever comes with a second such
//! token is told why, and so is the person before whom the next login opens.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::principal::Principal;
use crate::view::View;

/// The time for which a refusal is remembered: a login takes a minute or two.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Clients that are remembered at once.
const CLIENTS_MAX: usize = 1000;

/// The last refusal of each client, by its id.
#[derive(Default)]
pub(super) struct Elsewhere(Mutex<HashMap<String, Refused>>);

struct Refused {
    person: [u8; 32],
    /// The view that it came to.
    at: View,
    token: blake3::Hash,
    /// Tokens in a row. One that comes again counts once: requests of one client come several at a time.
    tokens: u32,
    last: Instant,
}

impl Elsewhere {
    fn refused(&self) -> MutexGuard<'_, HashMap<String, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this caller's token came to a view that it is not for. Returns whether it is not the first in a row.
    pub(super) fn note(&self, principal: &Principal, token: &str, at: &View) -> bool {
        let Some(client) = &principal.client else { return false };
        let (person, token) = (principal.person(), blake3::hash(token.as_bytes()));
        let mut refused = self.refused();
        refused.retain(|_, refused| refused.last.elapsed() < REMEMBERED);
        let last = Instant::now();
        let known = refused.get_mut(client).filter(|known| known.person == person && known.at == *at);
        if let Some(known) = known {
            if known.token != token {
                (known.token, known.tokens) = (token, known.tokens.saturating_add(1));
            }
            known.last = last;
            return known.tokens > 1;
        }
        if refused.len() < CLIENTS_MAX || refused.contains_key(client) {
            refused.insert(client.clone(), Refused { person, at: at.clone(), token, tokens: 1, last });
        }
        false
    }

    /// Forgets a client that has come to a view with a token for it.
    pub(super) fn forget(&self, principal: &Principal) {
        let Some(client) = &principal.client else { return };
        let mut refused = self.refused();
        if refused.get(client).is_some_and(|known| known.at == *principal.view()) {
            refused.remove(client);
        }
    }

    /// The view at which this client's tokens were refused again and again.
    pub(super) fn loops_at(&self, client: &str) -> Option<View> {
        let refused = self.refused();
        let known = refused.get(client).filter(|known| known.tokens > 1 && known.last.elapsed() < REMEMBERED);
        known.map(|known| known.at.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::principal::{LoginFacts, Standing};

    fn principal(subject: &str) -> Principal {
        Principal::known(LoginFacts {
            issuer: "https://id.example".to_owned(),
            subject: subject.to_owned(),
            email: None,
            name: None,
            provider: "acme".to_owned(),
            client: "c".to_owned(),
            client_name: None,
            granted: BTreeSet::new(),
            possible: BTreeSet::new(),
            standing: Standing::default(),
        })
    }

    #[test]
    fn two_tokens_in_a_row_are_a_loop_and_one_that_comes_twice_is_none() {
        let (elsewhere, ops, other) = (Elsewhere::default(), View::named("ops"), View::named("other"));
        let (alice, bob) = (principal("alice"), principal("bob"));
        assert!(!elsewhere.note(&alice, "1", &ops) && !elsewhere.note(&alice, "1", &ops));
        assert_eq!(elsewhere.loops_at("c"), None);
        assert!(elsewhere.note(&alice, "2", &ops) && elsewhere.note(&alice, "2", &ops));
        assert_eq!(elsewhere.loops_at("c"), Some(ops.clone()));
        // Success elsewhere changes nothing.
        elsewhere.forget(&alice);
        elsewhere.forget(&principal("alice").at(&other));
        assert_eq!(elsewhere.loops_at("c"), Some(ops.clone()));
        elsewhere.forget(&principal("alice").at(&ops));
        assert_eq!(elsewhere.loops_at("c"), None);
        // Two people, or two views, are no row.
        assert!(!elsewhere.note(&alice, "1", &ops) && !elsewhere.note(&bob, "2", &ops));
        assert!(!elsewhere.note(&bob, "3", &other));
        assert_eq!(elsewhere.loops_at("c"), None);
    }
}
