//! Streams from and to files. Each has one read or write under way at most, which goes on while the guest does not wait.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use tokio::task::JoinHandle;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::preopen::Preopen;
use crate::folders::OpenFile;

/// Bytes that one read or write moves at most.
const CHUNK_BYTES: usize = 64 * 1024;

/// A stream from a file.
pub(super) struct Reader {
    preopen: Arc<Preopen>,
    file: Arc<OpenFile>,
    offset: u64,
    state: State<Bytes>,
}

/// A stream to a file.
pub(super) struct Writer {
    preopen: Arc<Preopen>,
    file: Arc<OpenFile>,
    /// None for the end of the file.
    offset: Option<u64>,
    state: State<()>,
}

enum State<T> {
    Idle,
    Busy(JoinHandle<io::Result<T>>),
    Done(T),
    Failed(io::Error),
    Closed,
}

impl<T: Send + 'static> State<T> {
    /// Waits for what is under way.
    async fn settle(&mut self) {
        if let Self::Busy(task) = self {
            *self = match task.await {
                Ok(Ok(value)) => Self::Done(value),
                Ok(Err(error)) => Self::Failed(error),
                Err(error) => Self::Failed(io::Error::other(error)),
            };
        }
    }

    /// Looks if what is under way is done.
    fn look(&mut self) {
        let _ = self.settle().now_or_never();
    }

    /// Hands the failure over, once.
    fn failed(&mut self) -> StreamError {
        match std::mem::replace(self, Self::Closed) {
            Self::Failed(error) => StreamError::LastOperationFailed(error.into()),
            _ => StreamError::Closed,
        }
    }
}

impl Reader {
    pub(super) fn new(preopen: Arc<Preopen>, file: Arc<OpenFile>, offset: u64) -> Self {
        Self { preopen, file, offset, state: State::Idle }
    }

    fn begin(&mut self, bytes: usize) {
        let (preopen, file, offset) = (Arc::clone(&self.preopen), Arc::clone(&self.file), self.offset);
        let bytes = bytes.min(CHUNK_BYTES);
        self.state = State::Busy(tokio::spawn(async move {
            preopen.run(false, move || file.read_at(bytes, offset).map(Bytes::from)).await
        }));
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if matches!(self.state, State::Idle) {
            self.begin(CHUNK_BYTES);
        }
        self.state.settle().await;
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.state.look();
        match &mut self.state {
            State::Idle if size > 0 => {
                self.begin(size);
                Ok(Bytes::new())
            }
            State::Idle | State::Busy(_) => Ok(Bytes::new()),
            State::Done(bytes) if bytes.is_empty() => {
                self.state = State::Closed;
                Err(StreamError::Closed)
            }
            State::Done(bytes) => {
                let chunk = bytes.split_to(size.min(bytes.len()));
                self.offset += chunk.len() as u64;
                if bytes.is_empty() {
                    self.state = State::Idle;
                }
                Ok(chunk)
            }
            State::Failed(_) | State::Closed => Err(self.state.failed()),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if matches!(self.state, State::Idle) && size > 0 {
            self.begin(size);
        }
        self.state.settle().await;
        self.read(size)
    }
}

impl Writer {
    pub(super) fn new(preopen: Arc<Preopen>, file: Arc<OpenFile>, offset: Option<u64>) -> Self {
        Self { preopen, file, offset, state: State::Idle }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        self.state.settle().await;
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.check_write()? {
            0 => return Err(StreamError::trap("a write while another is under way")),
            _ if bytes.is_empty() => return Ok(()),
            _ => {}
        }
        let offset = self.offset;
        if let Some(offset) = &mut self.offset {
            *offset = offset.saturating_add(bytes.len() as u64);
        }
        let (preopen, file) = (Arc::clone(&self.preopen), Arc::clone(&self.file));
        // It begins at once: a guest may drop the stream next.
        self.state = State::Busy(tokio::spawn(async move {
            let write = move || match offset {
                Some(offset) => file.write_at(&bytes, offset),
                None => file.append(&bytes),
            };
            preopen.run(true, write).await
        }));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.state.look();
        match self.state {
            State::Idle | State::Done(()) => Ok(CHUNK_BYTES),
            State::Busy(_) => Ok(0),
            State::Failed(_) | State::Closed => Err(self.state.failed()),
        }
    }

    async fn cancel(&mut self) {
        // What was written is in the file when the guest goes on.
        self.state.settle().await;
    }
}
