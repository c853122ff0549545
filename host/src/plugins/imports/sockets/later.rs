//! A result of work that goes on by itself: wait for it, and then take it, as two steps (`wasi:io/poll`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio_util::task::AbortOnDropHandle;

/// The result of a task, which ends with this.
pub(super) enum Later<T> {
    Pending(AbortOnDropHandle<io::Result<T>>),
    Done(io::Result<T>),
}

impl<T: Send + 'static> Later<T> {
    /// Begins.
    pub(super) fn begin(work: impl Future<Output = io::Result<T>> + Send + 'static) -> Self {
        Self::Pending(AbortOnDropHandle::new(tokio::spawn(work)))
    }

    /// Waits for the result, which stays here.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Pending(task) = self {
            let ended = std::task::ready!(Pin::new(task).poll(context));
            *self = Self::Done(ended.unwrap_or_else(|stopped| Err(io::Error::other(stopped))));
        }
        Poll::Ready(())
    }

    /// The result as it is now, if there is one.
    pub(super) fn now(&mut self) -> Option<&mut io::Result<T>> {
        let _ = self.poll(&mut Context::from_waker(Waker::noop()));
        match self {
            Self::Done(result) => Some(result),
            Self::Pending(_) => None,
        }
    }

    /// The result, once it is there.
    pub(super) async fn result(self) -> io::Result<T> {
        match self {
            Self::Pending(task) => task.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped))),
            Self::Done(result) => result,
        }
    }
}
