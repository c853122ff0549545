//! Those who are told of calls: the audit, the metrics and the traces. Where all are off, a call is as if they were not.
//!
//! [`Observers::begin`] asks the audit for its leave and makes an [`Observed`], which tells all of them when the call ends,
//! however it does: a future that is dropped has been cancelled.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::conversation::Conversation;
use super::digest::Digest;
use super::error::CallError;
use super::notes::CallNotes;
use crate::audit::event::{Call, Client, Who};
use crate::audit::{Audit, Event, Leave};
use crate::metrics::{Metrics, Outcome, Times};
use crate::principal::Principal;
use crate::traces::{TraceParent, TracedCall, Traces};

/// The observers of all calls. Clones are the same.
#[derive(Clone, Default)]
pub struct Observers {
    /// A line for each call.
    pub audit: Audit,
    /// Numbers.
    pub metrics: Metrics,
    /// A span for some.
    pub traces: Traces,
}

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observers(..)")
    }
}

/// What is called, for those who are told.
#[derive(Clone, Copy)]
pub(super) struct Called<'a> {
    /// The method of the protocol.
    pub(super) method: &'static str,
    /// The tool, by the name that clients call it.
    pub(super) tool: Option<&'a str>,
}

/// A call under way.
pub(super) struct Observed<'a> {
    observers: &'a Observers,
    called: Called<'a>,
    plugin: &'a str,
    digest: Digest,
    caller: Arc<Principal>,
    leave: Option<Leave>,
    parent: Option<TraceParent>,
    has_span: bool,
    began: Instant,
    began_at: SystemTime,
    notes: Arc<CallNotes>,
    /// Nobody is told: the call is made again.
    is_void: bool,
    outcome: Outcome,
}

impl Observers {
    /// Begins to observe a call, unless nobody wants to know of it: the host's own are nobody's.
    ///
    /// # Errors
    /// [`CallError::Unaudited`].
    pub(super) fn begin<'a>(
        &'a self,
        (plugin, digest): (&'a str, Digest),
        called: Called<'a>,
        conversation: &mut Conversation,
    ) -> Result<Option<Observed<'a>>, CallError> {
        let is_observed = self.audit.is_on() || self.metrics.is_on() || self.traces.is_on();
        let Some(caller) = conversation.caller.as_ref().filter(|_| is_observed) else { return Ok(None) };
        let mut observed = Observed {
            observers: self,
            called,
            plugin,
            digest,
            caller: Arc::clone(caller),
            leave: None,
            parent: conversation.trace_parent,
            has_span: self.traces.samples(),
            began: Instant::now(),
            began_at: SystemTime::now(),
            notes: Arc::default(),
            is_void: false,
            outcome: Outcome::Unaudited,
        };
        observed.leave = Some(self.audit.admit()?);
        observed.outcome = Outcome::Cancelled;
        conversation.notes = Some(Arc::clone(&observed.notes));
        Ok(Some(observed))
    }
}

impl Observed<'_> {
    /// The call has ended.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The call is made again, and that is the one.
    pub(super) fn forget(mut self) {
        self.is_void = true;
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        if self.is_void {
            return;
        }
        let times = Times { total: self.began.elapsed(), ..self.notes.times() };
        let (plugin, tool, outcome) = (self.plugin, self.called.tool, self.outcome);
        if let Some(of_plugin) = self.observers.metrics.plugin(plugin) {
            let of_call = match tool {
                Some(tool) => of_plugin.tool(tool),
                None => of_plugin.method(self.called.method),
            };
            of_call.record(outcome, times.total);
            of_plugin.parts(&times);
            let (answered, failed, refused) = self.notes.requests();
            of_plugin.requests(answered, failed, refused);
        }
        if self.has_span {
            let (parent, method, began) = (self.parent, self.called.method, self.began_at);
            self.observers.traces.record(&TracedCall { parent, method, plugin, tool, began, times, outcome });
        }
        // One that was not let in has no leave: its line could not be written either.
        if let Some(leave) = self.leave.take().filter(|_| self.observers.audit.is_on()) {
            let (grants, grants_left_out) = self.notes.take_decisions();
            leave.record(&Event::Call(Call {
                who: Who::of(&self.caller),
                client: Client::of(&self.caller),
                method: self.called.method,
                plugin,
                digest: &self.digest.to_string(),
                tool,
                outcome: outcome.word(),
                took: times.total,
                grants: &grants,
                grants_left_out,
            }));
        }
    }
}

impl From<crate::audit::Unwritable> for CallError {
    fn from(refusal: crate::audit::Unwritable) -> Self {
        Self::Unaudited(refusal)
    }
}

/// The end of a call that gave no reply.
pub(super) fn outcome_of(error: &CallError) -> Outcome {
    match error {
        CallError::Arguments(_) => Outcome::Arguments,
        CallError::Timeout(_) => Outcome::Timeout,
        CallError::Busy => Outcome::Busy,
        CallError::TooMany(_) => Outcome::TooMany,
        CallError::Cpu(_) => Outcome::Cpu,
        CallError::Memory(_) => Outcome::Memory,
        CallError::Handles(_) => Outcome::Handles,
        CallError::StackOverflow(_) | CallError::FullStack(_) => Outcome::Stack,
        CallError::Exited(_) => Outcome::Exited,
        CallError::Trapped(_) => Outcome::Crashed,
        CallError::Result(_) => Outcome::Result,
        CallError::Overdrawn { .. } => Outcome::Overdrawn,
        CallError::TurnedAway | CallError::SwitchedOff => Outcome::TurnedAway,
        CallError::Cancelled => Outcome::Cancelled,
        CallError::Unaudited(_) => Outcome::Unaudited,
        CallError::Refused { error, .. } => outcome_of(error),
        CallError::Host(_) => Outcome::Host,
    }
}
