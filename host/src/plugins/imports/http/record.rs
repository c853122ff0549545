//! The log of requests: what was refused, with the lines that would grant it; what failed; and what each call did.
//!
//! No record has a path, a query, a header or a body. A guest that asks for the same place again and again makes one
//! record a minute, and a plugin ten of a kind.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::egress::Failure;
use crate::grants::target::Target;
use crate::log_limiter::LogLimiter;
use crate::plugins::digest::Digest;
use crate::plugins::refusals;

/// Time for which a record about a place is not made again.
const QUIET: Duration = Duration::from_secs(60);

/// Places that are remembered; then all are forgotten.
const PLACES_MAX: usize = 1024;

static REFUSED: LogLimiter = LogLimiter::new("refused requests of plugins");
static FAILED: LogLimiter = LogLimiter::new("requests of plugins that failed");

/// The places of late, by plugin, place and reason.
static LATELY: LazyLock<Mutex<HashMap<String, Seen>>> = LazyLock::new(Mutex::default);

struct Seen {
    until: Instant,
    left_out: u64,
}

/// True once for each place in a while, with the number of times that were left out before.
fn is_news(plugin: &str, target: &str, reason: &str) -> Option<u64> {
    let now = Instant::now();
    let mut lately = LATELY.lock().unwrap_or_else(PoisonError::into_inner);
    if lately.len() >= PLACES_MAX {
        lately.clear();
    }
    let seen = lately.entry(format!("{plugin} {target} {reason}")).or_insert(Seen { until: now, left_out: 0 });
    if now < seen.until {
        seen.left_out += 1;
        return None;
    }
    seen.until = now + QUIET;
    Some(std::mem::take(&mut seen.left_out))
}

/// A request to a place was refused.
pub(super) fn refused(plugin: &str, digest: &Digest, target: &Target, reason: &dyn Display, snippet: Option<String>) {
    let (target, reason) = (target.to_string(), reason.to_string());
    refusals::note(plugin, &target, &reason, snippet.as_deref());
    let Some(repeated) = is_news(plugin, &target, &reason) else { return };
    let to_grant = snippet.filter(|snippet| !snippet.is_empty());
    REFUSED.log_of(plugin, || match to_grant {
        Some(to_grant) => tracing::warn!(
            plugin, %digest, target, reason, repeated, to_grant,
            "plugin `{plugin}` may not send a request to {target}: {reason}"
        ),
        None => tracing::warn!(
            plugin, %digest, target, reason, repeated,
            "plugin `{plugin}` may not send a request to {target}: {reason}"
        ),
    });
}

/// A request was refused before it had a place.
pub(super) fn unreadable(plugin: &str, reason: &dyn Display) {
    let reason = reason.to_string();
    if let Some(repeated) = is_news(plugin, "", &reason) {
        REFUSED.log_of(plugin, || {
            tracing::warn!(plugin, reason, repeated, "a request of plugin `{plugin}` was refused: {reason}");
        });
    }
}

/// A granted request has no answer. What only the operator can mend is a warning.
pub(super) fn failed(plugin: &str, target: &Target, failure: &Failure) {
    let target = target.to_string();
    match failure {
        Failure::Certificate(_) | Failure::Tls(_) | Failure::Proxy(_) | Failure::TooManyConnections => {
            let reason = failure.to_string();
            if let Some(repeated) = is_news(plugin, &target, &reason) {
                FAILED.log_of(plugin, || {
                    tracing::warn!(plugin, target, reason, repeated, "a request to {target} failed: {reason}");
                });
            }
        }
        failure => tracing::debug!(plugin, target, reason = %failure, "a request to {target} failed: {failure}"),
    }
}

/// A call has ended that made requests.
pub(super) fn allowed(plugin: &str, requests: u64, places: &[String], sent: u64, received: u64) {
    let places = places.join(" ");
    tracing::debug!(plugin, requests, places, sent, received, "plugin `{plugin}` made {requests} requests");
}
