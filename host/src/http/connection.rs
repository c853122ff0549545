//! One connection, from its first byte to its end: a deadline for everything that its client can draw out, on both
//! protocols.
//!
//! hyper has a deadline for heads on HTTP/1 alone, counts idle time as part of it, and on HTTP/2 waits forever for a
//! client that has sent the preface and nothing else. So the deadlines are here.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Version};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::net::{RecvFlags, recv};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::active_request::{ActiveRequest, OpenConnection, StrangerLimits};
use super::body::{AnswerBody, Drains, RequestBody};
use super::limits::Limits;
use super::places::Place;
use super::transport::{Activity, WatchedStream};
use super::{Routes, address, stopping};
use crate::peer::Peer;

/// A connection on which no request is under way is closed after so long. Longer than the minute or so that load
/// balancers keep theirs, so that they close first and never send into a connection that is being closed.
const IDLE: Duration = Duration::from_secs(75);

/// Time for the first byte of a connection, if `header_timeout` is not shorter: who connects has something to say.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// A client that takes no byte of its answer for so long is gone.
const STALLED: Duration = Duration::from_secs(30);

/// Time for strangers' requests on a connection, bodies and answers included: the provider has ten seconds of it.
const STRANGERS: Duration = Duration::from_secs(60);

/// Time for a connection to end in order, if no request is in progress.
const LEAVE: Duration = Duration::from_secs(1);

/// Time between two looks at a connection, if no deadline is nearer. No deadline that begins between them is shorter.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An HTTP/2 client is asked whether it lives, and has so long to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(20);

/// Concurrent requests on one HTTP/2 connection. RFC 9113 §6.5.2 wants a hundred, and a proxy with many people behind
/// it needs them. All heads that are on their way are unpacked before the first is looked at, so others get fewer.
const MAX_STREAMS: u32 = 32;
const MAX_STREAMS_OF_PROXY: u32 = 100;

/// Bytes that an HTTP/2 client may send ahead, on a stream and on the connection: they stay in memory until they are
/// read.
const WINDOW_BYTES: u32 = 65_535;

/// Bytes of an answer that are kept on one HTTP/2 stream until the client takes them.
const SEND_BYTES: usize = 64 * 1024;

/// Size of a request's head on HTTP/1. hyper answers 431 beyond it.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The same on HTTP/2, unpacked, with the 32 bytes for each field of RFC 9113 §6.5.2: a few bytes of a compressed head
/// stand for any number of fields.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Fields of a request. hyper has the same bound on HTTP/1, by itself.
const MAX_FIELDS: usize = 100;

/// The things that all connections share, and the service of each.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) routes: Routes,
    pub(super) limits: Arc<Limits>,
    pub(super) strangers: Arc<StrangerLimits>,
    pub(super) drains: Arc<Drains>,
    pub(super) draining: CancellationToken,
    pub(super) closed: CancellationToken,
}

/// The reason that a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// No request is in progress.
    InOrder,
    /// The server stops: requests in progress may finish.
    Draining,
    /// A request in progress does not get on.
    Now,
}

impl Connection {
    pub(super) async fn serve(self, stream: TcpStream, peer: Peer, place: Place) {
        // Without it an answer in two writes waits for the client's delayed acknowledgement, some 40 ms.
        let _ = stream.set_nodelay(true);
        let first_byte = first_byte(&stream, FIRST_BYTE.min(self.limits.header_timeout), &self.draining);
        tokio::select! {
            begun = first_byte => {
                if !begun {
                    return;
                }
            }
            () = place.evicted() => return,
        }
        let (limits, draining, closed) = (Arc::clone(&self.limits), self.draining.clone(), self.closed.clone());
        let activity = Activity::start();
        let open = Arc::new(OpenConnection::new(place, Arc::clone(&activity), Arc::clone(&self.strangers)));
        let place = &open.place;
        let builder = builder(if place.is_proxys() { MAX_STREAMS_OF_PROXY } else { MAX_STREAMS });
        let of_service = Arc::clone(&open);
        let service = hyper::service::service_fn(move |request| self.answer(request, peer, &of_service));
        let connection =
            builder.serve_connection(TokioIo::new(WatchedStream::new(stream, Arc::clone(&activity))), service);
        tokio::pin!(connection);
        let end = tokio::select! {
            // hyper closes a connection that is to end before it has read anything, and a request may be there.
            biased;
            _ = connection.as_mut() => return,
            end = overdue(place, &activity, &limits) => end,
            () = draining.cancelled() => End::Draining,
            () = place.evicted() => return,
            () = closed.cancelled() => return,
        };
        if end == End::Now {
            return;
        }
        connection.as_mut().graceful_shutdown();
        let left = async {
            let is_idle =
                end == End::InOrder && draining.run_until_cancelled(abandoned(place, &activity, LEAVE)).await.is_some();
            if !is_idle {
                stopping::left_to_client(&open, &activity, &limits).await;
            }
        };
        tokio::select! {
            _ = connection => {}
            () = left => {}
            () = place.evicted() => {}
            () = closed.cancelled() => {}
        }
    }

