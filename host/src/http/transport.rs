//! The bytes of one connection, with a clock on them: since when its head is on its way, and its answer not taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What the clock shows. Times are milliseconds from its start, plus one: zero is *not now*.
pub(super) struct Clock {
    start: Instant,
    /// The first byte since this was last cleared.
    heard: AtomicU64,
    /// Since when the client takes nothing of what is to be written.
    stuck: AtomicU64,
    is_http1: AtomicBool,
}

impl Clock {
    pub(super) fn start() -> Arc<Self> {
        let [heard, stuck] = [0, 0].map(AtomicU64::new);
        Arc::new(Self { start: Instant::now(), heard, stuck, is_http1: AtomicBool::new(false) })
    }

    /// When the client began to send what has not become a request yet.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.time_of(&self.heard)
    }

    /// What was sent belonged to a request that is over.
    pub(super) fn understood(&self) {
        self.heard.store(0, Ordering::Relaxed);
    }

    /// There was a request of HTTP/1.
    pub(super) fn is_of_http1(&self) {
        self.is_http1.store(true, Ordering::Relaxed);
    }

    /// Whether there was a request, and it was of HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    /// Since when the client has not taken a byte of what is to be written.
    pub(super) fn stuck(&self) -> Option<Instant> {
        self.time_of(&self.stuck)
    }

    fn time_of(&self, mark: &AtomicU64) -> Option<Instant> {
        let ms = mark.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.start + Duration::from_millis(ms))
    }

    /// Sets a mark that is not set.
    fn mark(&self, mark: &AtomicU64) {
        if mark.load(Ordering::Relaxed) == 0 {
            let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            mark.store(ms + 1, Ordering::Relaxed);
        }
    }
}

/// A connection, watched.
pub(super) struct Watched {
    stream: TcpStream,
    clock: Arc<Clock>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, clock: Arc<Clock>) -> Self {
        Self { stream, clock }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.clock.mark(&self.clock.stuck),
            Poll::Ready(_) => self.clock.stuck.store(0, Ordering::Relaxed),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            self.clock.mark(&self.clock.heard);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
