//! The body of a request: counted as it is sent, and ended where the guest does what it may not.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::DropGuard;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::call::{Call, Direction};
use super::exchange::{Cut, Exchange};

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
    body: WasiBody,
    exchange: Arc<Exchange>,
    cut: Cut,
    verdict: Verdict,
    /// Tells that nothing more is sent.
    _sent: DropGuard,
}

impl Sent {
    pub(super) fn new(body: WasiBody, exchange: Arc<Exchange>, sent: DropGuard, verdict: Verdict) -> Self {
        let cut = exchange.cut();
        Self { body, exchange, cut, verdict, _sent: sent }
    }

    fn judge(&self, frame: Result<Frame<Bytes>, HttpError>) -> Result<Frame<Bytes>, Reason> {
        let frame = frame.map_err(|_| Reason::Unfinished)?;
        let Some(data) = frame.data_ref() else { return Err(Reason::Trailers) };
        match self.exchange.call().count(data.len(), Direction::Sent) {
            Ok(()) => Ok(frame),
            Err(HttpError::HttpRequestBodySize(limit)) => Err(Reason::Bytes(limit)),
            Err(_) => Err(Reason::Bytes(None)),
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match self.cut.poll(context) {
            Poll::Ready(()) => Some(Err(Reason::Cut)),
            Poll::Pending => ready!(Pin::new(&mut self.body).poll_frame(context)).map(|frame| self.judge(frame)),
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
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
