//! The answer as the guest gets it: without what is not for it, counted, and without the credential if the service
//! echoes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error as HttpError;

use super::call::Direction;
use super::code::code;
use super::exchange::{Cut, Exchange};
use crate::egress::Received;
use crate::grants::credentials::Ready;
use crate::grants::headers::remove_from_answer;
use crate::grants::scrub::{Net, Scrubber};
use crate::plugins::notes::EgressWait;

/// Takes from the head of an answer what is not for the guest.
///
/// # Errors
/// There is a credential, and the answer is coded: it could not be found in it.
pub(super) fn make_fit(head: &mut Parts, credentials: &Ready) -> Result<(), HttpError> {
    let has_credential = !credentials.is_none();
    if has_credential {
        let coding = |name, plain: &str| {
            let lines = head.headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default());
            let codings = lines.flat_map(|line| line.split(',')).map(str::trim);
            codings.filter(|coding| !coding.is_empty()).find(|it| !it.eq_ignore_ascii_case(plain)).map(str::to_owned)
        };
        if let Some(coding) = coding(CONTENT_ENCODING, "identity") {
            return Err(HttpError::HttpResponseContentCoding(Some(coding)));
        }
        if let Some(coding) = coding(TRANSFER_ENCODING, "chunked") {
            return Err(HttpError::HttpResponseTransferCoding(Some(coding)));
        }
    }
    clean(&mut head.headers, credentials);
    Ok(())
}

fn clean(headers: &mut HeaderMap, credentials: &Ready) {
    remove_from_answer(headers, !credentials.is_none());
    scrub(headers, credentials.net());
}

fn scrub(headers: &mut HeaderMap, net: &Net) {
    if net.is_empty() {
        return;
    }
    let named: Vec<HeaderName> =
        headers.keys().filter(|name| net.scrub(name.as_ref()) != name.as_str().as_bytes()).cloned().collect();
    for name in named {
        headers.remove(name);
    }
    for value in headers.values_mut() {
        // What is left of a value could stand in a header before.
        *value = HeaderValue::from_bytes(&net.scrub(value.as_bytes())).unwrap_or(HeaderValue::from_static("*"));
    }
}

/// The body of an answer.
pub(super) struct Answer {
    received: Option<Received>,
    scrubber: Option<Scrubber<Arc<Net>>>,
    /// They come after what the scrubber has held back.
    trailers: Option<HeaderMap>,
    credentials: Ready,
    cut: Cut,
    /// Until the end.
    exchange: Option<Arc<Exchange>>,
    gap: Option<Gap>,
    /// Since the guest wants a piece that has not come.
    waiting: Option<EgressWait>,
}

/// The guest's own limit of the time between two pieces, from the moment that it wants the next one.
struct Gap {
    longest: Duration,
    sleep: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl Gap {
    fn new(longest: Duration) -> Self {
        Self { longest, sleep: Box::pin(tokio::time::sleep(longest)), is_waiting: false }
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.sleep.as_mut().reset(Instant::now() + self.longest);
        }
        self.sleep.as_mut().poll(context)
    }
}

impl Answer {
    pub(super) fn new(
        received: Received,
        credentials: &Ready,
        exchange: Arc<Exchange>,
        longest_gap: Option<Duration>,
    ) -> Self {
        let net = credentials.net();
        Self {
            received: Some(received),
            scrubber: (!net.is_empty()).then(|| Scrubber::new(Arc::clone(net))),
            trailers: None,
            credentials: credentials.clone(),
            cut: exchange.cut(),
            exchange: Some(exchange),
            gap: longest_gap.map(Gap::new),
            waiting: None,
        }
    }

    /// Ends the exchange: its connection is kept or closed.
    fn close(&mut self) {
        self.received = None;
        self.exchange = None;
        self.gap = None;
        self.waiting = None;
    }

    fn fail(&mut self, error: HttpError) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.close();
        self.scrubber = None;
        self.trailers = None;
        Poll::Ready(Some(Err(error)))
    }

    /// What is left when nothing more comes.
    fn rest(&mut self) -> Option<Frame<Bytes>> {
        let held = self.scrubber.take().map(Scrubber::finish).filter(|held| !held.is_empty());
        held.map(|held| Frame::data(held.into())).or_else(|| self.trailers.take().map(Frame::trailers))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        loop {
            let (Some(received), Some(exchange)) = (&mut this.received, &this.exchange) else {
                return Poll::Ready(this.rest().map(Ok));
            };
            if this.cut.poll(context).is_ready() {
                let verdict = exchange.verdict();
                return this.fail(verdict.unwrap_or(HttpError::ConnectionTerminated));
            }
            let frame = match Pin::new(received).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if this.waiting.is_none() {
                        this.waiting = exchange.call().wait();
                    }
                    return match this.gap.as_mut().map(|gap| gap.poll_over(context)) {
                        Some(Poll::Ready(())) => this.fail(HttpError::ConnectionReadTimeout),
                        _ => Poll::Pending,
                    };
                }
            };
            this.waiting = None;
            if let Some(gap) = &mut this.gap {
                gap.is_waiting = false;
            }
            match frame {
                None => this.close(),
                Some(Err(failure)) => {
                    // A connection ends with its grant, maybe before this is told of it.
                    let verdict = exchange.verdict();
                    return this.fail(verdict.unwrap_or_else(|| code(&failure)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Err(error) = exchange.call().count(data.len(), Direction::Received) {
                            return this.fail(error);
                        }
                        let data = match &mut this.scrubber {
                            Some(scrubber) => scrubber.push(&data).into(),
                            None => data,
                        };
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Err(frame) => {
                        this.close();
                        if let Ok(mut trailers) = frame.into_trailers() {
                            clean(&mut trailers, &this.credentials);
                            this.trailers = Some(trailers);
                        }
                    }
                },
            }
        }
    }
}
