//! Threads on which components are compiled and loaded, away from those that serve requests.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};

use crate::plugins::sandbox::engine::nice;

/// A file of more bytes has a language runtime inside, and compiles among its like: it takes many seconds on every core,
/// and a small tool that is dropped in meanwhile should not wait for it.
pub(super) const LARGE_BYTES: usize = 1024 * 1024;

/// The niceness of threads that compile large files: the system prefers the server's own (`nice`).
const LARGE_NICENESS: i32 = 10;

/// Two pools: for small components, and at low priority for large ones.
pub(in crate::plugins) struct Threads {
    small: Pool,
    large: Pool,
}

/// Threads, and as many turns.
///
/// A thread that waits for parts of its own component takes whatever work there is meanwhile. If that may be a whole
/// other component, in which it waits again, a thousand new files take a thousand floors of its stack.
struct Pool {
    threads: ThreadPool,
    turns: Arc<Semaphore>,
}

impl Threads {
    pub(in crate::plugins) fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let pool = |name: &'static str, niceness: i32| {
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |index| format!("{name}-{index}"))
                .start_handler(move |_| nice(niceness))
                .build()
                .map_err(io::Error::other)?;
            Ok::<_, io::Error>(Pool { threads: pool, turns: Arc::new(Semaphore::new(threads)) })
        };
        Ok(Self { small: pool("compile", 0)?, large: pool("compile-large", LARGE_NICENESS)? })
    }

    /// Runs `work` on the pool for files of this size; work that panics gives `None`.
    pub(in crate::plugins) async fn run<T: Send + 'static>(
        &self,
        file_bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let pool = if file_bytes > LARGE_BYTES { &self.large } else { &self.small };
        let turn = Arc::clone(&pool.turns).acquire_owned().await.ok()?;
        let (done, outcome) = oneshot::channel();
        pool.threads.spawn(move || {
            let _turn = turn;
            // A panic that reaches the pool ends the process.
            if let Ok(output) = catch_unwind(AssertUnwindSafe(work)) {
                let _ = done.send(output);
            }
        });
        outcome.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    thread_local! {
        /// Jobs that this thread is in the middle of.
        static FLOORS: Cell<usize> = const { Cell::new(0) };
    }

    /// A job that waits for its parts, as compiling does. Returns how many jobs its thread was in.
    fn job() -> usize {
        let floors = FLOORS.get() + 1;
        FLOORS.set(floors);
        rayon::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|_| thread::sleep(Duration::from_micros(200)));
            }
        });
        FLOORS.set(floors - 1);
        floors
    }

    #[tokio::test]
    async fn a_thread_does_not_begin_many_components_at_once() {
        let compilers = Arc::new(Threads::start().unwrap());
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let jobs = (0..300).map(|_| compilers.run(1, job));
        let deepest = futures::future::join_all(jobs).await.into_iter().flatten().max().unwrap();
        assert!(deepest <= threads, "{deepest} jobs on {threads} threads");
    }
}
