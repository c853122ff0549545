//! The streams of a connection, as `wasi:io/streams` has them.
//!
//! Backpressure: a guest may write one piece, and the next when the system has taken it. What the system does not take
//! at once is written by a task, whether the guest waits for it or not.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use rustix::io::Errno;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::connection::Connection;
use super::later::Later;

/// The largest piece that is read or written at once.
const MAX_PIECE_BYTES: usize = 64 * 1024;

/// The stream that a guest reads.
pub(super) struct Reader {
    connection: Arc<Connection>,
    has_ended: bool,
}

impl Reader {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, has_ended: false }
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.has_ended {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::zeroed(size.min(MAX_PIECE_BYTES));
        let count = match self.connection.try_read(&mut buffer) {
            Ok(Some(0)) => {
                self.has_ended = true;
                return Err(StreamError::Closed);
            }
            Ok(count) => count.unwrap_or(0),
            Err(error) => {
                self.has_ended = true;
                return Err(StreamError::LastOperationFailed(error.into()));
            }
        };
        buffer.truncate(count);
        Ok(buffer.freeze())
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if !self.has_ended {
            self.connection.readable().await;
        }
    }
}

/// The stream that a guest writes. Clones are the same stream: the guest has one, and its socket the other.
#[derive(Clone)]
pub(super) struct Writer {
    connection: Arc<Connection>,
    state: Arc<Mutex<Writing>>,
}

enum Writing {
    /// Nothing is under way.
    Idle,
    /// A piece is being written.
    Piece(Later<()>),
    /// The last piece is being written, and then the end.
    Last(Later<()>),
    /// Nothing more is written. The guest is told once of an error.
    Ended(Option<io::Error>),
}

impl Writer {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, state: Arc::new(Mutex::new(Writing::Idle)) }
    }

    /// Ends the stream, after what the guest has written already.
    pub(super) fn close(&self) {
        let mut state = self.state();
        *state = match std::mem::replace(&mut *state, Writing::Ended(None)) {
            Writing::Idle => {
                self.connection.close_write();
                Writing::Ended(None)
            }
            Writing::Piece(piece) => {
                let connection = Arc::clone(&self.connection);
                Writing::Last(Later::begin(async move {
                    piece.result().await?;
                    connection.close_write();
                    Ok(())
                }))
            }
            ending @ (Writing::Last(_) | Writing::Ended(_)) => ending,
        };
    }

    fn state(&self) -> MutexGuard<'_, Writing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a further piece may be written, or never.
    fn poll_settled(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if let Writing::Piece(piece) | Writing::Last(piece) = &mut *state {
            std::task::ready!(piece.poll(context));
        }
        *state = match std::mem::replace(&mut *state, Writing::Ended(None)) {
            Writing::Piece(Later::Done(Ok(()))) => Writing::Idle,
            Writing::Last(Later::Done(Ok(()))) => Writing::Ended(None),
            Writing::Piece(Later::Done(Err(error))) | Writing::Last(Later::Done(Err(error))) => {
                Writing::Ended(Some(error))
            }
            other => other,
        };
        match &*state {
            Writing::Idle => self.connection.poll_writable(context),
            Writing::Ended(_) => Poll::Ready(()),
            Writing::Piece(_) | Writing::Last(_) => Poll::Pending,
        }
    }

    /// The bytes that may be written now.
    fn room(&self) -> StreamResult<usize> {
        let polled = self.poll_settled(&mut Context::from_waker(Waker::noop()));
        match (&mut *self.state(), polled) {
            (Writing::Ended(error), _) => Err(told(error.take())),
            (Writing::Idle, _) if self.connection.is_cut() => Err(StreamError::Closed),
            (Writing::Idle, Poll::Ready(())) => Ok(MAX_PIECE_BYTES),
            _ => Ok(0),
        }
    }
}

fn told(error: Option<io::Error>) -> StreamError {
    match error {
        Some(error) if Errno::from_io_error(&error) != Some(Errno::PIPE) => {
            StreamError::LastOperationFailed(error.into())
        }
        _ => StreamError::Closed,
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn check_write(&mut self) -> StreamResult<usize> {
        self.room()
    }

    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        let mut state = self.state();
        match &mut *state {
            Writing::Idle if bytes.len() <= MAX_PIECE_BYTES => {}
            Writing::Ended(error) => return Err(told(error.take())),
            _ => return Err(StreamError::trap("the guest has written more than it may")),
        }
        match self.connection.try_write(&bytes) {
            Ok(written) => drop(bytes.split_to(written)),
            Err(error) => {
                *state = Writing::Ended(None);
                return Err(told(Some(error)));
            }
        }
        if !bytes.is_empty() {
            let connection = Arc::clone(&self.connection);
            *state = Writing::Piece(Later::begin(async move { connection.write_all(bytes).await }));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // Whatever was written is on its way already.
        match &mut *self.state() {
            Writing::Ended(error) => Err(told(error.take())),
            Writing::Idle | Writing::Piece(_) | Writing::Last(_) => Ok(()),
        }
    }

    /// Waits for what was written: to the guest it is done.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        poll_fn(|context| self.poll_settled(context)).await;
    }
}
