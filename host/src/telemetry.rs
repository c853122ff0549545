//! From the instruments to those who look at them: Prometheus, which comes for the numbers, and an OTLP endpoint, to which
//! numbers and spans are sent. Both see the same instruments.
//!
//! The libraries read variables named `OTEL_…` where nothing else is said; all that matters is said here, so that the
//! configuration has the last word.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};

use crate::config::otlp::{OtlpEndpoint, Share};
use crate::fetch::TelemetryHttp;
use crate::metrics::exposition::Exposition;
use crate::metrics::{Metrics, SCOPE, all_series, names};
use crate::traces::Traces;

/// Time for one request, all of its tries included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The time that the end of a server waits for the last numbers and spans.
const CLOSING: Duration = Duration::from_secs(3);

/// Spans that wait to be sent; further ones are dropped.
const SPANS_MAX: usize = 2048;

/// Spans of one request.
const SPANS_OF_REQUEST: usize = 512;

/// Time between two sendings of spans.
const SPANS_EVERY: Duration = Duration::from_secs(5);

/// What the numbers and spans are for.
pub struct Settings {
    /// Somebody scrapes.
    pub is_scraped: bool,
    /// Somebody is sent them.
    pub otlp: Option<Otlp>,
}

/// An endpoint that is sent numbers and spans.
pub struct Otlp {
    /// Its URL.
    pub endpoint: OtlpEndpoint,
    /// The way there.
    pub way: TelemetryHttp,
    /// Time between two sendings of numbers.
    pub interval: Duration,
    /// The share of calls that have a span.
    pub traces: Share,
}

/// All that runs for telemetry.
#[derive(Default)]
pub struct Telemetry {
    /// The instruments.
    pub metrics: Metrics,
    /// The spans.
    pub traces: Traces,
    /// The text for Prometheus, if somebody scrapes.
    pub exposition: Option<Exposition>,
    meters: Option<SdkMeterProvider>,
    tracers: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts what somebody looks at; nothing, if nobody does.
    ///
    /// # Errors
    /// The libraries'.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        let Settings { is_scraped, otlp } = settings;
        if !is_scraped && otlp.is_none() {
            return Ok(Self::default());
        }
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "tinymcp"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        let mut meters = SdkMeterProvider::builder().with_view(all_series).with_resource(resource.clone());
        let mut exposition = None;
        if is_scraped {
            let (made, reader) = Exposition::new()?;
            exposition = Some(made);
            meters = meters.with_reader(reader);
        }
        if let Some(otlp) = &otlp {
            let exporter = MetricExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(otlp.way.clone())
                .with_endpoint(otlp.endpoint.signal("metrics"))
                .with_timeout(TIMEOUT)
                .with_temporality(Temporality::Cumulative)
                .build()?;
            meters = meters.with_reader(PeriodicReader::builder(exporter).with_interval(otlp.interval).build());
        }
        let meters = meters.build();
        let metrics = Metrics::new(meters.meter(SCOPE));
        let (traces, tracers) = match &otlp {
            Some(otlp) if otlp.traces.get() > 0.0 => {
                let tracers = tracers(otlp, resource)?;
                (Traces::new(tracers.tracer(SCOPE), otlp.traces.get()), Some(tracers))
            }
            _ => (Traces::default(), None),
        };
        if let Some(otlp) = otlp {
            metrics.observe(names::EXPORTS, move |reading| {
                let (sent, failed) = otlp.way.counts();
                reading.labelled(sent, &[("outcome", "sent")]);
                reading.labelled(failed, &[("outcome", "failed")]);
            });
        }
        Ok(Self { metrics, traces, exposition, meters: Some(meters), tracers })
    }

    /// Sends what is left, for some seconds at most. It blocks.
    pub fn close(&self) {
        // A failure has been logged by whoever sends.
        if let Some(tracers) = &self.tracers {
            let _ = tracers.shutdown_with_timeout(CLOSING);
        }
        if let Some(meters) = &self.meters {
            let _ = meters.shutdown_with_timeout(CLOSING);
        }
    }
}

fn tracers(otlp: &Otlp, resource: Resource) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(otlp.way.clone())
        .with_endpoint(otlp.endpoint.signal("traces"))
        .with_timeout(TIMEOUT)
        .build()?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_MAX)
        .with_max_export_batch_size(SPANS_OF_REQUEST)
        .with_scheduled_delay(SPANS_EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    // The share of calls is taken before (`Traces::samples`): whoever is in the trace already has no say.
    let tracers = SdkTracerProvider::builder().with_span_processor(processor).with_sampler(Sampler::AlwaysOn);
    Ok(tracers.with_resource(resource).build())
}
