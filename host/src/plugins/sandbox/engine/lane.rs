//! The slow lane: threads of their own, at low priority, for guests that need more than a moment.
//!
//! A call begins on the thread that serves its request, since most guests are done within microseconds.
//! One that still computes at its second tick moves here, between two of its instructions, and hands its turn on
//! at every further tick ([`super::turns`]). So sixteen spinning guests share these threads, and the server's own stay
//! free. Work of the host for guests, such as checking what they hand over, takes turns with them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::pace::{self, Wanted};
use super::turns::{Share, Turns};

/// The niceness of these threads: the system prefers the server's own. A request that arrives is served at once
/// even while every core computes.
const NICENESS: i32 = 10;

/// The threads of the lane.
pub(in crate::plugins) struct Lane {
    runtime: Option<Runtime>,
    /// As many as processors.
    turns: Arc<Turns>,
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
        Ok(Self { runtime: Some(runtime), turns: Arc::new(Turns::new(threads)) })
    }

    /// Runs `call` on the caller's thread, and from the moment that it sets `slow` on this lane's, in turns with others.
    /// A call that is known to take long is on this lane from its beginning if `slow` is set already.
    ///
    /// When the returned future is dropped, so is the call: at once, or at its next tick if it is computing.
    ///
    /// # Errors
    /// The panic's message, when the call panicked on this lane.
    pub(in crate::plugins) async fn run<T: Send + 'static>(
        &self,
        share: Share,
        slow: SlowFlag,
        call: Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Result<T, tokio::task::JoinError> {
        let mut call = call;
        let quick = poll_fn(|context| {
            if slow.is_set() {
                return Poll::Ready(None);
            }
            match call.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if slow.is_set() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        match quick.await {
            Some(output) => Ok(output),
            None => {
                let turns = Arc::clone(&self.turns);
                AbortOnDropHandle::new(self.handle().spawn(in_turns(turns, share, call))).await
            }
        }
    }

    /// Computes something that may take long, on a thread of low priority, in turns with others. Work that asks
    /// [`pace::is_wanted`] lets others in while it goes on, and ends when the returned future is dropped.
    ///
    /// # Errors
    /// The panic's message.
    pub(in crate::plugins) async fn compute<T: Send + 'static>(
        &self,
        share: &Share,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let turn = self.turns.take(share).await;
        let wanted = Wanted::new();
        let unwanted = wanted.flag();
        let work = self.handle().spawn_blocking(move || pace::with(turn, unwanted, work));
        work.await.map_err(|error| error.to_string())
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

/// Polls a call only while it has a turn.
async fn in_turns<T>(turns: Arc<Turns>, share: Share, mut call: Pin<Box<dyn Future<Output = T> + Send>>) -> T {
    loop {
        let turn = turns.take(&share).await;
        let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        drop(turn);
        if let Poll::Ready(output) = polled {
            return output;
        }
        // The call has asked to be woken.
        let mut is_woken = false;
        poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
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
