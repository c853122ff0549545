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

/// The time of an answer by which clocks can be compared.
const QUICK: Duration = Duration::from_millis(100);

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
    /// The store is written in a format that this server does not read. Nothing that it knows counts any more, until
    /// another version runs in its place.
    Outdated,
}

impl Hearing {
    /// In a word, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alone => "its own",
            Self::Clear => "shared",
            Self::Deaf => "shared, and others are not heard",
            Self::Away(_) => "away",
            Self::Outdated => "written by a later version",
        }
    }
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
    /// The beat from which on nothing was missed.
    unbroken: Instant,
    /// True if the last question to the store was answered.
    is_reached: bool,
    /// True until the next beat after something may have been missed.
    has_gap: bool,
    /// The store's clock less this machine's, in milliseconds.
    offset_ms: i64,
    /// True once an answer was quick enough to compare the clocks by it.
    has_compared: bool,
}

impl Default for Heard {
    fn default() -> Self {
        let now = Instant::now();
        let state = State {
            beat: None,
            last: now,
            unbroken: now,
            is_reached: true,
            has_gap: false,
            offset_ms: 0,
            has_compared: false,
        };
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

    /// The moment of the last beat that was heard.
    pub(super) fn last(&self) -> Instant {
        self.state().last
    }

    /// Time for which everything was heard, up to now; none if something may be missed now.
    pub(super) fn unbroken_for(&self) -> Duration {
        match self.now() {
            Hearing::Clear => self.state().unbroken.elapsed(),
            Hearing::Alone | Hearing::Deaf | Hearing::Away(_) | Hearing::Outdated => Duration::ZERO,
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
        if is_gap {
            state.unbroken = state.last;
        }
        drop(state);
        if is_gap {
            self.gaps.send_modify(|gaps| *gaps += 1);
        }
    }

    /// Something was told that this version does not understand.
    pub(super) fn missed(&self) {
        self.gaps.send_modify(|gaps| *gaps += 1);
    }

    /// The subscription has ended.
    pub(super) fn interrupted(&self) {
        let mut state = self.state();
        (state.beat, state.has_gap) = (None, true);
    }

    /// The store does not answer.
    pub(super) fn unanswered(&self) {
        self.state().is_reached = false;
    }

    /// The store has answered, within this time, with its clock in milliseconds since 1970. A slow answer says little of
    /// the clock: it was read at some time between.
    pub(super) fn answered(&self, time_ms: i64, within: Duration) {
        let mut state = self.state();
        state.is_reached = true;
        let is_quick = within <= QUICK;
        if is_quick || !state.has_compared {
            let half = i64::try_from(within.as_millis() / 2).unwrap_or_default();
            state.offset_ms = time_ms.saturating_sub(own_ms().saturating_sub(half));
            state.has_compared = is_quick;
        }
    }

    /// The time by the store's clock, which all servers share, in milliseconds since 1970.
    pub(super) fn time_ms(&self) -> i64 {
        own_ms().saturating_add(self.state().offset_ms)
    }

    /// The store's clock less this machine's, in milliseconds; none until they were compared well.
    pub(super) fn offset_ms(&self) -> Option<i64> {
        let state = self.state();
        state.has_compared.then_some(state.offset_ms)
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
        heard.unanswered();
        assert!(matches!(heard.now(), Hearing::Away(_)));
        heard.beat();
        assert_eq!((heard.now(), *gaps.borrow()), (Hearing::Clear, 2));
        let unbroken = heard.unbroken_for();
        heard.beat();
        assert!(heard.unbroken_for() > unbroken);
        heard.interrupted();
        assert_eq!(heard.unbroken_for(), Duration::ZERO);
    }

    #[test]
    fn what_is_not_understood_is_a_gap_without_a_silence() {
        let heard = Heard::default();
        heard.beat();
        let (gaps, before) = (heard.gaps(), heard.unbroken_for());
        heard.missed();
        assert!(heard.now() == Hearing::Clear && *gaps.borrow() == 2 && heard.unbroken_for() >= before);
    }

    #[test]
    fn the_time_is_the_stores() {
        let heard = Heard::default();
        heard.answered(own_ms() + 60_000, Duration::from_secs(1));
        assert!((heard.time_ms() - own_ms() - 60_000).abs() < 1000);
        assert_eq!(heard.offset_ms(), None);
        heard.answered(own_ms() + 60_000, Duration::ZERO);
        assert!((heard.offset_ms().unwrap() - 60_000).abs() < 1000);
        // An answer that was long on its way.
        heard.answered(own_ms() + 50_000, Duration::from_secs(1));
        assert!((heard.offset_ms().unwrap() - 60_000).abs() < 1000);
    }
}
