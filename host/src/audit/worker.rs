//! The thread that writes the lines.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::file::{Destination, Written};
use super::line::Line;
use super::queue::{Queue, Work};
use crate::log_limiter::LogLimiter;

/// Time between two tries while lines cannot be written.
const PAUSE: Duration = Duration::from_secs(1);

static FAILED: LogLimiter = LogLimiter::new("failures to write the audit");

/// Starts it.
///
/// # Errors
/// The system has no thread.
pub(super) fn start(queue: Arc<Queue>, destination: Destination) -> io::Result<()> {
    let serve = move || {
        // Also if it panics: those who wait for it are let go.
        let _ended = Ended(&queue);
        run(&queue, destination);
    };
    thread::Builder::new().name("audit".to_owned()).spawn(serve).map(drop)
}

struct Ended<'q>(&'q Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn run(queue: &Queue, mut destination: Destination) {
    let mut was_failing = false;
    while let Work::Write { lost, lines, reopen } = queue.next(PAUSE) {
        let mut all = Vec::with_capacity(lines.len() + 1);
        all.extend((lost > 0).then(|| lost_line(lost)));
        let of_us = all.len();
        all.extend(lines);
        match destination.write(&all, reopen) {
            Written { error: None, .. } => {
                queue.written(all.len() - of_us);
                if std::mem::take(&mut was_failing) {
                    tracing::warn!("the audit is written again");
                }
            }
            Written { lines, error: Some(error) } => {
                was_failing = true;
                FAILED.log(
                    || tracing::error!(%error, "the audit cannot be written: {error}; `[audit]` says where it goes"),
                );
                let lost = if lines < of_us { lost } else { 0 };
                let rest = all.split_off(lines.max(of_us));
                if !queue.failed(lines.saturating_sub(of_us), lost, rest) {
                    return;
                }
            }
        }
    }
}

/// The line about those that are missing before it.
fn lost_line(lost: u64) -> String {
    let mut line = Line::new("lost");
    line.number("lines", lost);
    line.end()
}
