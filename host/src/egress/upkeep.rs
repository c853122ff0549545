//! What a service may send that is no part of any body, without an end: HTTP has many such things, and each of them
//! costs processor time here and gives nobody anything.
//!
//! - Interim answers (1xx) before the answer, on HTTP/1.1: counted, a request at a time.
//! - Everything on HTTP/1.1 that does not come to be a piece of a body, such as zeros before the length of a chunk.
//! - Frames of HTTP/2 that carry no body: interim answers, `PING`, `SETTINGS`, windows, kinds that nobody knows. Empty and
//!   tiny pieces of a body are bounded by `h2` itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// Interim answers to one request on HTTP/1.1. Services send one, and a few hints.
const INTERIM_MAX: usize = 16;

/// Bytes without a body: the largest head and trailers of an answer twice over; and what of a body waits for its reader on
/// HTTP/1.1. A request gives all of them back, a body what it is long.
const BYTES_MAX: u64 = 256 * 1024;

/// Bytes of a chunk that are not its contents.
const CHUNK_BYTES: u64 = 64;

/// Bytes sent for which the other side may send one more without a body: it opens a window for each piece that it gets.
const SENT_PER_BYTE: u64 = 64;

const FRAME_HEAD: usize = 9;

/// `DATA` (RFC 9113 §6.1).
const DATA: u8 = 0;

/// The interim answers to one request.
#[derive(Clone, Default)]
pub(super) struct Interim(Arc<AtomicUsize>);

impl Interim {
    /// Counts those of a request, and ends its connection after too many.
    pub(super) fn count<B>(&self, request: &mut Request<B>, connection: &CancellationToken) {
        let (counted, connection) = (Arc::clone(&self.0), connection.clone());
        hyper::ext::on_informational(request, move |_| {
            if counted.fetch_add(1, Ordering::Relaxed) >= INTERIM_MAX {
                connection.cancel();
            }
        });
    }

    /// True if there were too many.
    pub(super) fn are_too_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) > INTERIM_MAX
    }
}

/// The bytes without a body that the other side of a connection may still send.
#[derive(Clone)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    pub(super) fn full() -> Self {
        Self(Arc::new(AtomicU64::new(BYTES_MAX)))
    }

    /// All of it again: for a request, which has an answer with a head.
    pub(super) fn refill(&self) {
        self.0.store(BYTES_MAX, Ordering::Relaxed);
    }

    /// What a piece of a body on HTTP/1.1 has cost, once its reader has it.
    pub(super) fn give_for_piece(&self, bytes: usize) {
        self.give(bytes as u64 + CHUNK_BYTES);
    }

    fn give(&self, bytes: u64) {
        let given = |left: u64| Some(left.saturating_add(bytes).min(BYTES_MAX));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, given);
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "it sends without an end, and no part of an answer")
        })
    }
}

/// A connection whose bytes are weighed as they arrive.
pub(super) struct Weighed<S> {
    stream: S,
    allowance: Allowance,
    /// None for HTTP/1.1, where every byte counts until it is read as part of a body.
    frames: Option<Frames>,
}

/// The frames of HTTP/2 as they arrive.
#[derive(Default)]
struct Frames {
    /// The head of the next frame, as far as it is there.
    head: Vec<u8>,
    /// The rest of a frame that has begun.
    rest: usize,
    /// Bytes sent that were not counted yet.
    sent: u64,
}

impl<S> Weighed<S> {
    /// One of HTTP/1.1.
    pub(super) fn bytes(stream: S, allowance: Allowance) -> Self {
        Self { stream, allowance, frames: None }
    }

    /// One of HTTP/2.
    pub(super) fn frames(stream: S, allowance: Allowance) -> Self {
        Self { stream, allowance, frames: Some(Frames::default()) }
    }

    fn weigh(&mut self, arrived: &[u8]) -> io::Result<()> {
        match &mut self.frames {
            None => self.allowance.take(arrived.len() as u64),
            Some(frames) => frames.weigh(arrived, &self.allowance),
        }
    }

    fn count_sent(&mut self, bytes: usize) {
        if let Some(frames) = &mut self.frames {
            frames.sent += bytes as u64;
            self.allowance.give(frames.sent / SENT_PER_BYTE);
            frames.sent %= SENT_PER_BYTE;
        }
    }
}

impl Frames {
    fn weigh(&mut self, mut arrived: &[u8], allowance: &Allowance) -> io::Result<()> {
        loop {
            let passed = self.rest.min(arrived.len());
            arrived = &arrived[passed..];
            self.rest -= passed;
            let wanted = (FRAME_HEAD - self.head.len()).min(arrived.len());
            if wanted == 0 {
                return Ok(());
            }
            self.head.extend_from_slice(&arrived[..wanted]);
            arrived = &arrived[wanted..];
            if let [high, middle, low, kind, ..] = self.head[..]
                && self.head.len() == FRAME_HEAD
            {
                self.head.clear();
                self.rest = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                let payload = self.rest as u64;
                match kind {
                    DATA => allowance.give(payload),
                    _ => allowance.take(payload + FRAME_HEAD as u64)?,
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Weighed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.weigh(&buffer.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Weighed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.count_sent(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.count_sent(sent);
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        frame.resize(FRAME_HEAD + payload, 0);
        frame
    }

    fn weighed() -> Weighed<()> {
        Weighed::frames((), Allowance::full())
    }

    #[test]
    fn frames_without_a_body_have_an_end_however_they_are_cut() {
        let pings = frame(PING, 8).repeat(20_000);
        for piece in [1, 7, 17, 4096] {
            let mut connection = weighed();
            let taken: usize =
                pings.chunks(piece).take_while(|piece| connection.weigh(piece).is_ok()).map(<[u8]>::len).sum();
            let most = usize::try_from(BYTES_MAX).unwrap();
            assert!((most - piece - 17..most + FRAME_HEAD).contains(&taken), "pieces of {piece}: {taken}");
        }
    }

    #[test]
    fn on_http_1_every_byte_counts_until_it_was_read() {
        let mut connection = Weighed::bytes((), Allowance::full());
        for _ in 0..1000 {
            connection.weigh(&[0; 64 * 1024]).unwrap();
            connection.allowance.give_for_piece(64 * 1024);
        }
        for _ in 0..100_000 {
            connection.weigh(b"1\r\nx\r\n").unwrap();
            connection.allowance.give_for_piece(1);
        }
        assert!((0..300).any(|_| connection.weigh(&[b'0'; 1024]).is_err()));
    }

    #[test]
    fn bodies_and_requests_give_it_back() {
        let mut connection = weighed();
        for _ in 0..100 {
            connection.weigh(&frame(PING, 60_000)).unwrap();
            connection.weigh(&frame(DATA, 70_000)).unwrap();
        }
        for _ in 0..100 {
            connection.weigh(&frame(1, 60_000)).unwrap();
            connection.allowance.refill();
        }
        for _ in 0..10_000 {
            connection.weigh(&[frame(8, 4), frame(8, 4)].concat()).unwrap();
            connection.count_sent(16 * 1024);
        }
        // An answer to each `PING` gives next to nothing back.
        let answered = (0..20_000).take_while(|_| {
            connection.count_sent(17);
            connection.weigh(&frame(PING, 8)).is_ok()
        });
        assert!((15_000..16_500).contains(&answered.count()));
    }
}
