//! The pace of work that cannot wait by itself: it asks from time to time whether to go on.
//!
//! Checking a value is a recursion within a library, on a thread of the slow lane. At each of its steps it calls
//! [`is_wanted`], which hands its turn on when a slice of time is over, and says so when nobody wants the outcome any
//! more.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::turns::Turn;

/// Time for which work goes on before it lets others in.
const SLICE: Duration = Duration::from_millis(5);

thread_local! {
    static PACE: RefCell<Option<Pace>> = const { RefCell::new(None) };
}

/// The pace of the work of one thread.
struct Pace {
    turn: Option<Turn>,
    since: Instant,
    unwanted: Arc<AtomicBool>,
}

/// Tells work that nobody waits for it any more, when this is dropped.
pub(super) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends the pace of a thread, even if its work panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        PACE.take();
    }
}

/// Does work that asks [`is_wanted`], on this thread.
pub(super) fn with<T>(turn: Turn, unwanted: Arc<AtomicBool>, work: impl FnOnce() -> T) -> T {
    PACE.set(Some(Pace { turn: Some(turn), since: Instant::now(), unwanted }));
    let _end = End;
    work()
}

/// Lets others have the processor if this work has had it for a while, and tells whether to go on afterwards. Work on
/// any other thread goes on.
pub(in crate::plugins) fn is_wanted() -> bool {
    PACE.with_borrow_mut(|pace| {
        let Some(pace) = pace else { return true };
        if pace.unwanted.load(Ordering::Relaxed) {
            return false;
        }
        if pace.since.elapsed() >= SLICE {
            pace.turn = pace.turn.take().map(Turn::pass_on);
            pace.since = Instant::now();
        }
        !pace.unwanted.load(Ordering::Relaxed)
    })
}
