//! The events as numbers: each is counted for the metrics, whether it has a line or not.

use super::event::{Event, TokenChange};
use crate::metrics::{Counted, Metrics};

/// Counts an event. A call counts itself, with its times.
pub(super) fn count(metrics: &Metrics, event: &Event<'_>) {
    match event {
        Event::Login { outcome, .. } => metrics.count(Counted::Login, outcome),
        Event::Consent { is_approved, .. } => {
            metrics.count(Counted::Consent, if *is_approved { "approved" } else { "denied" });
        }
        Event::Refusal { reason, .. } => metrics.count(Counted::Refusal, reason.word()),
        Event::Device { what, .. } => metrics.count(Counted::Device, what.word()),
        Event::Token { what, reason, .. } => {
            metrics.count(Counted::Token, what.word());
            if let (TokenChange::Ended, Some(reason)) = (what, reason) {
                metrics.count(Counted::End, reason);
            }
        }
        Event::Plugin { what, .. } => metrics.count(Counted::Load, what),
        Event::Configuration { .. } => metrics.count(Counted::Configuration, "applied"),
        Event::Operator { .. } => metrics.count(Counted::Act, "done"),
        Event::Server { .. } | Event::Call(_) => {}
    }
}
