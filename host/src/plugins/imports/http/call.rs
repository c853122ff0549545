//! The requests of one call: what they may take, what was refused, and the end of all of them.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::Error as HttpError;

use super::code::code;
use super::decision::Refusal;
use super::record;
use crate::config::Limits;
use crate::egress::{Egress, Failure};
use crate::grants::decide::Denial;
use crate::grants::in_force::CallGrants;
use crate::grants::target::Target;
use crate::grants::{outward, snippet};
use crate::plugins::digest::Digest;
use crate::plugins::imports::allowance::{ConnectionPlace, Connections};
use crate::plugins::notes::{CallNotes, EgressWait, RequestEnd};
use crate::principal::Principal;

/// Lines about refusals that a caller reads, and hosts that the log names.
const LINES_MAX: usize = 8;

/// What the requests of one call may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::plugins) struct HttpLimits {
    /// Their number.
    requests: u64,
    /// Bytes in both directions.
    bytes: u64,
    /// Connections at once.
    connections: u64,
}

impl HttpLimits {
    pub(in crate::plugins) fn of(limits: &Limits) -> Self {
        Self {
            requests: limits.http_requests.get() as u64,
            bytes: limits.http_bytes.bytes(),
            connections: limits.connections.get() as u64,
        }
    }
}

/// The requests of one call.
pub(in crate::plugins) struct Requests {
    pub(super) call: Arc<Call>,
    pub(super) grants: CallGrants,
    pub(super) egress: Option<Egress>,
    /// Whoever calls; none while lists are made.
    pub(super) caller: Option<Arc<Principal>>,
}

/// What the requests of one call have in common. It outlives the call where an answer is still read.
pub(super) struct Call {
    pub(super) plugin: Arc<str>,
    pub(super) digest: Digest,
    limits: HttpLimits,
    begun: AtomicU64,
    connections: Connections,
    sent: AtomicU64,
    received: AtomicU64,
    pub(super) ended: CancellationToken,
    told: Mutex<Told>,
    notes: Option<Arc<CallNotes>>,
}

#[derive(Default)]
struct Told {
    refusals: Vec<String>,
    places: BTreeSet<String>,
}

impl Requests {
    pub(super) fn new(
        plugin: &Arc<str>,
        digest: Digest,
        grants: &CallGrants,
        egress: Option<Egress>,
        limits: HttpLimits,
        connections: Connections,
        caller: Option<Arc<Principal>>,
    ) -> Self {
        let call = Call {
            plugin: Arc::clone(plugin),
            digest,
            limits,
            begun: AtomicU64::new(0),
            connections,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            ended: CancellationToken::new(),
            told: Mutex::default(),
            notes: None,
        };
        Self { call: Arc::new(call), grants: grants.clone(), egress, caller }
    }

    /// The same with the notes of its call, before it has made a request.
    #[must_use]
    pub(super) fn noted_in(mut self, notes: Option<&Arc<CallNotes>>) -> Self {
        if let Some(call) = Arc::get_mut(&mut self.call) {
            call.notes = notes.cloned();
        }
        self
    }

    /// What was refused so far, for the caller: a line each.
    pub(in crate::plugins) fn take_refusals(&mut self) -> Vec<String> {
        std::mem::take(&mut self.call.told().refusals)
    }
}

/// The end of the call is the end of its requests.
impl Drop for Requests {
    fn drop(&mut self) {
        self.call.ended.cancel();
        let requests = self.call.begun.load(Ordering::Relaxed);
        if requests > 0 {
            let places: Vec<String> = std::mem::take(&mut self.call.told().places).into_iter().collect();
            let load = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
            record::allowed(&self.call.plugin, requests, &places, load(&self.call.sent), load(&self.call.received));
        }
    }
}

