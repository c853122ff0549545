//! The requests of one session whose streams have not been read to their ends, by number.
//!
//! An answer that was not read to its end is kept for a minute, for a client that was cut off from it and comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rmcp::model::{ProgressToken, RequestId};

use crate::mcp::event_stream::EventStream;

/// Time for which the rest of an answer is kept for a client that was cut off from it.
const REST_TTL: Duration = Duration::from_secs(60);

/// The most answers of one session that are kept for that.
const MAX_RESTS: usize = 4;

/// The requests of a session, by number.
#[derive(Default)]
pub(super) struct Requests {
    last: u64,
    streams: BTreeMap<u64, Request>,
}

/// A request of the client, and the stream of its answer.
pub(super) struct Request {
    /// The client's own id and token.
    id: RequestId,
    pub(super) token: Option<ProgressToken>,
    pub(super) stream: EventStream,
    /// The time when it was answered, or cancelled.
    ended: Option<Instant>,
    /// The questions that it asks, by their ids for the client; where several servers ask.
    questions: Vec<u64>,
}

impl Requests {
    /// The number of the next request.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn add(&mut self, number: u64, id: RequestId, token: Option<ProgressToken>, stream: EventStream) {
        self.streams.insert(number, Request { id, token, stream, ended: None, questions: Vec::new() });
    }

    /// Those in progress with this id, by number.
    pub(super) fn of_id(&self, id: &RequestId) -> Vec<u64> {
        let fitting = self.streams.iter().filter(|(_, request)| request.is_in_flight() && request.id == *id);
        fitting.map(|(number, _)| *number).collect()
    }

    /// The stream of a request, which may have ended.
    pub(super) fn stream(&self, number: u64) -> Option<EventStream> {
        Some(self.streams.get(&number)?.stream.clone())
    }

    /// The questions under way, by their ids for the client.
    pub(super) fn questions(&self) -> Vec<u64> {
        let in_flight = self.streams.values().filter(|request| request.is_in_flight());
        in_flight.flat_map(|request| request.questions.iter().copied()).collect()
    }

    pub(super) fn in_flight(&self, number: u64) -> Option<&Request> {
        self.streams.get(&number).filter(|request| request.is_in_flight())
    }

    /// Notes the end of a request in progress; returns the client's id for it, and its stream.
    pub(super) fn end(&mut self, number: u64) -> Option<(RequestId, EventStream)> {
        let request = self.streams.get_mut(&number).filter(|request| request.is_in_flight())?;
        request.ended = Some(Instant::now());
        Some((request.id.clone(), request.stream.clone()))
    }

    /// Notes a question of a request.
    pub(super) fn asks(&mut self, number: Option<u64>, question: u64) {
        if let Some(request) = number.and_then(|number| self.streams.get_mut(&number)) {
            request.questions.push(question);
        }
    }

    /// Notes that a question was answered.
    pub(super) fn answered(&mut self, question: u64) {
        for request in self.streams.values_mut() {
            request.questions.retain(|own| *own != question);
        }
    }

    pub(super) fn any_in_flight(&self) -> bool {
        self.streams.values().any(Request::is_in_flight)
    }

    /// True if there is any, after those that nobody will come back for are forgotten.
    pub(super) fn has_any(&mut self) -> bool {
        self.forget_old();
        !self.streams.is_empty()
    }

    /// Ends all of them, and their streams.
    pub(super) fn end_all(&mut self) {
        for request in self.streams.values_mut() {
            request.ended.get_or_insert_with(Instant::now);
            request.stream.end();
        }
    }

    /// Forgets those that were read to their ends, and those that nobody came back for.
    pub(super) fn forget_old(&mut self) {
        self.streams.retain(|_, request| {
            request.ended.is_none_or(|ended| ended.elapsed() < REST_TTL && !request.stream.is_exhausted())
        });
        let is_kept = |request: &Request| !request.is_in_flight() && request.stream.is_alone();
        let kept = self.streams.iter().filter(|(_, request)| is_kept(request)).map(|(number, _)| *number);
        let kept: Vec<u64> = kept.collect();
        for number in kept.iter().rev().skip(MAX_RESTS) {
            self.streams.remove(number);
        }
    }
}

impl Request {
    fn is_in_flight(&self) -> bool {
        self.ended.is_none()
    }
}
