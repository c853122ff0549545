//! The audit: who did what and when, one line of JSON for each event, apart from the log.
//!
//! [`Audit`] is the handle: cheap to clone, and nothing where the audit is off. Whoever has an event says so with
//! [`Audit::record`]; whoever begins something that must not go unrecorded asks with [`Audit::admit`] first. An
//! [`event::Event`] is data; `line` makes a line of it, in which nobody's text can end the line or forge a member; `queue`
//! holds lines until the thread of `worker` has written them to what `file` keeps open. `people` writes persons in clear or
//! as a keyed hash. [`read`] finds lines again. The events are counted for the metrics too (`counted`).
//!
//! Nothing here knows of HTTP, of the protocol or of WebAssembly.
//!
//! What is promised: a line that is recorded is handed to the system in the order of its recording, by one thread, and no
//! request waits for that. With [`OnError::Continue`] lines that cannot be written are counted, and the first line that can
//! be says how many are missing. With [`OnError::Refuse`] a place for the line is reserved before its event begins, and none
//! is to be had while the last write has failed; lines that have a place are kept until they are written, so that none is
//! missing as long as the process lives. Those few that were let in before the failure was noticed have a place.

mod counted;
pub mod event;
mod file;
mod line;
mod people;
mod queue;
pub mod read;
mod strangers;
#[cfg(test)]
mod tests;
pub mod time;
mod who;
mod worker;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use self::event::Event;
use self::file::Destination;
pub use self::file::Target;
use self::line::Line;
pub use self::people::{PURPOSE as PEOPLE_PURPOSE, PeopleKeys, PeopleStyle};
pub use self::queue::{OnError, Unwritable};
use self::queue::{Place, Queue};
use self::strangers::Strangers;
use crate::metrics::Metrics;

/// The time that a stopping server gives the thread to write what is left.
const CLOSING: Duration = Duration::from_secs(5);

/// Room for the line of one act, whose texts are all short.
const ONE_LINE_BYTES: u64 = 8 * 1024;

/// The settings of an audit.
#[derive(Debug)]
pub struct Settings {
    /// Where the lines go.
    pub target: Target,
    /// What happens while they cannot.
    pub on_error: OnError,
    /// The form of persons in them.
    pub people: PeopleStyle,
}

/// The handle of the audit. Clones are handles to the same.
#[derive(Clone, Default)]
pub struct Audit {
    shared: Option<Arc<Shared>>,
    metrics: Metrics,
}

struct Shared {
    queue: Arc<Queue>,
    people: PeopleStyle,
    strangers: Strangers,
}

/// The leave to begin something that has a line, and the place of that line.
#[must_use]
pub struct Leave {
    audit: Audit,
    place: Option<Place>,
}

impl Audit {
    /// Opens the destination, and starts the thread that writes.
    ///
    /// # Errors
    /// The file cannot be opened, or is none.
    pub fn start(settings: Settings, metrics: Metrics) -> io::Result<Self> {
        let Settings { target, on_error, people } = settings;
        let destination = Destination::open(target)?;
        let queue = Arc::new(Queue::new(on_error));
        worker::start(Arc::clone(&queue), destination)?;
        let of_queue = Arc::clone(&queue);
        metrics.watch_audit(move || of_queue.state());
        Ok(Self { shared: Some(Arc::new(Shared { queue, people, strangers: Strangers::default() })), metrics })
    }

    /// Starts it for one act of a process that ends with it: where nothing may be done without a line, there is room for
    /// that line.
    ///
    /// # Errors
    /// The same, or the disk has no room.
    pub fn start_for_one(settings: Settings) -> io::Result<Self> {
        if let (OnError::Refuse, Target::File(path)) = (settings.on_error, &settings.target) {
            file::reserve(path, ONE_LINE_BYTES)?;
        }
        Self::start(settings, Metrics::default())
    }

    /// No audit: its events are counted for the metrics alone.
    pub fn off(metrics: Metrics) -> Self {
        Self { shared: None, metrics }
    }

    /// True if events have lines.
    pub fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    /// Writes a line about something that has happened.
    pub fn record(&self, event: &Event<'_>) {
        self.count(event);
        if let Some(shared) = &self.shared
            && let Some(line) = shared.line(event)
        {
            shared.queue.push(line, None);
        }
    }

    /// Asks whether something may begin that will have a line, and reserves the place for it.
    ///
    /// # Errors
    /// [`Unwritable`], with [`OnError::Refuse`] alone: lines cannot be written, or too many wait to be.
    pub fn admit(&self) -> Result<Leave, Unwritable> {
        let place = match &self.shared {
            None => None,
            Some(shared) => shared.queue.reserve()?,
        };
        Ok(Leave { audit: self.clone(), place })
    }

    /// Opens the file anew, as it is done when it has been moved.
    pub fn reopen(&self) {
        if let Some(shared) = &self.shared {
            shared.queue.reopen();
        }
    }

    /// Ends the thread when it has written what there is, or cannot. Blocks for some seconds at most.
    pub fn close(&self) {
        if let Some(shared) = &self.shared {
            shared.queue.close(CLOSING);
        }
    }

    /// True if no line was lost, and none waits.
    pub fn is_complete(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let state = shared.queue.state();
            state.lost == 0 && state.waiting == 0 && !state.is_failing
        })
    }

    fn count(&self, event: &Event<'_>) {
        if self.metrics.is_on() {
            counted::count(&self.metrics, event);
        }
    }
}

impl Leave {
    /// Writes the line of what was let in.
    pub fn record(self, event: &Event<'_>) {
        self.audit.count(event);
        if let Some(shared) = &self.audit.shared
            && let Some(line) = shared.line(event)
        {
            shared.queue.push(line, self.place);
        }
    }
}

impl Shared {
    /// The line of an event; none for a refusal of strangers beyond those that a minute has lines for.
    fn line(&self, event: &Event<'_>) -> Option<String> {
        if !event.has_line() {
            return None;
        }
        let mut left_out = 0;
        if event.is_of_stranger() {
            left_out = self.strangers.admit()?;
        }
        let mut line = Line::new(event.kind());
        event.write(&mut line, &self.people);
        if left_out > 0 {
            line.number("left_out", left_out);
        }
        Some(line.end())
    }
}
