//! Whether the provider refuses to renew one person's session, or everybody's.
//!
//! A refusal in words that nobody knows may mean that this person's token is dead, or that something is set up wrong.
//! What happens to somebody else too, while nobody's refresh works, is not about the person.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Kinds of refusals that are remembered at once.
const KINDS_MAX: usize = 64;

/// Refusals since somebody's session was last renewed: by the error's code, two of the people who were refused so.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Vec<String>>>);

impl Refusals {
    /// Notes a refusal, and says whether it is this person's own: whether nobody else was refused so.
    pub(super) fn is_own(&self, code: &str, person: &str) -> bool {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= KINDS_MAX && !refused.contains_key(code) {
            return false;
        }
        let people = refused.entry(code.to_owned()).or_default();
        if people.len() < 2 && !people.iter().any(|other| other == person) {
            people.push(person.to_owned());
        }
        people.len() < 2
    }

    /// Somebody's session was renewed.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_others_too_is_nobodys_own() {
        let refusals = Refusals::default();
        assert!(refusals.is_own("invalid_request", "alice"));
        assert!(refusals.is_own("invalid_request", "alice"));
        assert!(refusals.is_own("status 400", "bob"));
        assert!(!refusals.is_own("invalid_request", "bob"));
        assert!(!refusals.is_own("invalid_request", "alice"));
        refusals.forget();
        assert!(refusals.is_own("invalid_request", "bob"));
    }
}
