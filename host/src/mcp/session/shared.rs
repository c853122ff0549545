//! What the sessions of several servers share: which of them are known not to have ended, and how one ends or is answered on
//! another server than the one that has it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use rmcp::model::ClientJsonRpcMessage;
use tokio_util::task::TaskTracker;

use super::id::{SessionId, latest_until_s};
use super::live::{AskedBy, Live};
use super::rest::Rests;
use crate::clock;
use crate::mcp::shelf::{Ended, Kind, Person, Place, Shelf, ShelfError, name_of, person_hex};
use crate::mcp::wishes;
use crate::replicas::ClientHint;

/// Time for which an answer waits for the server that asked. It hears of it at once, or looks after a gap.
const ANSWER_KEPT: Duration = Duration::from_secs(60);

/// The most sessions that are known not to have ended.
const CHECKED_MAX: usize = 16_384;

/// What the sessions of several servers need.
pub(super) struct Shared {
    pub(super) shelf: Shelf,
    pub(super) rests: Rests,
    checked: Mutex<Checked>,
}

/// The sessions that are known not to have ended. A change takes one out, also while it is looked at.
#[derive(Default)]
struct Checked {
    sessions: HashMap<String, Look>,
    last: u64,
}

#[derive(PartialEq, Eq)]
enum Look {
    UnderWay(u64),
    Done,
}

impl Checked {
    /// None for a session that is known; else the number of a look that begins.
    fn begin(&mut self, name: &str) -> Option<u64> {
        if self.sessions.get(name) == Some(&Look::Done) {
            return None;
        }
        if self.sessions.len() >= CHECKED_MAX {
            self.sessions.clear();
        }
        self.last += 1;
        self.sessions.insert(name.to_owned(), Look::UnderWay(self.last));
        Some(self.last)
    }

    /// A look has found that it has not ended, unless something came in between.
    fn done(&mut self, name: &str, number: u64) {
        if let Some(look) = self.sessions.get_mut(name).filter(|look| **look == Look::UnderWay(number)) {
            *look = Look::Done;
        }
    }
}

impl Shared {
    pub(super) fn new(shelf: Shelf, tracker: &TaskTracker) -> Self {
        let rests = Rests::new(shelf.clone(), tracker.clone());
        Self { shelf, rests, checked: Mutex::default() }
    }

    /// A session has changed, or any.
    pub(super) fn look_again(&self, id: Option<&str>) {
        let mut checked = self.checked();
        match id {
            Some(id) => drop(checked.sessions.remove(&name_of(id))),
            None => checked.sessions.clear(),
        }
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True for a session that was ended, on whichever server. While the store is away nobody knows of further ones.
    pub(super) async fn has_ended(&self, person: &Person, id: &str, session: &SessionId) -> bool {
        let name = name_of(id);
        let Some(look) = self.checked().begin(&name) else { return false };
        if self.shelf.is_away() {
            return false;
        }
        let (kept, ledger) = tokio::join!(wishes::of(&self.shelf, person, id), self.shelf.ledger(person));
        match (kept, ledger) {
            (Ok(kept), Ok(ledger)) => {
                let has_ended = kept.has_ended || ledger.has_ended(&person_hex(&session.owner), session.began_s());
                if !has_ended {
                    self.checked().done(&name, look);
                }
                has_ended
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, "a session could not be looked up");
                false
            }
        }
    }

    /// Ends a session on all servers.
    pub(super) async fn end(&self, person: &Person, id: &str, session: &SessionId) -> Result<(), ShelfError> {
        let until = UNIX_EPOCH + Duration::from_secs(session.until_s());
        wishes::end(&self.shelf, person, id, until).await
    }

    /// Ends the sessions of a person that have begun by now: all, or those of one owner.
    pub(super) async fn end_of(&self, person: &Person, owner: Option<&Person>) -> Result<(), ShelfError> {
        let by_s = clock::now_s();
        let until_ms = latest_until_s(by_s).saturating_mul(1000);
        let ended = Ended { owner: owner.map(person_hex), by_s, until_ms };
        self.shelf.end_sessions(person, ended).await?;
        self.shelf.tell(ClientHint::Person(person_hex(person))).await
    }

    /// Passes a message on, or returns it if it is for the service of its session here. The answer to a question that
    /// another server has asked is laid down for that one.
    ///
    /// # Errors
    /// It could not be laid down.
    pub(super) async fn pass_on(
        &self,
        person: &Person,
        id: &str,
        live: &Live,
        mut message: ClientJsonRpcMessage,
    ) -> Result<Option<ClientJsonRpcMessage>, ShelfError> {
        let question = match live.asked_by(&mut message) {
            AskedBy::Us => return Ok(Some(message)),
            AskedBy::Nobody => return Ok(None),
            AskedBy::Another(question) => question,
        };
        let (name, value) = (letter(id, question), serde_json::to_vec(&message).expect("a message is JSON"));
        self.shelf.put(Place { person, kind: Kind::Letter, name: &name }, &value, ANSWER_KEPT).await?;
        let (person, session) = (person_hex(person), id.to_owned());
        self.shelf.tell(ClientHint::Answered { person, session, question }).await?;
        Ok(None)
    }

    /// Takes what was laid down as the answer to a question.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn answer(
        &self,
        person: &Person,
        id: &str,
        question: u64,
    ) -> Result<Option<ClientJsonRpcMessage>, ShelfError> {
        let name = letter(id, question);
        let taken = self.shelf.take(Place { person, kind: Kind::Letter, name: &name }).await?;
        Ok(taken.and_then(|value| serde_json::from_slice(&value).ok()))
    }
}

/// The name of what was answered to a question.
fn letter(id: &str, question: u64) -> String {
    format!("{}.{question}", name_of(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_during_a_look_makes_it_look_again() {
        let mut checked = Checked::default();
        let look = checked.begin("a").unwrap();
        checked.sessions.remove("a");
        checked.done("a", look);
        let again = checked.begin("a").unwrap();
        checked.done("a", look);
        assert!(checked.sessions["a"] == Look::UnderWay(again));
        checked.done("a", again);
        assert!(checked.begin("a").is_none());
    }
}
