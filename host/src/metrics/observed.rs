//! Numbers that are read when somebody asks for them.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::names::{Kind, Named};

/// Takes the values of one instrument.
pub struct Reading<'r>(&'r dyn AsyncInstrument<f64>);

impl Reading<'_> {
    /// The value of an instrument without labels.
    pub fn value(&self, value: u64) {
        self.0.observe(in_float(value), &[]);
    }

    /// The same in fractions.
    pub fn fraction(&self, value: f64) {
        self.0.observe(value, &[]);
    }

    /// A value under labels.
    pub fn labelled(&self, value: u64, labels: &[(&'static str, &str)]) {
        let labels: Vec<KeyValue> =
            labels.iter().map(|(name, value)| KeyValue::new(*name, (*value).to_owned())).collect();
        self.0.observe(in_float(value), &labels);
    }
}

/// No number here is beyond 2^53.
fn in_float(value: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts and bytes of one process")]
    let value = value as f64;
    value
}

pub(super) fn register(meter: &Meter, named: Named, read: impl Fn(&Reading<'_>) + Send + Sync + 'static) {
    let Named { name, unit, help, kind, .. } = named;
    match kind {
        Kind::Counter => {
            let counter = meter.f64_observable_counter(name).with_unit(unit).with_description(help);
            let _ = counter.with_callback(move |observer| read(&Reading(observer))).build();
        }
        Kind::Gauge | Kind::Histogram => {
            let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(help);
            let _ = gauge.with_callback(move |observer| read(&Reading(observer))).build();
        }
    }
}
