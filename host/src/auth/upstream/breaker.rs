//! Requests to the provider, most of which are not sent while it is down.
//!
//! After a few failures in a row, requests fail at once for a moment, and then one of them finds out whether the
//! provider is back: a provider that recovers is not met by everybody who waited, and nobody waits for timeouts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};

use super::answer;
use crate::fetch::{FetchError, ProviderHttp};

/// Failures in a row after which the provider counts as down.
const FAILURES_MAX: u32 = 5;

/// Milliseconds for which requests then fail at once; servers that start together do not ask together. Below the
/// ten seconds within which a login must work again.
const PAUSE_MS: std::ops::Range<u64> = 500..2_000;

/// The longest wait that a provider may ask for.
const RETRY_AFTER_MAX_S: u32 = 300;

/// The provider cannot be reached, or is busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Down {
    /// The text for the log.
    pub(super) cause: String,
    /// Seconds after which the provider wants to be asked again.
    pub(super) retry_after: Option<u32>,
    /// True if it has answered, with more than is taken.
    pub(super) is_too_large: bool,
}

impl Down {
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), retry_after: None, is_too_large: false }
    }
}

/// Requests to the provider.
pub(super) struct Wire {
    http: ProviderHttp,
    breaker: Breaker,
}

impl Wire {
    pub(super) fn new(http: ProviderHttp) -> Self {
        Self { http, breaker: Breaker::default() }
    }

    /// Sends a request. Statuses of a provider that is down or busy are no answers, unless they carry an error of
    /// OAuth's that says more.
    ///
    /// # Errors
    /// [`Down`].
    pub(super) async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Bytes>, Down> {
        self.breaker.admit(Instant::now())?;
        let sent = self.http.send(request).await;
        let failed = |error: FetchError| Down {
            is_too_large: matches!(error, FetchError::TooLarge),
            ..Down::new(error.to_string())
        };
        let outcome = sent.map_err(failed).and_then(usable);
        let is_up = match &outcome {
            Ok(_) => true,
            // Busy is not down, and nor is one that says too much of one person.
            Err(down) => down.retry_after.is_some() || down.is_too_large,
        };
        self.breaker.note(is_up, Instant::now());
        outcome
    }
}

fn usable(response: Response<Bytes>) -> Result<Response<Bytes>, Down> {
    let status = response.status();
    let asked = || {
        let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
        Some(seconds.min(RETRY_AFTER_MAX_S))
    };
    let cause = || format!("status {}", status.as_u16());
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Down { retry_after: asked().or(Some(5)), ..Down::new(cause()) });
    }
    if status.is_server_error() {
        let says_more = answer::error_code(response.headers(), response.body())
            .is_some_and(|error| !["server_error", "temporarily_unavailable"].contains(&error.as_str()));
        return if says_more { Ok(response) } else { Err(Down { retry_after: asked(), ..Down::new(cause()) }) };
    }
    Ok(response)
}

#[derive(Default)]
struct Breaker(Mutex<FailureCount>);

#[derive(Default)]
struct FailureCount {
    in_a_row: u32,
    closed_until: Option<Instant>,
}

impl Breaker {
    fn admit(&self, now: Instant) -> Result<(), Down> {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.closed_until {
            Some(until) if now < until => Err(Down::new("the provider did not answer a moment ago")),
            Some(_) => {
                // This one finds out; the others wait for what it finds.
                failures.closed_until = Some(now + pause());
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note(&self, is_up: bool, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_up {
            *failures = FailureCount::default();
            return;
        }
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        if failures.in_a_row >= FAILURES_MAX {
            failures.closed_until = Some(now + pause());
        }
    }
}

fn pause() -> Duration {
    Duration::from_millis(rand::random_range(PAUSE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_is_down_is_asked_by_one_at_a_time() {
        let breaker = Breaker::default();
        let start = Instant::now();
        for _ in 0..FAILURES_MAX {
            assert!(breaker.admit(start).is_ok());
            breaker.note(false, start);
        }
        assert!(breaker.admit(start).is_err());
        let later = start + Duration::from_millis(PAUSE_MS.end);
        assert!(breaker.admit(later).is_ok());
        assert!(breaker.admit(later).is_err());
        breaker.note(true, later);
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn only_some_statuses_mean_down() {
        let answer = |status: u16, body: &'static str| {
            let mut response = Response::new(Bytes::from_static(body.as_bytes()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            usable(response).map(|response| response.status().as_u16()).map_err(|down| down.retry_after)
        };
        assert_eq!(answer(200, ""), Ok(200));
        assert_eq!(answer(401, ""), Ok(401));
        assert_eq!(answer(500, r#"{"error":"invalid_grant"}"#), Ok(500));
        assert_eq!(answer(500, r#"{"error":"server_error"}"#), Err(None));
        assert_eq!(answer(503, "<html>"), Err(None));
        assert_eq!(answer(429, r#"{"error":"invalid_grant"}"#), Err(Some(5)));
    }
}
