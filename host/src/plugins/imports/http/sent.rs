//! The body of a request: counted as it is sent, and ended where the guest does what it may not.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio_util::sync::DropGuard;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::call::{Call, Direction};
use super::exchange::{Cut, Exchange};
use crate::egress::Egress;

/// The reason that a body ended before its time, for the request that it belonged to.
#[derive(Clone, Default)]
pub(super) struct Verdict(Arc<OnceLock<Reason>>);

/// The reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    /// Servers read trailers in different ways, some as headers.
    #[error("the guest may not send trailers")]
    Trailers,
    /// The call has sent and received as much as it may.
    #[error("the call has sent as much as it may")]
    Bytes(Option<u64>),
    /// The grant was withdrawn, or the call has ended.
    #[error("the request was cut")]
    Cut,
    /// The guest dropped it, or wrote more or less than it said.
    #[error("the guest has not finished the body")]
    Unfinished,
}

impl Verdict {
    pub(super) fn get(&self) -> Option<Reason> {
        self.0.get().copied()
    }
}

impl Reason {
    pub(super) fn into_error(self, call: &Call) -> HttpError {
        match self {
            Self::Trailers => call.refuse_unreadable(&self),
            Self::Bytes(limit) => HttpError::HttpRequestBodySize(limit),
            Self::Cut => HttpError::ConnectionTerminated,
            Self::Unfinished => HttpError::HttpProtocolError,
        }
    }
}

/// The body.
pub(super) struct Sent {
    /// Until it is dropped.
    body: Option<WasiBody>,
    /// Bytes that are still to come, where the request's head says how many there are.
    left: Option<u64>,
    egress: Egress,
    exchange: Arc<Exchange>,
    cut: Cut,
    verdict: Verdict,
    /// Tells that nothing more is sent.
    _sent: DropGuard,
}

impl Sent {
    /// The body of a request with this head.
    pub(super) fn new(
        head: &Parts,
        body: WasiBody,
        (exchange, egress): (Arc<Exchange>, Egress),
        sent: DropGuard,
        verdict: Verdict,
    ) -> Self {
        let cut = exchange.cut();
        Self { body: Some(body), left: length(head), egress, exchange, cut, verdict, _sent: sent }
    }

    fn judge(&mut self, frame: Result<Frame<Bytes>, HttpError>) -> Result<Frame<Bytes>, Reason> {
        let frame = frame.map_err(|_| Reason::Unfinished)?;
        let Some(data) = frame.data_ref() else { return Err(Reason::Trailers) };
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        match self.exchange.call().count(data.len(), Direction::Sent) {
            Ok(()) => Ok(frame),
            Err(HttpError::HttpRequestBodySize(limit)) => Err(Reason::Bytes(limit)),
            Err(_) => Err(Reason::Bytes(None)),
        }
    }
}

/// The length that a head says, or that its method has without a word.
fn length(head: &Parts) -> Option<u64> {
    match head.headers.get(CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        None => [Method::GET, Method::HEAD].contains(&head.method).then_some(0),
    }
}

impl Drop for Sent {
    /// The request is whole as soon as the last byte is sent, and the guest may say so later. Until then its stream stays
    /// open: to write nothing into one that is closed is an error, by which guests take a request for a failed one.
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| self.left == Some(0) && !body.is_end_stream()) else {
            return;
        };
        let call = Arc::clone(self.exchange.call());
        let finished = async move {
            while let Some(Ok(frame)) = body.frame().await {
                if frame.data_ref().is_none_or(|data| !data.is_empty()) {
                    break;
                }
            }
        };
        self.egress.spawn(async move {
            tokio::select! {
                () = finished => {}
                () = call.ended.cancelled() => {}
            }
        });
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let frame = match (this.cut.poll(context), &mut this.body) {
            (Poll::Ready(()), _) => Some(Err(Reason::Cut)),
            (Poll::Pending, None) => None,
            (Poll::Pending, Some(body)) => ready!(Pin::new(body).poll_frame(context)).map(|frame| this.judge(frame)),
        };
        // The end of the call drops the body, which looks as if the guest had finished it; the call is over before that.
        let frame = if self.exchange.call().ended.is_cancelled() { Some(Err(Reason::Cut)) } else { frame };
        Poll::Ready(frame.map(|judged| {
            judged.map_err(|reason| {
                // The first reason is the one that counts.
                let _ = self.verdict.0.set(reason);
                reason.into()
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
