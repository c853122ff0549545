//! The lines that wait for the thread that writes them.
//!
//! Invariant: lines that have a place are never thrown away, and places and lines together are no more than
//! [`LINES_MAX`].

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::AuditState;

/// Lines that wait, or will: with [`super::line::TEXT_BYTES`] for each text, some MiB.
const LINES_MAX: usize = 8192;

/// Bytes of lines that wait. Beyond them a line without a place is lost.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What happens while lines cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Everything goes on; lines are lost, and counted.
    Continue,
    /// Nothing begins that would have a line.
    Refuse,
}

/// The refusal of something whose line could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server cannot write its audit at the moment, and does nothing without: whoever runs it has to look")]
pub struct Unwritable;

/// The queue before the thread.
pub(super) struct Queue {
    on_error: OnError,
    inner: Mutex<Inner>,
    /// There is something for the thread to do.
    work: Condvar,
    /// The thread has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Inner {
    lines: VecDeque<String>,
    bytes: usize,
    /// Places whose lines are yet to come.
    reserved: usize,
    /// Lines that were thrown away since the last that was written.
    lost: u64,
    /// The same since the start.
    lost_ever: u64,
    written: u64,
    is_failing: bool,
    is_reopening: bool,
    closing: Option<Instant>,
    has_ended: bool,
}

/// The place of a line that is yet to come; given back when this is dropped without one.
pub(super) struct Place(Arc<Queue>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().reserved -= 1;
    }
}

/// What the thread is to do.
pub(super) enum Work {
    /// Write these, after the number of those that were lost before them.
    Write { lost: u64, lines: Vec<String>, reopen: bool },
    /// End.
    End,
}

impl Queue {
    pub(super) fn new(on_error: OnError) -> Self {
        Self { on_error, inner: Mutex::default(), work: Condvar::new(), ended: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a line, where lines must not be lost.
    pub(super) fn reserve(self: &Arc<Self>) -> Result<Option<Place>, Unwritable> {
        if self.on_error == OnError::Continue {
            return Ok(None);
        }
        let mut inner = self.lock();
        if inner.is_failing || inner.has_ended || inner.lines.len() + inner.reserved >= LINES_MAX {
            return Err(Unwritable);
        }
        inner.reserved += 1;
        Ok(Some(Place(Arc::clone(self))))
    }

    /// Adds a line. One without a place is lost if there is no room.
    pub(super) fn push(&self, line: String, place: Option<Place>) {
        let has_place = place.is_some();
        // It is given back before the lock is taken for the line.
        drop(place);
        let mut inner = self.lock();
        let is_full = inner.lines.len() + inner.reserved >= LINES_MAX || inner.bytes + line.len() > BYTES_MAX;
        if (is_full && !has_place) || inner.has_ended {
            inner.lose(1);
            return;
        }
        inner.bytes += line.len();
        inner.lines.push_back(line);
        if inner.lines.len() == 1 {
            self.work.notify_one();
        }
    }

    /// Has the file opened anew before the next line.
    pub(super) fn reopen(&self) {
        self.lock().is_reopening = true;
        self.work.notify_one();
    }

    /// Waits for lines. While lines cannot be written, the thread tries again after `pause`.
    pub(super) fn next(&self, pause: Duration) -> Work {
        let mut inner = self.lock();
        let began = Instant::now();
        while inner.is_failing {
            // Whoever stops the server does not wait as long.
            let pause = if inner.closing.is_some() { pause / 5 } else { pause };
            let left = pause.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            inner = self.work.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        while inner.lines.is_empty() && !inner.is_reopening && !(inner.is_failing && inner.lost > 0) {
            if inner.closing.is_some() {
                return Work::End;
            }
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.bytes = 0;
        let lines = inner.lines.drain(..).collect();
        let (lost, reopen) = (std::mem::take(&mut inner.lost), std::mem::take(&mut inner.is_reopening));
        Work::Write { lost, lines, reopen }
    }

    /// So many lines were written, and nothing is left of them.
    pub(super) fn written(&self, count: usize) {
        let mut inner = self.lock();
        inner.is_failing = false;
        inner.written += count as u64;
    }

    /// These could not be written. Returns whether the thread is to try again.
    pub(super) fn failed(&self, written: usize, lost: u64, rest: Vec<String>) -> bool {
        let mut inner = self.lock();
        inner.is_failing = true;
        inner.written += written as u64;
        inner.lost += lost;
        match self.on_error {
            OnError::Continue => inner.lose(rest.len() as u64),
            OnError::Refuse => {
                for line in rest.into_iter().rev() {
                    inner.bytes += line.len();
                    inner.lines.push_front(line);
                }
            }
        }
        inner.closing.is_none_or(|until| self.on_error == OnError::Refuse && Instant::now() < until)
    }

    /// Asks the thread to end, and waits for that.
    pub(super) fn close(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut inner = self.lock();
        inner.closing = Some(until);
        self.work.notify_all();
        while !inner.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.ended.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread has ended.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.has_ended = true;
        let left = inner.lines.len() as u64;
        inner.lines.clear();
        inner.lose(left);
        self.ended.notify_all();
    }

    pub(super) fn state(&self) -> AuditState {
        let inner = self.lock();
        AuditState {
            written: inner.written,
            lost: inner.lost_ever,
            waiting: inner.lines.len() as u64,
            is_failing: inner.is_failing,
        }
    }
}

impl Inner {
    fn lose(&mut self, lines: u64) {
        self.lost += lines;
        self.lost_ever += lines;
    }
}
