//! The time of day, as numbers.

use std::time::SystemTime;

/// Seconds since 1970; 0 on a clock that is before that.
pub(crate) fn now_s() -> u64 {
    now_ms() / 1000
}

/// Milliseconds since 1970; 0 on a clock that is before that.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