    /// Answers one request. An error ends its stream.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        open: &Arc<OpenConnection>,
    ) -> impl Future<Output = Result<Response, h2::Error>> + use<> {
        let is_stream = request.version() >= Version::HTTP_2;
        let has_too_many_fields = request.headers().len() > MAX_FIELDS;
        let from = address::of(&peer, request.headers(), &self.limits.trusted_proxies);
        let begun = ActiveRequest::begin(open, &peer, from, is_stream).map(|active| {
            if has_too_many_fields {
                return (active, None);
            }
            let request = RequestBody::of(request, &active, &self.drains).map(Body::new);
            // Boxed, since hyper keeps the room of this future for as long as the connection.
            let answer = Box::pin(self.routes.clone().answer(request, peer, Arc::clone(&active)));
            (active, Some(answer))
        });
        async move {
            // Only on HTTP/2; its client may try again (RFC 9113 §8.7).
            let (active, answer) = begun.map_err(|_overload| h2::Error::from(h2::Reason::REFUSED_STREAM))?;
            let response = match answer {
                Some(answer) => answer.await,
                None => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response(),
            };
            // A response that streams is in progress until its body ends.
            Ok(response.map(|body| Body::new(AnswerBody { body, active })))
        }
    }
}

/// Waits for the first byte. False if none comes in time, or before the server stops: what a client has sent by then is there, even
/// if nobody has looked yet.
async fn first_byte(stream: &TcpStream, most: Duration, draining: &CancellationToken) -> bool {
    let mut first = [0];
    let peeked = tokio::time::timeout(most, stream.peek(&mut first));
    if let Some(peeked) = draining.run_until_cancelled(peeked).await {
        return matches!(peeked, Ok(Ok(1..)));
    }
    let at_once = recv(stream, &mut first[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    // The runtime has to notice it, too.
    matches!(at_once, Ok((1.., _))) && matches!(tokio::time::timeout(most, stream.peek(&mut first)).await, Ok(Ok(1..)))
}

fn builder(max_streams: u32) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // See `overdue`.
        .header_read_timeout(None::<Duration>)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .max_concurrent_streams(max_streams)
        .max_header_list_size(MAX_HEADER_LIST_BYTES);
    builder
}

/// Returns when a connection has missed a deadline.
async fn overdue(place: &Place, activity: &Activity, limits: &Limits) -> End {
    loop {
        let now = Instant::now();
        let (deadline, end) = deadline(place, activity, limits, now);
        if deadline <= now {
            return end;
        }
        tokio::time::sleep_until(deadline.min(now + LOOK_EVERY.min(limits.header_timeout))).await;
    }
}

/// The next deadline, if nothing happens until then.
fn deadline(place: &Place, activity: &Activity, limits: &Limits, now: Instant) -> (Instant, End) {
    let first = (!place.has_served()).then(|| (place.entered() + limits.header_timeout, End::InOrder));
    let idle_since = place.idle_since();
    let idle = idle_since.map(|since| (since + IDLE, End::InOrder));
    // Bytes of HTTP/2 need not be a request's.
    let receiving = activity.receiving_since().filter(|_| activity.is_http1());
    let head = idle_since.and(receiving).map(|since| (since + limits.header_timeout, End::InOrder));
    let strangers = place.strangers_since().map(|since| (since + STRANGERS, End::Now));
    let stalled = activity.stalled_since().map(|since| (since + STALLED, End::Now));
    let all = [first, idle, head, strangers, stalled];
    all.into_iter().flatten().min_by_key(|(deadline, _)| *deadline).unwrap_or((now + IDLE, End::InOrder))
}

/// Returns when a connection that is to end has had no request in progress for so long, or has stalled.
async fn abandoned(place: &Place, activity: &Activity, leave: Duration) {
    let mut quiet_since = Instant::now();
    loop {
        let now = Instant::now();
        if place.is_in_use() {
            quiet_since = now;
        }
        let is_stalled = activity.stalled_since().is_some_and(|since| now >= since + STALLED);
        if is_stalled || now >= quiet_since + leave {
            return;
        }
        tokio::time::sleep_until((quiet_since + leave).min(now + LEAVE)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_sent_before_the_server_stops_is_seen_and_nothing_else_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (draining, long) = (CancellationToken::new(), Duration::from_secs(60));
        draining.cancel();
        let mut speaks = TcpStream::connect(address).await.unwrap();
        speaks.write_all(b"GET").await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(first_byte(&accepted, long, &draining).await);
        let _silent = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(!first_byte(&accepted, long, &draining).await);
        drop(TcpStream::connect(address).await.unwrap());
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(!first_byte(&accepted, long, &draining).await);
    }
}
