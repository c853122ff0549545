//! Making an instrument of its name.

use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, Value};

use super::names::Named;

/// Bounds of a duration's buckets, in seconds: those that the conventions for MCP demand.
pub(super) const OPERATION_BOUNDS: [f64; 14] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The same for the parts of a call, most of which take less than a millisecond.
pub(super) const PART_BOUNDS: [f64; 14] =
    [0.0001, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

pub(super) fn counter(meter: &Meter, named: &Named) -> Counter<u64> {
    meter.u64_counter(named.name).with_unit(named.unit).with_description(named.help).build()
}

pub(super) fn histogram(meter: &Meter, named: &Named, bounds: &[f64]) -> Histogram<f64> {
    let histogram = meter.f64_histogram(named.name).with_unit(named.unit).with_description(named.help);
    histogram.with_boundaries(bounds.to_vec()).build()
}

pub(super) fn label(name: &'static str, value: impl Into<Value>) -> KeyValue {
    KeyValue::new(name, value)
}
