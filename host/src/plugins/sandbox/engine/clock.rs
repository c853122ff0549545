//! The engine's clock: a thread that advances the epoch, so that no guest runs for long without yielding.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Time between two ticks. A guest that spins holds its thread for two of them before it is moved away
/// (see [`super::Lane`]), which is the delay that it can cause others.
pub(in crate::plugins) const TICK: Duration = Duration::from_millis(2);

/// Ticks that the clock goes on for after the last call, so that calls one after another need not wake it each time.
const IDLE_TICKS: u32 = 250;

/// A thread that ticks while calls run, and sleeps otherwise: an idle server wakes nobody.
pub(in crate::plugins) struct Clock {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    calls: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
    bell: Mutex<()>,
    rung: Condvar,
}

/// Keeps the clock ticking until it is dropped.
pub(in crate::plugins) struct TickGuard {
    shared: Arc<Shared>,
}

impl Clock {
    pub(super) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || ticking.run(&engine))
            .map_err(|error| io::Error::new(error.kind(), format!("no thread for the engine's clock: {error}")))?;
        Ok(Self { shared })
    }

    pub(super) fn tick(&self) -> TickGuard {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        // The order matters: the thread says that it sleeps, then looks at `calls` once more.
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.shared.ring();
        }
        TickGuard { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.ring();
    }
}

impl Drop for TickGuard {
    fn drop(&mut self) {
        self.shared.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut idle_ticks = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            thread::sleep(TICK);
            engine.increment_epoch();
            idle_ticks = if self.is_busy() { 0 } else { idle_ticks + 1 };
            if idle_ticks > IDLE_TICKS {
                self.sleep();
                idle_ticks = 0;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > 0
    }

    fn sleep(&self) {
        let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(true, Ordering::SeqCst);
        while !self.is_busy() && !self.stopped.load(Ordering::SeqCst) {
            bell = self.rung.wait(bell).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn ring(&self) {
        // Taking the lock means that the thread is either before its check of `calls` or already waiting.
        drop(self.bell.lock().unwrap_or_else(PoisonError::into_inner));
        self.rung.notify_one();
    }
}
