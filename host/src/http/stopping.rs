//! The end of a connection while the server stops: it waits for its own work, and hardly for clients.
//!
//! A client that has sent half of a request, or takes nothing of its answer, or has an HTTP/2 connection and says
//! nothing (so that it never acknowledges the end), would hold the end of the server up for all of the grace period. So
//! would one that sends a byte now and then, or a PING. Strangers therefore have a time in all, and people who have
//! logged in lose theirs by silence only.

use std::time::Duration;

use tokio::time::Instant;

use super::active_request::OpenConnection;
use super::limits::Limits;
use super::transport::Activity;

/// Time for requests that were on their way when an HTTP/2 client was told of the end: a round trip.
const ON_THEIR_WAY: Duration = Duration::from_millis(500);

/// A person's client that is in the middle of a request or of an answer, and moves no byte for so long, is not waited
/// for.
const QUIET: Duration = Duration::from_secs(2);

/// The most that a connection of strangers is waited for in all, whatever they send meanwhile.
const STRANGERS: Duration = QUIET;

/// Time between two looks at a connection.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Returns when nothing is left on a connection but a client that keeps the server waiting.
pub(super) async fn left_to_client(open: &OpenConnection, activity: &Activity, limits: &Limits) {
    let mut looked = Instant::now();
    let mut waiting_since = looked;
    let (mut moved, mut moved_at) = (activity.moved(), looked);
    // It adds up, so that no byte of a body, which the server works on for a moment, begins the time again.
    let mut strangers_waited = Duration::ZERO;
    loop {
        let now = Instant::now();
        let (is_working, is_strangers) = (open.is_working(), open.place.is_left_to_strangers());
        if is_working {
            waiting_since = now;
        } else if is_strangers {
            strangers_waited += now - looked;
        }
        if is_working || activity.moved() != moved {
            (moved, moved_at) = (activity.moved(), now);
        }
        looked = now;
        let is_between_requests = !open.place.is_in_use();
        let (waited, quiet) = (now - waiting_since, now - moved_at);
        let is_over = match open.is_sending() {
            // hyper has closed a connection of HTTP/1 on which no head has begun.
            false if is_between_requests && activity.is_http2() => waited >= ON_THEIR_WAY,
            _ if is_strangers => strangers_waited >= STRANGERS,
            false => quiet >= QUIET || waited >= limits.header_timeout,
            true => quiet >= QUIET,
        };
        if is_over {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
