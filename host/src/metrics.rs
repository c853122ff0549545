//! The numbers of the server: one set of instruments, which `/metrics` shows to Prometheus and OTLP sends elsewhere.
//!
//! [`Metrics`] is the handle: cheap to clone, and nothing where both are off. [`names`] is the list of all instruments;
//! `calls` has those of plugins and tools, whose labels come from the catalog alone, so many of each and the rest as
//! `other`; [`observed`] is what is read when somebody asks for it. [`exposition`] is the text for Prometheus.
//!
//! No label ever has a person, a client or an address in it, and nothing of a request before its sender is known.
//! Nothing here knows of HTTP, of the protocol or of WebAssembly.

mod calls;
pub mod exposition;
mod instruments;
pub mod names;
pub mod observed;
mod outcome;
pub mod process;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry_sdk::metrics::{Instrument, Stream};

use self::calls::Plugins;
pub use self::calls::{PluginMetrics, Times, ToolMetrics};
use self::instruments::{OPERATION_BOUNDS, PART_BOUNDS, counter, histogram};
use self::names::Named;
pub use self::observed::Reading;
pub use self::outcome::Outcome;

/// Series that one instrument may have: as many as its labels can make. The library's own bound, 2,000, knows nothing of
/// plugins and tools, and would be met first.
const SERIES_MAX: usize = (calls::PLUGINS_MAX + 1) * (calls::TOOLS_MAX + 2) * Outcome::ALL.len();

/// The view that lets each instrument have all of its series.
pub fn all_series(_: &Instrument) -> Option<Stream> {
    Stream::builder().with_cardinality_limit(SERIES_MAX).build().ok()
}

/// The name of the meter, and of the tracer.
pub const SCOPE: &str = "tinymcp";

/// The handle. Clones are handles to the same.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Instruments>>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.is_on()).finish()
    }
}

struct Instruments {
    meter: Meter,
    plugins: Plugins,
    operations: Histogram<f64>,
    store: Histogram<f64>,
    compile: Histogram<f64>,
    counted: [Counter<u64>; Counted::ALL.len()],
}

/// What is counted by one word of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Logins that have ended at the provider, by outcome.
    Login,
    /// Answers to the consent page.
    Consent,
    /// Refused requests, by reason.
    Refusal,
    /// Changes of sessions and tokens.
    Token,
    /// Ends of sessions, by reason.
    End,
    /// Steps of logins for devices.
    Device,
    /// Changes of plugins, as they are in the catalog.
    Load,
    /// Looks for compiled code, by result.
    CodeCache,
    /// Configurations that were taken over, or not.
    Configuration,
    /// Acts of operators.
    Act,
}

impl Counted {
    const ALL: [(Self, Named); 10] = [
        (Self::Login, names::LOGINS),
        (Self::Consent, names::CONSENTS),
        (Self::Refusal, names::REFUSALS),
        (Self::Token, names::TOKENS),
        (Self::End, names::ENDS),
        (Self::Device, names::DEVICES),
        (Self::Load, names::PLUGIN_CHANGES),
        (Self::CodeCache, names::CODE_CACHE),
        (Self::Configuration, names::CONFIGURATIONS),
        (Self::Act, names::ACTS),
    ];

    /// The label, the only one of its instrument.
    fn label(self) -> &'static str {
        let (_, named) = &Self::ALL[self as usize];
        named.labels[0]
    }
}

/// The state of the audit.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditState {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were lost.
    pub lost: u64,
    /// Lines that wait.
    pub waiting: u64,
    /// The last write has failed.
    pub is_failing: bool,
}

/// An operation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOperation {
    /// A row was looked for.
    Get,
    /// Rows were changed.
    Commit,
}

impl Metrics {
    /// Makes the instruments.
    pub fn new(meter: Meter) -> Self {
        let counted = Counted::ALL.map(|(_, named)| counter(&meter, &named));
        let instruments = Instruments {
            plugins: Plugins::new(&meter),
            operations: histogram(&meter, &names::OPERATIONS, &OPERATION_BOUNDS),
            store: histogram(&meter, &names::STORE, &PART_BOUNDS),
            compile: histogram(&meter, &names::COMPILE, &OPERATION_BOUNDS),
            counted,
            meter,
        };
        Self(Some(Arc::new(instruments)))
    }

    /// True if anybody sees the numbers.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Counts something by a word, of which there are few and all are ours.
    pub fn count(&self, what: Counted, word: &'static str) {
        if let Some(instruments) = &self.0 {
            instruments.counted[what as usize].add(1, &[KeyValue::new(what.label(), word)]);
        }
    }

    /// The instruments of a plugin of the catalog.
    pub fn plugin(&self, plugin: &str) -> Option<Arc<PluginMetrics>> {
        Some(self.0.as_ref()?.plugins.plugin(plugin))
    }

    /// Notes a request of the protocol that is no use of a plugin, by a method that is known.
    pub fn operation(&self, method: &'static str, error: Option<&'static str>, took: Duration) {
        let Some(instruments) = &self.0 else { return };
        let mut labels = vec![KeyValue::new(names::METHOD, method), KeyValue::new(names::TRANSPORT, "tcp")];
        labels.extend(error.map(|error| KeyValue::new(names::ERROR, error)));
        instruments.operations.record(took.as_secs_f64(), &labels);
    }

    /// Notes an operation of the store.
    pub fn store(&self, operation: StoreOperation, is_good: bool, took: Duration) {
        let Some(instruments) = &self.0 else { return };
        let operation = match operation {
            StoreOperation::Get => "get",
            StoreOperation::Commit => "commit",
        };
        let labels =
            [KeyValue::new("operation", operation), KeyValue::new("outcome", if is_good { "ok" } else { "failed" })];
        instruments.store.record(took.as_secs_f64(), &labels);
    }

    /// Notes that a component was compiled, or could not be.
    pub fn compiled(&self, is_good: bool, took: Duration) {
        let Some(instruments) = &self.0 else { return };
        let labels = [KeyValue::new("outcome", if is_good { "ok" } else { "failed" })];
        instruments.compile.record(took.as_secs_f64(), &labels);
    }

    /// Has something read whenever the numbers are asked for. `read` must not wait or panic.
    pub fn observe(&self, named: Named, read: impl Fn(&Reading<'_>) + Send + Sync + 'static) {
        if let Some(instruments) = &self.0 {
            observed::register(&instruments.meter, named, read);
        }
    }

    /// Shows the state of the audit.
    pub fn watch_audit(&self, read: impl Fn() -> AuditState + Clone + Send + Sync + 'static) {
        let state = read.clone();
        self.observe(names::AUDIT_LINES, move |reading| {
            let state = state();
            reading.labelled(state.written, &[("result", "written")]);
            reading.labelled(state.lost, &[("result", "lost")]);
        });
        let state = read.clone();
        self.observe(names::AUDIT_WAITING, move |reading| reading.value(state().waiting));
        self.observe(names::AUDIT_FAILING, move |reading| reading.value(u64::from(read().is_failing)));
    }
}
