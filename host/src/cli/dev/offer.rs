//! Grants that are missing, offered on the terminal of `tinymcp dev`.
//!
//! What a plugin was refused stands in the log, with the lines that would grant it. Here these are shown to the person at
//! the terminal, who may have them written into `tinymcp.toml`, as `tinymcp grant --write` does it. Nobody else is asked:
//! without a terminal there is no offer.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::sync::mpsc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::super::{Failure, grant, output};
use crate::config::Invocation;

/// Offers that may wait for an answer. A plugin that tries many places gets no more of them.
const WAITING_MAX: usize = 8;

/// Lines that would grant what a plugin was refused.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    plugin: String,
    to_grant: String,
}

/// The part of the log that finds offers in its records.
pub(in crate::cli) struct Offers(mpsc::SyncSender<Offer>);

impl Offers {
    /// Begins to ask, if there is a person at a terminal. The thread that asks ends with the process.
    pub(super) fn start(invocation: Invocation) -> Option<Self> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return None;
        }
        let (offers, offered) = mpsc::sync_channel(WAITING_MAX);
        let asking = std::thread::Builder::new().name("offers".to_owned()).spawn(move || ask(&offered, &invocation));
        asking.is_ok().then_some(Self(offers))
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

/// Asks about each offer once.
fn ask(offered: &mpsc::Receiver<Offer>, invocation: &Invocation) {
    let mut answered = BTreeSet::new();
    for offer in offered {
        let Offer { plugin, to_grant } = &offer;
        if answered.contains(&offer) {
            continue;
        }
        output::note(&format!(
            "\nplugin `{plugin}` was refused what these lines would grant:\n\n{}\n",
            to_grant.trim_end()
        ));
        let question = format!("Write this into {}?", invocation.path().display());
        let written = grant::is_wanted(&question)
            .and_then(|is_wanted| if is_wanted { grant::write(invocation, plugin, to_grant) } else { Ok(()) });
        if let Err(Failure::Start(message) | Failure::Failed(message)) = written {
            output::warning(&message);
        }
        answered.insert(offer);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_refusal_that_could_be_granted_is_an_offer() {
        let (sender, offered) = mpsc::sync_channel(WAITING_MAX);
        let log = tracing_subscriber::registry().with(Offers(sender));
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
