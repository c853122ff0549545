//! An open connection: the two streams that a guest has of it, and the end of both when the grant is withdrawn.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// A connection. Its descriptor is closed with the last stream.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The grant was withdrawn. What has arrived before is not read any more.
    is_cut: AtomicBool,
    /// The guest wants to read nothing more.
    is_read_closed: AtomicBool,
}

/// Cuts a connection when its grant is withdrawn, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Cutter {
    _task: AbortOnDropHandle<()>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Arc<Self> {
        Arc::new(Self { stream, is_cut: AtomicBool::new(false), is_read_closed: AtomicBool::new(false) })
    }

    /// Cuts the connection once `withdrawn` ends, whether the guest looks at it or not: the peer sees its end.
    pub(super) fn cut_when(self: &Arc<Self>, withdrawn: impl Future<Output = ()> + Send + 'static) -> Cutter {
        let connection = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            withdrawn.await;
            if let Some(connection) = connection.upgrade() {
                connection.is_cut.store(true, Ordering::Release);
                let _ = rustix::net::shutdown(&connection.stream, Shutdown::Both);
            }
        });
        Cutter { _task: AbortOnDropHandle::new(task) }
    }

    /// The socket behind it.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// True if nothing may go through it any more.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Reads nothing more.
    pub(super) fn close_read(&self) {
        self.is_read_closed.store(true, Ordering::Release);
        let _ = rustix::net::shutdown(&self.stream, Shutdown::Read);
    }

    /// Tells the peer that nothing more is sent.
    pub(super) fn close_write(&self) {
        let _ = rustix::net::shutdown(&self.stream, Shutdown::Write);
    }

    /// Reads what is there: nothing at the end, and `None` before anything has arrived.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if self.is_cut() || self.is_read_closed.load(Ordering::Acquire) {
            return Ok(Some(0));
        }
        match self.stream.try_read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until something can be read.
    pub(super) async fn readable(&self) {
        if !self.is_cut() && !self.is_read_closed.load(Ordering::Acquire) {
            let _ = self.stream.readable().await;
        }
    }

    /// Writes as much as there is room for.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_cut() {
            return Err(Errno::PIPE.into());
        }
        match self.stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Writes everything.
    pub(super) async fn write_all(&self, mut bytes: bytes::Bytes) -> io::Result<()> {
        loop {
            let written = self.try_write(&bytes)?;
            let _ = bytes.split_to(written);
            if bytes.is_empty() {
                return Ok(());
            }
            self.stream.writable().await?;
        }
    }

    /// Waits until something can be written.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_write_ready(context).map(|_| ())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
