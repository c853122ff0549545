//! The slow lane: threads of their own, at low priority, for guests that need more than a moment.
//!
//! A call begins on the thread that serves its request, since most guests are done within microseconds.
//! One that still computes at its second tick moves here, between two of its instructions, and yields to its
//! like at every further tick. So sixteen spinning guests share these threads, and the server's own stay free.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// The niceness of these threads: the system prefers the server's own. A request that arrives is served at once
/// even while every core computes.
const NICENESS: i32 = 10;

/// The threads of the lane.
pub(in crate::plugins) struct Lane {
    runtime: Option<Runtime>,
    /// One for each thread that may run computations without interruption.
    turns: Arc<Semaphore>,
}

/// A flag that a guest's epoch callback sets: the guest has computed for longer than a moment.
#[derive(Clone, Default)]
pub(in crate::plugins) struct SlowFlag(Arc<AtomicBool>);

impl SlowFlag {
    pub(in crate::plugins) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Lane {
    pub(super) fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("guest")
            .on_thread_start(lower_priority)
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), turns: Arc::new(Semaphore::new(threads)) })
    }

    /// Runs `call` on the caller's thread, and from the moment that it sets `slow` on this lane's.
    ///
    /// When the returned future is dropped, so is the call: at once, or at its next tick if it is computing.
    ///
    /// # Errors
    /// The panic's message, when the call panicked on this lane.
    pub(in crate::plugins) async fn run<T: Send + 'static>(
        &self,
        slow: SlowFlag,
        call: Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Result<T, tokio::task::JoinError> {
        let mut call = call;
        let quick = poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if slow.is_set() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match quick.await {
            Some(output) => Ok(output),
            None => AbortOnDropHandle::new(self.handle().spawn(call)).await,
        }
    }

    /// Computes something that takes a while and cannot be interrupted, on a thread of low priority.
    ///
    /// # Errors
    /// The panic's message.
    pub(in crate::plugins) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        // Its caller may be gone; its thread is busy all the same.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| error.to_string())?;
        let work = move || {
            let worked = work();
            drop(turn);
            worked
        };
        self.handle().spawn_blocking(work).await.map_err(|error| error.to_string())
    }

    /// Waits for work in code that is not asynchronous, on a thread of a runtime or not.
    ///
    /// # Errors
    /// The work panicked.
    pub(in crate::plugins) fn block_on<T: Send>(&self, work: impl Future<Output = T> + Send) -> Result<T, String> {
        let waiting = || self.handle().block_on(work);
        thread::scope(|scope| scope.spawn(waiting).join()).map_err(|_| "the host failed".to_owned())
    }

    fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("taken by drop only").handle()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // A runtime must not be waited for on an async thread, and what still runs here is abandoned anyway.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Best effort: where the system refuses, the lane still keeps spinning guests off the server's threads.
fn lower_priority() {
    nice(NICENESS);
}

/// Sets the priority of the current thread, where the system has one for each thread.
pub(in crate::plugins) fn nice(niceness: i32) {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, niceness);
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}
