//! The text for Prometheus.

use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::reader::MetricReader;
use prometheus::{Encoder as _, Registry, TextEncoder};

/// The type of the text (Prometheus exposition format 0.0.4).
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a scrape gets.
#[derive(Clone, Debug)]
pub struct Exposition(Registry);

impl Exposition {
    /// Makes it, with the reader that a provider of meters has to have.
    ///
    /// # Errors
    /// The library's own.
    pub fn new() -> Result<(Self, impl MetricReader), OTelSdkError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        let reader = exporter.scope_info_enabled(false).build()?;
        Ok((Self(registry), reader))
    }

    /// All numbers of now. It reads files of the system: not for threads that serve requests.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut text) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
