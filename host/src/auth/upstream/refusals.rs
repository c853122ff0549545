//! The provider's refusals to renew sessions: of one person, or of everybody.
//!
//! A refusal in words that nobody knows may mean that this person's token is dead, or that something is set up wrong.
//! A refusal that somebody else gets too, while nobody's refresh works, is not about the person. Two dead tokens beside
//! others that work look the same at first, so how long ago the last one worked is told with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::auth::upstream::messages::Alike;
use crate::clock::now_s;

/// Kinds of refusals that are remembered at once.
const KINDS_MAX: usize = 64;

/// Refusals of a run of the server.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Tally>);

#[derive(Default)]
struct Tally {
    /// Refusals since somebody's session was last renewed: by the error's code, two of the people who were refused so.
    refused: HashMap<String, Vec<String>>,
    /// The time of that renewal, in seconds since 1970.
    renewed_s: Option<u64>,
    /// An earlier run has met more than one person who was refused, and nobody was renewed since.
    goes_on: bool,
}

impl Refusals {
    /// No refusals yet. `goes_on` tells of an outage that an earlier run has met.
    pub(super) fn new(goes_on: bool) -> Self {
        Self(Mutex::new(Tally { goes_on, ..Tally::default() }))
    }

    /// Notes a refusal, and tells who else was refused with the same code.
    pub(super) fn note(&self, code: &str, person: &str) -> Alike {
        let mut seen = self.seen();
        let renewed_s = seen.renewed_s;
        let others = Alike::Others { renewed_ago: renewed_s.map(|at| Duration::from_secs(now_s().saturating_sub(at))) };
        if seen.refused.len() >= KINDS_MAX && !seen.refused.contains_key(code) {
            return others;
        }
        let goes_on = seen.goes_on;
        let people = seen.refused.entry(code.to_owned()).or_default();
        if people.len() < 2 && !people.iter().any(|other| other == person) {
            people.push(person.to_owned());
        }
        if people.len() < 2 && !goes_on { Alike::Nobody } else { others }
    }

    /// Forgets all refusals: somebody's session was renewed.
    pub(super) fn forget(&self) {
        *self.seen() = Tally { renewed_s: Some(now_s()), ..Tally::default() };
    }

    fn seen(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_others_too_is_nobodys_own() {
        let refusals = Refusals::default();
        let unknown = Alike::Others { renewed_ago: None };
        assert_eq!(refusals.note("invalid_request", "alice"), Alike::Nobody);
        assert_eq!(refusals.note("invalid_request", "alice"), Alike::Nobody);
        assert_eq!(refusals.note("status 400", "bob"), Alike::Nobody);
        assert_eq!(refusals.note("invalid_request", "bob"), unknown);
        assert_eq!(refusals.note("invalid_request", "alice"), unknown);
        refusals.forget();
        assert_eq!(refusals.note("invalid_request", "bob"), Alike::Nobody);
        let Alike::Others { renewed_ago: Some(ago) } = refusals.note("invalid_request", "alice") else {
            panic!("Carol's session was renewed")
        };
        assert!(ago < Duration::from_secs(60), "{ago:?}");
    }

    #[test]
    fn a_restart_does_not_make_an_outage_one_persons() {
        let refusals = Refusals::new(true);
        assert_eq!(refusals.note("invalid_request", "alice"), Alike::Others { renewed_ago: None });
        refusals.forget();
        assert_eq!(refusals.note("invalid_request", "alice"), Alike::Nobody);
    }
}
