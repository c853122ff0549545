//! The notes of all visits: how many there were of each kind, how long calls took, and what went wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::slope::median;

/// Failures that are printed as they happen; further ones are only counted.
const PRINTED: usize = 20;

/// A thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A whole login at the provider, registration of the client included.
    Login,
    /// Tokens that were renewed.
    Renewal,
    /// A plugin that was replaced, added, removed or broken.
    Reload,
    /// A listener that was opened, of either era.
    Listener,
    /// A session of the legacy era.
    Session,
    /// A connection that was cut in the middle of a request.
    Disconnect,
    /// A time without the provider.
    Outage,
}

/// The language of a plugin that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    Rust,
    Python,
    JavaScript,
}

/// Everything since the last time it was taken.
#[derive(Default)]
pub(crate) struct Page {
    events: BTreeMap<Event, usize>,
    latencies: BTreeMap<Language, Vec<f64>>,
    pub(crate) failures: usize,
}

#[derive(Default)]
pub(crate) struct Ledger {
    page: Mutex<Page>,
    /// Failures since the beginning.
    failures: AtomicUsize,
}

impl Ledger {
    pub(crate) fn count(&self, event: Event) {
        self.with(|page| *page.events.entry(event).or_default() += 1);
    }

    pub(crate) fn call(&self, language: Language, latency: Duration) {
        self.with(|page| page.latencies.entry(language).or_default().push(latency.as_secs_f64()));
    }

    /// The same for a call that began then.
    pub(crate) fn call_since(&self, language: Language, began: Instant) {
        self.call(language, began.elapsed());
    }

    pub(crate) fn failure(&self, what: &str, message: &str) {
        self.with(|page| page.failures += 1);
        if self.failures.fetch_add(1, Ordering::Relaxed) < PRINTED {
            eprintln!("FAILED in {what}: {}", shortened(message));
        }
    }

    /// Takes the page away and begins a new one.
    pub(crate) fn turn(&self) -> Page {
        self.with(std::mem::take)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Page) -> T) -> T {
        change(&mut self.page.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The beginning and the end: URLs of a login are long, and the reason is behind them.
fn shortened(message: &str) -> String {
    const KEPT: usize = 160;
    let count = message.chars().count();
    if count <= 2 * KEPT {
        return message.to_owned();
    }
    let (start, end) = (message.chars().take(KEPT), message.chars().skip(count - KEPT));
    start.chain(" … ".chars()).chain(end).collect()
}

impl Page {
    pub(crate) fn events(&self, event: Event) -> usize {
        self.events.get(&event).copied().unwrap_or_default()
    }

    /// Right answers.
    pub(crate) fn calls(&self) -> usize {
        self.latencies.values().map(Vec::len).sum()
    }

    /// Median and p99 in seconds; `None` without a call.
    pub(crate) fn latency(&self, language: Language) -> Option<(f64, f64)> {
        let mut latencies = self.latencies.get(&language)?.clone();
        let middle = median(&mut latencies)?;
        let last = latencies.len() - 1;
        Some((middle, latencies[(last as f64 * 0.99).round() as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_what_happened_since_the_last() {
        let ledger = Ledger::default();
        (1..=100).for_each(|ms| ledger.call(Language::Rust, Duration::from_millis(ms)));
        ledger.count(Event::Login);
        let page = ledger.turn();
        let (p50, p99) = page.latency(Language::Rust).expect("there are calls");
        assert!((p50 - 0.0505).abs() < 1e-9 && (p99 - 0.099).abs() < 1e-9, "{p50} {p99}");
        assert_eq!((page.calls(), page.events(Event::Login), page.latency(Language::Python)), (100, 1, None));
        assert_eq!(ledger.turn().calls(), 0);
    }
}
