//! The stream of one connection, and a record of its activity: when the head of a request began, and when the client
//! stopped taking its answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Times of one connection, as milliseconds from its start, plus one: zero is *not now*.
pub(super) struct Activity {
    start: Instant,
    /// The first byte since this was last cleared.
    receiving: AtomicU64,
    /// The first write that the client did not take, since it last took one.
    stalled: AtomicU64,
    is_http1: AtomicBool,
    is_http2: AtomicBool,
    /// Reads and writes that moved something.
    moved: AtomicU64,
}

/// The beginning of a connection of HTTP/2 (RFC 9113 §3.4), and of none of HTTP/1.
const PREFACE: &[u8] = b"PRI ";

impl Activity {
    pub(super) fn start() -> Arc<Self> {
        let [receiving, stalled, moved] = [0; 3].map(AtomicU64::new);
        let [is_http1, is_http2] = [false; 2].map(AtomicBool::new);
        Arc::new(Self { start: Instant::now(), receiving, stalled, is_http1, is_http2, moved })
    }

    /// The first byte of a head that is not complete yet.
    pub(super) fn receiving_since(&self) -> Option<Instant> {
        self.time_of(&self.receiving)
    }

    /// Notes that a request is over: the bytes so far were its own.
    pub(super) fn request_ended(&self) {
        self.receiving.store(0, Ordering::Relaxed);
    }

    /// Notes a request of HTTP/1.
    pub(super) fn note_http1(&self) {
        self.is_http1.store(true, Ordering::Relaxed);
    }

    /// True after a request of HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    /// True once HTTP/2 has begun.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// A number that changes with every byte that the client sends or takes.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Notes bytes that have come, or that the client has taken. Only the connection's own task does.
    fn note_moved(&self) {
        self.moved.store(self.moved() + 1, Ordering::Relaxed);
    }

    /// The time since which the client has taken no byte of its answer.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.time_of(&self.stalled)
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

/// A connection that records its activity.
pub(super) struct WatchedStream {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl WatchedStream {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.activity.mark(&self.activity.stalled),
            Poll::Ready(_) => {
                self.activity.stalled.store(0, Ordering::Relaxed);
                self.activity.note_moved();
            }
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            if self.activity.moved() == 0 && into.filled()[before..].starts_with(PREFACE) {
                self.activity.is_http2.store(true, Ordering::Relaxed);
            }
            self.activity.note_moved();
            self.activity.mark(&self.activity.receiving);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
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
