//! The people of sessions that have ended lately: when one of their tokens is refused, the session's row is gone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::cache::Facts;
use super::record::Record;
use crate::auth::holder::Holder;
use crate::auth::identity::Identity;
use crate::store::Key;

/// Sessions that are remembered. Of those before them nobody knows whose they were.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub(super) struct Former(Mutex<Ended>);

#[derive(Default)]
struct Ended {
    holders: HashMap<Key, Holder>,
    order: VecDeque<Key>,
}

impl Former {
    /// Remembers the person of a session that ends.
    pub(super) fn note(&self, key: Key, holder: Holder) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.holders.insert(key, holder).is_none() {
            ended.order.push_back(key);
        }
        if ended.order.len() > REMEMBERED
            && let Some(oldest) = ended.order.pop_front()
        {
            ended.holders.remove(&oldest);
        }
    }

    /// The person of a session that has ended.
    pub(super) fn of(&self, key: &Key) -> Option<Holder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).holders.get(key).cloned()
    }
}

/// The person of a session in memory.
pub(super) fn of_facts(facts: &Facts) -> Holder {
    holder(&facts.identity, &facts.client_id, facts.client_name.as_deref())
}

/// The person of a session as it is written down.
pub(super) fn of_record(record: &Record) -> Holder {
    holder(&record.identity, &record.client_id, record.client_name.as_deref())
}

fn holder(identity: &Identity, client_id: &str, client_name: Option<&str>) -> Holder {
    Holder {
        issuer: identity.issuer.clone(),
        subject: identity.subject.clone(),
        email: identity.email.clone().filter(|_| identity.email_verified),
        is_person: true,
        client: Some((client_id.to_owned(), client_name.map(str::to_owned))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let former = Former::default();
        let holder = |subject: &str| Holder {
            issuer: "https://idp.example".to_owned(),
            subject: subject.to_owned(),
            email: None,
            is_person: true,
            client: None,
        };
        let first = Key::of(b"first");
        former.note(first, holder("alice"));
        former.note(first, holder("alice"));
        assert_eq!(former.of(&first), Some(holder("alice")));
        for number in 0..REMEMBERED {
            former.note(Key::of(&number.to_be_bytes()), holder("bob"));
        }
        assert_eq!(former.of(&first), None);
        assert_eq!(former.0.lock().unwrap().holders.len(), REMEMBERED);
    }
}
