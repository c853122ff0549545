//! The instruments of plugins and tools, bound to their labels once: a call then costs a look-up and a few additions.
//!
//! Names come from the catalog. The first [`PLUGINS_MAX`] plugins that are used have labels of their own, and the first
//! [`TOOLS_MAX`] tools of each; all others are [`OTHER`]. A plugin that changes its tools' names all the time makes no
//! more series than that.

use std::array;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::instruments::{OPERATION_BOUNDS, PART_BOUNDS, counter, histogram, label};
use super::names::{self, ERROR, METHOD, OPERATION, TOOL, TRANSPORT};
use super::outcome::Outcome;

/// Plugins that have labels of their own.
pub(super) const PLUGINS_MAX: usize = 64;

/// Tools of one plugin that have labels of their own.
pub(super) const TOOLS_MAX: usize = 32;

/// The label of the rest.
pub(super) const OTHER: &str = "other";

/// The parts of a call.
const PARTS: [&str; 4] = ["waiting", "instantiating", "guest", "egress"];

/// The ends of a plugin's request.
const REQUESTS: [&str; 3] = ["answered", "failed", "refused"];

/// All plugins.
pub(super) struct Plugins {
    base: Arc<Base>,
    named: RwLock<HashMap<Box<str>, Arc<PluginMetrics>>>,
    other: Arc<PluginMetrics>,
}

/// The instruments before they are bound.
struct Base {
    operations: Histogram<f64>,
    calls: Counter<u64>,
    parts: Histogram<f64>,
    requests: Counter<u64>,
}

/// The instruments of one plugin.
pub struct PluginMetrics {
    base: Arc<Base>,
    label: Arc<str>,
    // Bound with their first value: what never happens has no series.
    parts: [OnceLock<BoundHistogram<f64>>; PARTS.len()],
    requests: [OnceLock<BoundCounter<u64>>; REQUESTS.len()],
    tools: RwLock<HashMap<Box<str>, Arc<ToolMetrics>>>,
    other: OnceLock<Arc<ToolMetrics>>,
    methods: RwLock<HashMap<&'static str, Arc<ToolMetrics>>>,
}

/// The instruments of one tool, or of a method that calls none.
pub struct ToolMetrics {
    base: Arc<Base>,
    method: &'static str,
    tool: Option<Arc<str>>,
    plugin: Arc<str>,
    bound: [OnceLock<Bound>; Outcome::ALL.len()],
}

struct Bound {
    duration: BoundHistogram<f64>,
    /// Calls of tools alone are counted.
    calls: Option<BoundCounter<u64>>,
}

/// The time of a call, and of its parts. The rest is the guest's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// All of it.
    pub total: Duration,
    /// Waiting for a place.
    pub waiting: Duration,
    /// Making an instance.
    pub instantiating: Duration,
    /// Waiting for at least one request of the plugin.
    pub egress: Duration,
}

impl Plugins {
    pub(super) fn new(meter: &Meter) -> Self {
        let base = Arc::new(Base {
            operations: histogram(meter, &names::OPERATIONS, &OPERATION_BOUNDS),
            calls: counter(meter, &names::CALLS),
            parts: histogram(meter, &names::PARTS, &PART_BOUNDS),
            requests: counter(meter, &names::EGRESS_REQUESTS),
        });
        let other = PluginMetrics::new(&base, OTHER);
        Self { base, named: RwLock::default(), other }
    }

    pub(super) fn plugin(&self, name: &str) -> Arc<PluginMetrics> {
        if let Some(known) = self.named.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = named.get(name) {
            return Arc::clone(known);
        }
        if named.len() >= PLUGINS_MAX {
            return Arc::clone(&self.other);
        }
        let new = PluginMetrics::new(&self.base, name);
        named.insert(name.into(), Arc::clone(&new));
        new
    }
}

