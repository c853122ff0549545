//! The part of the log that finds offers in it: refusals of plugins that have the lines that would grant them.

use std::sync::mpsc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Offers that may wait for an answer. A plugin that tries many places gets no more of them.
const WAITING_MAX: usize = 8;

/// Lines that would grant what a plugin was refused.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Offer {
    pub(super) plugin: String,
    pub(super) to_grant: String,
}

/// Sends each offer on.
pub(super) struct Offers(mpsc::SyncSender<Offer>);

impl Offers {
    /// The place where they are found, and the one where they come out.
    pub(super) fn new() -> (Self, mpsc::Receiver<Offer>) {
        let (offers, offered) = mpsc::sync_channel(WAITING_MAX);
        (Self(offers), offered)
    }
}

impl<S: Subscriber> Layer<S> for Offers {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() != Level::WARN {
            return;
        }
        let mut offer = Offer::default();
        event.record(&mut offer);
        if !offer.plugin.is_empty() && !offer.to_grant.is_empty() {
            // What finds no room is refused again, and offered then.
            let _ = self.0.try_send(offer);
        }
    }
}

impl Visit for Offer {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "plugin" => value.clone_into(&mut self.plugin),
            "to_grant" => value.clone_into(&mut self.to_grant),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_refusal_that_could_be_granted_is_an_offer() {
        let (offers, offered) = Offers::new();
        let log = tracing_subscriber::registry().with(offers);
        tracing::subscriber::with_default(log, || {
            let (plugin, lines) = ("weather", "[plugin.weather]\nkv = {}\n".to_owned());
            tracing::warn!(plugin, repeated = 3, to_grant = lines, "plugin `{plugin}` may not");
            tracing::warn!(plugin, to_grant = None::<String>, "nothing can be proposed");
            tracing::info!(plugin, to_grant = "[plugin.weather]\n", "no refusal");
            tracing::warn!(to_grant = "[plugin.weather]\n", "nobody's");
            for _ in 0..20 {
                tracing::warn!(plugin, to_grant = "more", "again and again");
            }
        });
        let offers: Vec<Offer> = offered.into_iter().collect();
        assert_eq!(offers.len(), WAITING_MAX);
        let first = Offer { plugin: "weather".to_owned(), to_grant: "[plugin.weather]\nkv = {}\n".to_owned() };
        assert_eq!(offers[0], first);
        assert!(offers[1..].iter().all(|offer| offer.to_grant == "more"));
    }
}
