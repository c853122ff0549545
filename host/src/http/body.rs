//! The body of a request: counted while it is a stranger's, and read to its end, within bounds, if the handler does not
//! read it. And the body of its answer, which notes whom it waits for.
//!
//! A server that answers and closes before it has read the whole body may lose its answer: unread bytes make the system
//! reset the connection, and the client then drops the answer (RFC 9112 §9.6). So on HTTP/1 the rest is read for a
//! while. HTTP/2 has streams that end apart.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::active_request::{ActiveRequest, Stage};
use super::tally::Tally;

/// The most that is read of the rest of a body.
const UNWANTED_BYTES: u64 = 8 << 20;

/// Time for that, and for the client to read the answer.
const UNWANTED_FOR: Duration = Duration::from_secs(3);

/// The most bodies whose rest is read at once: of one address, and of all.
const PER_ADDRESS: usize = 4;
const IN_ALL: usize = 64;

/// The cost of one piece of a body, beside its bytes.
const PIECE_BYTES: usize = 64;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body.
pub(super) struct RequestBody {
    /// `None` once it has failed or ended.
    incoming: Option<Incoming>,
    active: Arc<ActiveRequest>,
    drains: Arc<Drains>,
    /// True if the rest has to be read.
    is_owed: bool,
    /// True while the client waits for 100 Continue before it sends anything (RFC 9110 §10.1.1).
    waits: bool,
}

impl RequestBody {
    /// Puts this in the place of a request's body.
    pub(super) fn of(request: Request<Incoming>, active: &Arc<ActiveRequest>, drains: &Arc<Drains>) -> Request<Self> {
        let is_owed = request.version() < Version::HTTP_2;
        let waits = request.headers().contains_key(EXPECT);
        let (active, drains) = (Arc::clone(active), Arc::clone(drains));
        request.map(|incoming| Self { incoming: Some(incoming), active, drains, is_owed, waits })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.waits = false;
        let Some(incoming) = self.incoming.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        self.active.enter(if polled.is_pending() { Stage::Receiving } else { Stage::Working });
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) + PIECE_BYTES;
                Poll::Ready(Some(self.active.receive(bytes).map(|()| frame).map_err(Into::into)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.incoming = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.incoming = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Whoever drops it makes the answer from what has come.
        if self.active.stage() == Stage::Receiving {
            self.active.enter(Stage::Working);
        }
        let is_owed = self.is_owed && !self.waits;
        if let Some(rest) = self.incoming.take().filter(|rest| is_owed && !rest.is_end_stream())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && let Some(turn) = Turn::take(&self.drains, self.active.address)
        {
            runtime.spawn(drain(rest, turn));
        }
    }
}

/// The body of an answer. It holds its request until it is sent or dropped.
pub(super) struct AnswerBody {
    pub(super) body: axum::body::Body,
    pub(super) active: Arc<ActiveRequest>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.active.enter(if polled.is_pending() { Stage::Working } else { Stage::Sending });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads the rest. If that is too much, the client may still read its answer before the connection is reset.
async fn drain(mut rest: Incoming, turn: Turn) {
    let deadline = Instant::now() + UNWANTED_FOR;
    let mut bytes = 0;
    while bytes < UNWANTED_BYTES {
        match tokio::time::timeout_at(deadline, rest.frame()).await {
            Ok(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Ok(Some(Err(_)) | None) | Err(_) => return,
        }
    }
    tokio::time::sleep_until(deadline).await;
    drop(turn);
}

/// The bodies whose rest is being read.
#[derive(Default)]
pub(super) struct Drains(Mutex<Tally>);

/// One of those, until it is dropped.
struct Turn {
    drains: Arc<Drains>,
    address: IpAddr,
}

impl Drains {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn take(drains: &Arc<Drains>, address: IpAddr) -> Option<Self> {
        let mut tally = drains.tally();
        if tally.total() >= IN_ALL || tally.of(address) >= PER_ADDRESS {
            return None;
        }
        tally.add(address, 1);
        Some(Self { drains: Arc::clone(drains), address })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.drains.tally().subtract(self.address, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_few_turns_and_all_have_some_more() {
        let drains = Arc::new(Drains::default());
        let take = |last: u8| Turn::take(&drains, IpAddr::from([192, 0, 2, last]));
        let mut turns: Vec<Turn> = std::iter::from_fn(|| take(0)).collect();
        assert_eq!(turns.len(), PER_ADDRESS);
        for address in 1..=255 {
            turns.extend(std::iter::from_fn(|| take(address)));
        }
        assert_eq!(turns.len(), IN_ALL);
        turns.clear();
        assert_eq!(drains.tally().addresses(), 0);
    }
}
