//! The time of requests that no plugin serves, for the metrics: lists, handshakes, pings, and what was meant for a plugin and
//! was refused before any had it. Plugins' calls time themselves.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// The error of a request for what is not there: invalid parameters (JSON-RPC 2.0 §5.1).
const NOT_THERE: &str = "-32602";

/// The name of all others.
const OTHER: &str = "_OTHER";

/// A request under way.
pub(super) struct Timed {
    began: Instant,
    method: OnceLock<&'static str>,
    /// The method of a request that is for a plugin.
    of_plugin: OnceLock<&'static str>,
    /// No plugin has what it asks for.
    is_in_vain: AtomicBool,
}

impl Timed {
    /// Begins, if anybody looks at the metrics.
    pub(super) fn begin(metrics: &Metrics) -> Option<Self> {
        metrics.is_on().then(Self::now)
    }

    fn now() -> Self {
        let (method, of_plugin, is_in_vain) = Default::default();
        Self { began: Instant::now(), method, of_plugin, is_in_vain }
    }

    /// The method is known now.
    pub(super) fn is(&self, method: &str) {
        if let Some(of_plugin) = OF_PLUGINS.iter().find(|known| **known == method) {
            let _ = self.of_plugin.set(of_plugin);
        } else {
            let known = KNOWN.iter().find(|known| **known == method);
            let _ = self.method.set(known.copied().unwrap_or(OTHER));
        }
    }

    /// No plugin has the tool, the prompt or the resource that it asks for.
    pub(super) fn is_in_vain(&self) {
        self.is_in_vain.store(true, Ordering::Relaxed);
    }

    /// It is answered. `is_refused` says that it was before any plugin could have it.
    pub(super) fn end(&self, metrics: &Metrics, status: StatusCode, is_refused: bool) {
        if let Some(method) = self.method.get() {
            metrics.operation(method, error(status), self.began.elapsed());
        }
        let is_in_vain = self.is_in_vain.load(Ordering::Relaxed);
        if let Some(method) = self.of_plugin.get().filter(|_| is_refused || is_in_vain) {
            metrics.operation(method, error(status).or(Some(NOT_THERE)), self.began.elapsed());
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
            let timed = Timed::now();
            timed.is(method);
            assert_eq!(timed.method.get().copied(), expected);
        }
    }
}
