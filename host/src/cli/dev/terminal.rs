//! The terminal of `tinymcp dev`: keys that are read one by one, and questions that are answered by a line.
//!
//! Invariant: whoever changes the terminal's modes holds the lock, and only a process in the foreground does, which others
//! are stopped for. Ctrl-C and Ctrl-Z stay what they are.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// The time that a read waits for a key, in tenths of a second: a question waits as long for the terminal.
const READ_DECISECONDS: u8 = 2;

/// The byte that begins a key without a letter.
const ESCAPE: u8 = 0x1b;

/// Interval between looks whether the process is in the foreground again, or a question is answered.
const PAUSE: Duration = Duration::from_millis(200);

/// Tries to give the terminal back at the end.
const TRIES: usize = 5;

/// The terminal that this process was started at.
pub(super) struct Terminal {
    state: Mutex<State>,
    /// Those who want the lock. Whoever reads keys has it nearly all the time, and lets them go first.
    waiting: AtomicUsize,
}

struct State {
    /// The modes that the terminal had before.
    before: Termios,
    has_keys: bool,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressed {
    Key(u8),
    /// Nothing in this while.
    Nothing,
    /// There is no terminal any more.
    Gone,
}

/// Gives the terminal back as it was.
pub(super) struct Keys(Arc<Terminal>);

impl Drop for Keys {
    fn drop(&mut self) {
        let terminal = &self.0;
        terminal.waiting.fetch_add(1, Ordering::AcqRel);
        // Where a question waits for its answer, the terminal has its modes already, and nobody is waited for.
        for _ in 0..TRIES {
            let state = match terminal.state.try_lock() {
                Ok(state) => Some(state),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut state) = state {
                state.has_keys = false;
                return set(&state.before);
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Terminal {
    /// That of standard input, if it is one.
    pub(super) fn find() -> Option<Arc<Self>> {
        let stdin = io::stdin();
        let before = stdin.is_terminal().then(|| termios::tcgetattr(&stdin).ok()).flatten()?;
        Some(Arc::new(Self { state: Mutex::new(State { before, has_keys: false }), waiting: AtomicUsize::new(0) }))
    }

    /// From now on each key is read as it is pressed, and not shown, until what this returns is dropped.
    pub(super) fn take_keys(self: &Arc<Self>) -> Keys {
        self.claimed(|state| state.has_keys = true);
        self.set_again();
        Keys(Arc::clone(self))
    }

    /// Sets the modes once more, after the process was stopped: shells set their own meanwhile.
    pub(super) fn set_again(&self) {
        self.claimed(|state| {
            if state.has_keys {
                set(&for_keys(&state.before));
            }
        });
    }

    /// Waits for a key, for a while.
    pub(super) fn pressed(&self) -> Pressed {
        if self.waiting.load(Ordering::Acquire) > 0 {
            thread::sleep(PAUSE);
            return Pressed::Nothing;
        }
        let state = self.state();
        let stdin = io::stdin();
        if !state.has_keys || !stdin.is_terminal() {
            return Pressed::Gone;
        }
        if !is_in_foreground() {
            drop(state);
            thread::sleep(PAUSE);
            return Pressed::Nothing;
        }
        let mut bytes = [0_u8; 16];
        match rustix::io::read(&stdin, &mut bytes) {
            // Keys without a letter come as several bytes, with letters among them.
            Ok(1..) if bytes[0] == ESCAPE => Pressed::Nothing,
            Ok(1..) => Pressed::Key(bytes[0]),
            Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Pressed::Nothing,
            Err(_) => Pressed::Gone,
        }
    }

    /// Asks something that is answered by a line, which is shown as it is typed.
    pub(super) fn ask<T>(&self, question: impl FnOnce() -> T) -> T {
        self.claimed(|state| {
            if state.has_keys {
                set(&state.before);
            }
            let answer = question();
            if state.has_keys {
                set(&for_keys(&state.before));
            }
            answer
        })
    }

    /// Does something with the lock, before whoever reads keys has it again.
    fn claimed<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let done = work(&mut self.state());
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The modes for single keys. Signals, and what is written, stay as they are.
fn for_keys(before: &Termios) -> Termios {
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 0;
    modes.special_codes[SpecialCodeIndex::VTIME] = READ_DECISECONDS;
    modes
}

fn set(modes: &Termios) {
    // A process in the background would be stopped. A terminal that is gone has no modes.
    if is_in_foreground() {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
}

/// True if the terminal is this process's to read. One that controls no session is anybody's who has it.
fn is_in_foreground() -> bool {
    termios::tcgetpgrp(io::stdin()).map_or(true, |group| group == rustix::process::getpgrp())
}