impl PluginMetrics {
    fn new(base: &Arc<Base>, name: &str) -> Arc<Self> {
        Arc::new(Self {
            base: Arc::clone(base),
            label: name.into(),
            parts: array::from_fn(|_| OnceLock::new()),
            requests: array::from_fn(|_| OnceLock::new()),
            tools: RwLock::default(),
            other: OnceLock::new(),
            methods: RwLock::default(),
        })
    }

    /// The label of this plugin.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The instruments of one of its tools.
    pub fn tool(&self, name: &str) -> Arc<ToolMetrics> {
        if let Some(known) = self.tools.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut tools = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tools.get(name) {
            return Arc::clone(known);
        }
        // The tools of the plugins that have no label of their own have none either.
        if tools.len() >= TOOLS_MAX || *self.label == *OTHER {
            return Arc::clone(self.other.get_or_init(|| self.make("tools/call", Some(OTHER))));
        }
        let new = self.make("tools/call", Some(name));
        tools.insert(name.into(), Arc::clone(&new));
        new
    }

    /// The instruments of a method that calls no tool.
    pub fn method(&self, method: &'static str) -> Arc<ToolMetrics> {
        if let Some(known) = self.methods.read().unwrap_or_else(PoisonError::into_inner).get(method) {
            return Arc::clone(known);
        }
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(methods.entry(method).or_insert_with(|| self.make(method, None)))
    }

    fn make(&self, method: &'static str, tool: Option<&str>) -> Arc<ToolMetrics> {
        Arc::new(ToolMetrics {
            base: Arc::clone(&self.base),
            method,
            tool: tool.map(Arc::from),
            plugin: Arc::clone(&self.label),
            bound: array::from_fn(|_| OnceLock::new()),
        })
    }

    /// Counts requests of the plugin.
    pub fn requests(&self, answered: u64, failed: u64, refused: u64) {
        let counts = [answered, failed, refused];
        for ((bound, outcome), count) in self.requests.iter().zip(REQUESTS).zip(counts).filter(|(_, count)| *count > 0)
        {
            let labels = || [label("plugin", Arc::clone(&self.label)), label("outcome", outcome)];
            bound.get_or_init(|| self.base.requests.bind(&labels())).add(count);
        }
    }

    /// Notes the parts of a call.
    pub fn parts(&self, times: &Times) {
        let Times { total, waiting, instantiating, egress } = *times;
        let guest = total.saturating_sub(waiting).saturating_sub(instantiating).saturating_sub(egress);
        let times = [waiting, instantiating, guest, egress];
        // Most calls have none of some.
        for ((bound, part), time) in self.parts.iter().zip(PARTS).zip(times).filter(|(_, time)| !time.is_zero()) {
            let labels = || [label("plugin", Arc::clone(&self.label)), label("part", part)];
            bound.get_or_init(|| self.base.parts.bind(&labels())).record(time.as_secs_f64());
        }
    }
}

impl ToolMetrics {
    /// Notes a call.
    pub fn record(&self, outcome: Outcome, took: Duration) {
        let bound = self.bound[outcome as usize].get_or_init(|| self.bind(outcome));
        bound.duration.record(took.as_secs_f64());
        if let Some(calls) = &bound.calls {
            calls.add(1);
        }
    }

    fn bind(&self, outcome: Outcome) -> Bound {
        let mut labels: Vec<KeyValue> = vec![label(METHOD, self.method), label(TRANSPORT, "tcp")];
        if let Some(tool) = &self.tool {
            labels.extend([label(TOOL, Arc::clone(tool)), label(OPERATION, "execute_tool")]);
        }
        labels.extend(outcome.error().map(|error| label(ERROR, error)));
        let of_call = self.tool.as_ref().map(|tool| {
            [
                label("plugin", Arc::clone(&self.plugin)),
                label("tool", Arc::clone(tool)),
                label("outcome", outcome.word()),
            ]
        });
        Bound {
            duration: self.base.operations.bind(&labels),
            calls: of_call.map(|labels| self.base.calls.bind(&labels)),
        }
    }
}
