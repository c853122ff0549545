//! The time of requests that no plugin serves, for the metrics: lists, handshakes, pings. Plugins' calls time themselves.

use std::sync::OnceLock;
use std::time::Instant;

use http::StatusCode;

use crate::metrics::Metrics;

/// The methods that are told apart. Nothing else that a client writes becomes a label.
const KNOWN: [&str; 15] = [
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "ping",
    "prompts/list",
    "resources/list",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tools/list",
];

/// The methods that plugins serve.
const OF_PLUGINS: [&str; 4] = ["completion/complete", "prompts/get", "resources/read", "tools/call"];

/// The name of all others.
const OTHER: &str = "_OTHER";

/// A request under way.
pub(super) struct Timed {
    began: Instant,
    method: OnceLock<&'static str>,
}

impl Timed {
    /// Begins, if anybody looks at the metrics.
    pub(super) fn begin(metrics: &Metrics) -> Option<Self> {
        metrics.is_on().then(|| Self { began: Instant::now(), method: OnceLock::new() })
    }

    /// The method is known now.
    pub(super) fn is(&self, method: &str) {
        if !OF_PLUGINS.contains(&method) {
            let known = KNOWN.iter().find(|known| **known == method);
            let _ = self.method.set(known.copied().unwrap_or(OTHER));
        }
    }

    /// It is answered.
    pub(super) fn end(&self, metrics: &Metrics, status: StatusCode) {
        if let Some(method) = self.method.get() {
            metrics.operation(method, error(status), self.began.elapsed());
        }
    }
}

fn error(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        ..400 => return None,
        400 => "400",
        403 => "403",
        404 => "404",
        413 => "413",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => OTHER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_is_no_label() {
        for (method, expected) in
            [("tools/list", Some("tools/list")), ("tools/call", None), ("x\n{evil=\"1\"}", Some("_OTHER"))]
        {
            let timed = Timed { began: Instant::now(), method: OnceLock::new() };
            timed.is(method);
            assert_eq!(timed.method.get().copied(), expected);
        }
    }
}
