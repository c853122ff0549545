//! Threads on which components are compiled and loaded, away from those that serve requests.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

use super::engine::nice;

/// A file of more bytes compiles among its like: a language runtime takes many seconds on every core, and a small tool
/// that is dropped in meanwhile should not wait for it.
const LARGE_BYTES: usize = 1024 * 1024;

/// How much the system prefers the server's threads to those that compile large files (`nice`).
const LARGE_NICENESS: i32 = 10;

/// Two pools: for small components, and at low priority for large ones.
pub(super) struct Compilers {
    small: ThreadPool,
    large: ThreadPool,
}

impl Compilers {
    pub(super) fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let pool = |name: &'static str, niceness: i32| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |index| format!("{name}-{index}"))
                .start_handler(move |_| nice(niceness))
                .build()
                .map_err(io::Error::other)
        };
        Ok(Self { small: pool("compile", 0)?, large: pool("compile-large", LARGE_NICENESS)? })
    }

    /// Runs `work` on the pool for files of this size; work that panics gives `None`.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        file_bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let pool = if file_bytes > LARGE_BYTES { &self.large } else { &self.small };
        let (done, outcome) = oneshot::channel();
        pool.spawn(move || {
            // A panic that reaches the pool ends the process.
            if let Ok(output) = catch_unwind(AssertUnwindSafe(work)) {
                let _ = done.send(output);
            }
        });
        outcome.await.ok()
    }
}