impl Call {
    /// Begins a request to a place, if the call may still make one.
    pub(super) fn begin(self: &Arc<Self>, target: &Target) -> Result<ConnectionPlace, HttpError> {
        if self.begun.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            self.begun.fetch_sub(1, Ordering::Relaxed);
            self.note(format!("a call may make {} requests and no more: `http_requests`", self.limits.requests));
            return Err(HttpError::ConnectionLimitReached);
        }
        let Some(place) = self.connections.open() else {
            self.note(format!("a call may have {} connections at once: `connections`", self.limits.connections));
            return Err(HttpError::ConnectionLimitReached);
        };
        let mut told = self.told();
        if told.places.len() < LINES_MAX {
            told.places.insert(target.to_string());
        }
        drop(told);
        self.decided(Some(target), true);
        Ok(place)
    }

    /// Notes a decision about a request.
    fn decided(&self, target: Option<&Target>, is_allowed: bool) {
        if let Some(notes) = &self.notes {
            notes.decided("http", target.map(ToString::to_string).as_deref(), is_allowed);
            if !is_allowed {
                notes.request(RequestEnd::Refused);
            }
        }
    }

    /// Notes the end of a request that was granted.
    pub(super) fn ended(&self, end: RequestEnd) {
        if let Some(notes) = &self.notes {
            notes.request(end);
        }
    }

    /// Notes that the call waits for the outside, until what this returns is dropped.
    pub(super) fn wait(&self) -> Option<EgressWait> {
        self.notes.as_ref().map(CallNotes::wait_for_egress)
    }

    /// Counts bytes of requests and answers.
    ///
    /// # Errors
    /// They are more than the call may have.
    pub(super) fn count(&self, bytes: usize, direction: Direction) -> Result<(), HttpError> {
        let (counted, other) = match direction {
            Direction::Sent => (&self.sent, &self.received),
            Direction::Received => (&self.received, &self.sent),
        };
        let before = counted.fetch_add(bytes as u64, Ordering::Relaxed);
        let total = before.saturating_add(bytes as u64).saturating_add(other.load(Ordering::Relaxed));
        if total <= self.limits.bytes {
            return Ok(());
        }
        let limit = self.limits.bytes;
        self.note(format!("the requests of a call may send and receive {limit} bytes and no more: `http_bytes`"));
        Err(match direction {
            Direction::Sent => HttpError::HttpRequestBodySize(Some(limit)),
            Direction::Received => HttpError::HttpResponseBodySize(Some(limit)),
        })
    }

    /// Keeps a line for the caller.
    pub(super) fn note(&self, line: String) {
        let mut told = self.told();
        if told.refusals.len() < LINES_MAX && !told.refusals.contains(&line) {
            told.refusals.push(line);
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// Refuses a request that has no place, or that no guest may make.
    pub(super) fn refuse_unreadable(&self, reason: &dyn Display) -> HttpError {
        self.note(format!("a request of the tool was refused: {reason}"));
        self.decided(None, false);
        record::unreadable(&self.plugin, reason);
        HttpError::HttpRequestDenied
    }

    /// Refuses a request that is not granted.
    pub(super) fn deny(&self, target: &Target, refusal: &Refusal) -> HttpError {
        let is_proposed = matches!(refusal, Refusal::Denied(Denial::NotGranted(_)));
        let snippet = is_proposed.then(|| snippet::of_request(&self.plugin, target));
        self.refuse(target, refusal, snippet)
    }

    /// Refuses a request to a place: the one text for the caller, and the reason for the operator.
    pub(super) fn refuse(&self, target: &Target, reason: &dyn Display, snippet: Option<String>) -> HttpError {
        self.note(outward(target));
        self.decided(Some(target), false);
        record::refused(&self.plugin, &self.digest, target, reason, snippet);
        HttpError::HttpRequestDenied
    }

    /// Tells of a request that was granted and has no answer.
    pub(super) fn failed(&self, target: &Target, failure: &Failure) -> HttpError {
        match failure {
            Failure::Refused(reason) => self.refuse(target, reason, None),
            failure => {
                self.ended(RequestEnd::Failed);
                record::failed(&self.plugin, target, failure);
                code(failure)
            }
        }
    }
}

/// The way that bytes went.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the service.
    Sent,
    /// To the guest.
    Received,
}

/// The bytes of a head, as HTTP/1.1 writes it, but for its first line.
pub(super) fn head_bytes(path: &str, headers: &HeaderMap) -> usize {
    path.len() + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}
