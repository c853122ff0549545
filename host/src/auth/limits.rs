//! Limits on the requests of one address, far above what people need, so that nobody keeps the server busy alone.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::errors::OAuthError;
use crate::log_limiter::LogLimiter;
use crate::peer::network;

/// The most addresses that are remembered, before those are forgotten that have not asked for a while.
const ADDRESSES_MAX: usize = 10_000;

/// Requests between two times of forgetting, which looks at every address.
const FORGET_EVERY: u32 = 1_024;

static TOO_OFTEN: LogLimiter = LogLimiter::new("requests of addresses that ask too often");

/// The kinds of requests, each counted apart so that one does not use up the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    /// `/register`: clients register often, and hosted ones share addresses.
    Register,
    /// `/authorize`, `/consent`, the provider's answers.
    Authorize,
    /// Codes at `/token`, and `/revoke`.
    Token,
    /// Refresh tokens at `/token`: being turned away there must not look like being logged out.
    Refresh,
}

/// The limits, by address.
pub(super) struct Limits {
    register: DefaultKeyedRateLimiter<IpAddr>,
    authorize: DefaultKeyedRateLimiter<IpAddr>,
    token: DefaultKeyedRateLimiter<IpAddr>,
    refresh: DefaultKeyedRateLimiter<IpAddr>,
    requests: AtomicU32,
}

impl Limits {
    /// Limits each address to so many requests a minute in each bucket.
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        let limiter = || RateLimiter::keyed(Quota::per_minute(per_minute));
        Self {
            register: limiter(),
            authorize: limiter(),
            token: limiter(),
            refresh: limiter(),
            requests: AtomicU32::new(0),
        }
    }

    fn all(&self) -> [&DefaultKeyedRateLimiter<IpAddr>; 4] {
        [&self.register, &self.authorize, &self.token, &self.refresh]
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`OAuthError::SlowDown`], with the time to come again.
    pub(super) fn count(&self, bucket: Bucket, address: IpAddr) -> Result<(), OAuthError> {
        let limiter = match bucket {
            Bucket::Register => &self.register,
            Bucket::Authorize => &self.authorize,
            Bucket::Token => &self.token,
            Bucket::Refresh => &self.refresh,
        };
        let is_time = self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY);
        if is_time {
            for limiter in self.all().into_iter().filter(|limiter| limiter.len() > ADDRESSES_MAX) {
                limiter.retain_recent();
            }
        }
        limiter.check_key(&network(address)).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            let wait = wait.max(Duration::from_secs(1)).as_secs_f64().ceil();
            TOO_OFTEN.log(|| tracing::warn!(?bucket, "an address asks too often"));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a minute at most")]
            OAuthError::SlowDown { retry_after_s: wait as u32 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_turned_away_and_others_are_not() {
        let limits = Limits::new(3);
        let ask = |address: &str| limits.count(Bucket::Token, address.parse().unwrap());
        for _ in 0..3 {
            assert_eq!(ask("2001:db8::1"), Ok(()));
        }
        assert_eq!(ask("2001:db8::2"), Err(OAuthError::SlowDown { retry_after_s: 20 }));
        assert_eq!(ask("2001:db8:1::1"), Ok(()));
        assert_eq!(ask("192.0.2.1"), Ok(()));
        assert_eq!(limits.count(Bucket::Refresh, "2001:db8::1".parse().unwrap()), Ok(()));
    }

    #[test]
    fn addresses_are_forgotten_whatever_is_asked_when() {
        let limits = Limits::new(60_000);
        for number in 0..30_000_u32 {
            // The request that looks at the addresses is always one of another kind.
            let bucket = if number % FORGET_EVERY == 0 { Bucket::Token } else { Bucket::Register };
            limits.count(bucket, IpAddr::from(number.to_be_bytes())).unwrap();
        }
        assert!(limits.register.len() < 2 * ADDRESSES_MAX, "{}", limits.register.len());
    }
}
