//! Sessions that several servers of one store serve at once: none of them stays with one server.
//!
//! The id carries owner and handshake. The rest is in a row of the store ([`wishes`]): what the client wishes, and that the
//! session has ended. A server reads the row when it meets a session, and again when another one says that it has changed.
//! Cancellations and answers that come to a server that has no use for them are taken to the one that has.

use futures::future::join_all;
use rmcp::model::RequestId;
use rmcp::transport::streamable_http_server::session::SessionId as RmcpId;

use super::Sessions;
use super::live::{AskedBy, Live, Resumed};
use super::shared::Shared;
use crate::mcp::exchange::{Exchange, Handshake};
use crate::mcp::shelf::{Person, ShelfError, person_hex, person_of};
use crate::mcp::wishes;
use crate::replicas::{ClientHint, RestHint};

/// The longest id of a request, as JSON, of which others are told. Clients count, or use a UUID.
const MAX_ID_BYTES: usize = 256;

/// People whose sessions are looked at together after a gap.
const AT_ONCE: usize = 32;

impl Sessions {
    /// Takes over what the servers keep of a session that was begun in memory.
    pub(super) async fn take_over(&self, exchange: &Exchange, id: &str, live: &Live) {
        let Some(shared) = &self.shared else { return };
        let person = exchange.person();
        let read = async || {
            // Of one that begins nothing is kept.
            if matches!(exchange.handshake(), Handshake::Now(_)) {
                return Ok(());
            }
            let kept = wishes::of(&shared.shelf, &person, id).await?;
            kept.apply(&live.preferences());
            if kept.has_wishes() {
                wishes::renew(&shared.shelf, &person, id).await?;
            }
            Ok::<_, ShelfError>(())
        };
        if shared.shelf.is_away() {
            return;
        }
        if let Err(error) = live.taken_over.get_or_try_init(read).await {
            tracing::debug!(%error, "the wishes of a session could not be read");
        }
    }

    /// Tells other servers of a cancellation that fits nothing here.
    pub(super) async fn cancel_elsewhere(&self, id: &str, request: &RequestId) {
        let Some(shared) = &self.shared else { return };
        let request = request.clone().into_json_value();
        if request.to_string().len() > MAX_ID_BYTES {
            return;
        }
        let hint = ClientHint::Cancelled { session: id.to_owned(), request };
        if let Err(error) = shared.shelf.tell(hint).await {
            tracing::debug!(%error, "other servers could not be told of a cancellation");
        }
    }

    /// Another server has got a cancellation that fits nothing there.
    pub(in crate::mcp) async fn cancelled_elsewhere(&self, id: &str, request: RequestId) {
        let live = self.find(id).ok();
        if let Err(error) = self.cancel(id, live.as_deref(), &request, None).await {
            tracing::debug!(%error, "a request was cancelled whose session has ended");
        }
    }

    /// What is kept of a session has changed elsewhere.
    pub(in crate::mcp) async fn changed_elsewhere(&self, person: &Person, id: &str) {
        let Some(shared) = &self.shared else { return };
        shared.look_again(Some(id));
        // What is not in memory is looked at when it is used.
        if let Ok(live) = self.find(id) {
            self.look_at(shared, person, id, &live).await;
        }
    }

    async fn look_at(&self, shared: &Shared, person: &Person, id: &str, live: &Live) {
        match wishes::of(&shared.shelf, person, id).await {
            Ok(kept) if kept.has_ended => self.end_here(vec![id.into()]),
            Ok(kept) => kept.apply(&live.preferences()),
            Err(error) => tracing::debug!(%error, "a session that has changed elsewhere could not be read"),
        }
    }

    /// The answer to a question that was asked here, perhaps, lies in the store.
    pub(in crate::mcp) async fn answered_elsewhere(&self, person: &Person, id: &str, question: u64) {
        let Some(shared) = &self.shared else { return };
        let Ok(live) = self.find(id) else { return };
        if !live.questions().contains(&question) {
            return;
        }
        let answer = match shared.answer(person, id, question).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "an answer that came to another server could not be read");
                None
            }
        };
        let Some(mut answer) = answer else { return };
        if live.asked_by(&mut answer) == AskedBy::Us {
            // A session that has ended waits for nothing.
            let _ = live.hand_over(answer).await;
        }
    }

    /// Something of a response that goes on at another server than the one that runs the call.
    pub(in crate::mcp) fn rest_elsewhere(&self, hint: RestHint) {
        let Some(shared) = &self.shared else { return };
        match hint {
            RestHint::Asked { person, session, event, rest } => {
                let Some(person) = person_of(&person).filter(|person| self.roster.has(person, &session)) else {
                    return;
                };
                let Ok(live) = self.find(&session) else { return };
                if let Resumed::Here(reader) = live.resume(&event) {
                    shared.rests.read(person, &rest, reader);
                }
            }
            RestHint::More(rest) => shared.rests.told(&rest),
            RestHint::Taken { rest, of, number } => shared.rests.taken(&rest, &of, number),
            RestHint::Over(rest) => shared.rests.over(&rest),
            RestHint::Unread(rest) => shared.rests.left(&rest),
        }
    }

    /// Sessions of a person were ended together, on whichever server.
    pub(in crate::mcp) async fn ended_elsewhere(&self, person: &Person) {
        let Some(shared) = &self.shared else { return };
        // Which of them are this person's is not known.
        shared.look_again(None);
        let ids = self.roster.of_person(person);
        if ids.is_empty() {
            return;
        }
        match shared.shelf.ledger(person).await {
            Ok(ledger) => {
                let has_ended = |id: &RmcpId| {
                    let session = self.key.open(id);
                    session.is_none_or(|session| ledger.has_ended(&person_hex(&session.owner), session.began_s()))
                };
                self.end_here(ids.into_iter().filter(has_ended).collect());
            }
            Err(error) => tracing::debug!(%error, "ends of sessions could not be read"),
        }
    }

    /// Anything may have changed elsewhere, and this server has not heard of it.
    pub(in crate::mcp) async fn missed_something(&self) {
        let Some(shared) = &self.shared else { return };
        shared.look_again(None);
        let people = self.roster.people();
        for some in people.chunks(AT_ONCE) {
            join_all(some.iter().map(|person| self.missed_of(shared, person))).await;
        }
    }

    async fn missed_of(&self, shared: &Shared, person: &Person) {
        self.ended_elsewhere(person).await;
        for id in self.roster.of_person(person) {
            let Ok(live) = self.find(&id) else { continue };
            self.look_at(shared, person, &id, &live).await;
            for question in live.questions() {
                self.answered_elsewhere(person, &id, question).await;
            }
        }
    }
}
