//! Whether this server hears what others tell.
//!
//! It tells itself a beat through the store and hears it again. While that goes well, everything that was told before
//! the last beat was heard: a channel keeps its order, and loses nothing but its connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock;

/// Time without a beat after which this server counts as one that may miss something.
pub const SILENCE_MAX: Duration = Duration::from_millis(750);

/// What is known of the store and of what others tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// There are no others.
    Alone,
    /// Everything is heard.
    Clear,
    /// The store answers, and what others tell is not heard: what is known may be of before.
    Deaf,
    /// The store cannot be reached. It was last heard at this time.
    Away(Instant),
}

/// The state behind it.
pub(super) struct Heard {
    state: Mutex<State>,
    gaps: watch::Sender<u64>,
}

struct State {
    /// The last beat that was heard, over the present subscription.
    beat: Option<Instant>,
    /// The last one that was heard at all.
    last: Instant,
    /// True if the last question to the store was answered.
    is_reached: bool,
    /// True until the next beat after something may have been missed.
    has_gap: bool,
    /// The store's clock less this machine's, in milliseconds.
    offset_ms: i64,
}

impl Default for Heard {
    fn default() -> Self {
        let state = State { beat: None, last: Instant::now(), is_reached: true, has_gap: false, offset_ms: 0 };
        Self { state: Mutex::new(state), gaps: watch::Sender::default() }
    }
}

impl Heard {
    pub(super) fn now(&self) -> Hearing {
        let state = self.state();
        match state.beat {
            Some(beat) if beat.elapsed() <= SILENCE_MAX => Hearing::Clear,
            _ if state.is_reached => Hearing::Deaf,
            _ => Hearing::Away(state.last),
        }
    }

    pub(super) fn gaps(&self) -> watch::Receiver<u64> {
        self.gaps.subscribe()
    }

    /// A beat of this server's own was heard. After a silence, something may have been missed before it.
    pub(super) fn beat(&self) {
        let mut state = self.state();
        let was_silent = state.beat.is_none_or(|beat| beat.elapsed() > SILENCE_MAX);
        (state.beat, state.last) = (Some(Instant::now()), Instant::now());
        let is_gap = std::mem::take(&mut state.has_gap) || was_silent;
        drop(state);
        if is_gap {
            self.gaps.send_modify(|gaps| *gaps += 1);
        }
    }

    /// The subscription has ended.
    pub(super) fn interrupted(&self) {
        let mut state = self.state();
        (state.beat, state.has_gap) = (None, true);
    }

    /// The store has answered, or not; with its clock, in milliseconds since 1970.
    pub(super) fn answered(&self, time_ms: Option<i64>) {
        let mut state = self.state();
        state.is_reached = time_ms.is_some();
        if let Some(time_ms) = time_ms {
            state.offset_ms = time_ms.saturating_sub(own_ms());
        }
    }

    /// The time by the store's clock, which all servers share, in milliseconds since 1970.
    pub(super) fn time_ms(&self) -> i64 {
        own_ms().saturating_add(self.state().offset_ms)
    }

    /// The store's clock less this machine's, in milliseconds.
    pub(super) fn offset_ms(&self) -> i64 {
        self.state().offset_ms
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn own_ms() -> i64 {
    i64::try_from(clock::now_ms()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_noticed_and_its_end_is_a_gap() {
        let heard = Heard::default();
        let gaps = heard.gaps();
        assert_eq!(heard.now(), Hearing::Deaf);
        heard.beat();
        assert_eq!((heard.now(), *gaps.borrow()), (Hearing::Clear, 1));
        heard.beat();
        assert_eq!(*gaps.borrow(), 1);
        heard.interrupted();
        assert_eq!(heard.now(), Hearing::Deaf);
        heard.answered(None);
        assert!(matches!(heard.now(), Hearing::Away(_)));
        heard.beat();
        assert_eq!((heard.now(), *gaps.borrow()), (Hearing::Clear, 2));
    }

    #[test]
    fn the_time_is_the_stores() {
        let heard = Heard::default();
        heard.answered(Some(own_ms() + 60_000));
        assert!((heard.time_ms() - own_ms() - 60_000).abs() < 1000);
        assert!((heard.offset_ms() - 60_000).abs() < 1000);
    }
}
