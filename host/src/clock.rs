//! The time of day, by which lives end: of tokens, codes, sessions, rows and sealed states.
//!
//! The tests' own server moves it; the shipped program has the system's, but does not believe it at once when it leaps
//! ahead ([`believed`]). Waits, caches and pauses measure with `Instant` and are not moved. Tokens that others have
//! signed are checked against the system's clock, by `jsonwebtoken`.

mod believed;

use std::sync::OnceLock;
use std::time::SystemTime;

static CLOCK: OnceLock<fn() -> SystemTime> = OnceLock::new();

/// Puts another clock in the place of the system's, once and before anything reads it. For the tests' own server: the
/// `tinymcp` program never calls this.
pub fn install(clock: fn() -> SystemTime) {
    let _ = CLOCK.set(clock);
}

/// The time of day.
pub(crate) fn now() -> SystemTime {
    CLOCK.get().map_or_else(believed::now, |clock| clock())
}

/// Seconds since 1970; 0 on a clock that is before that.
pub(crate) fn now_s() -> u64 {
    now_ms() / 1000
}

/// Milliseconds since 1970; 0 on a clock that is before that.
pub(crate) fn now_ms() -> u64 {
    let since = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
