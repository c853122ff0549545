//! `tinymcp:plugin/progress`: how far a call has come, for clients that asked.

use std::time::{Duration, Instant};

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::conversation::Message;
use crate::plugins::wit::progress;
use crate::visible::cut;

/// Between two reports of one call: a person sees no more, and a client must not be flooded. The last report, which
/// reaches its total, always goes out.
const PAUSE: Duration = Duration::from_millis(20);

/// What was reported last.
#[derive(Default)]
pub(super) struct Reported(Option<(f64, Instant)>);

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    progress::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl progress::Host for Guest {
    async fn report(&mut self, done: f64, total: Option<f64>, message: Option<String>) -> wasmtime::Result<()> {
        let Some(outbox) = self.conversation.outbox.clone().filter(|outbox| outbox.wants_progress) else {
            return Ok(());
        };
        let total = total.filter(|total| total.is_finite());
        if !self.reported.admits(Instant::now(), done, total) {
            return Ok(());
        }
        // Whoever went away needs no report.
        let _ =
            outbox.messages.send(Message::Progress { done, total, message: message.as_deref().map(shortened) }).await;
        Ok(())
    }

    async fn detach(&mut self) -> wasmtime::Result<()> {
        if let Some(outbox) = self.conversation.outbox.clone() {
            let _ = outbox.messages.send(Message::Detach).await;
        }
        Ok(())
    }
}

impl Reported {
    /// Reports must grow (MCP, utilities/progress); those that do not are dropped, as are those that follow too soon.
    fn admits(&mut self, now: Instant, done: f64, total: Option<f64>) -> bool {
        let is_last = total.is_some_and(|total| done >= total);
        let fits = match self.0 {
            None => true,
            Some((before, at)) => done > before && (is_last || now.duration_since(at) >= PAUSE),
        };
        let admits = done.is_finite() && fits;
        if admits {
            self.0 = Some((done, now));
        }
        admits
    }
}

/// A message is a line beside a progress bar.
fn shortened(message: &str) -> String {
    const MAX_BYTES: usize = 1024;
    cut(message, MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_grow_and_leave_room_and_the_last_one_always_comes() {
        let (mut reported, start) = (Reported::default(), Instant::now());
        let soon = start + PAUSE;
        assert!(!reported.admits(start, f64::NAN, None));
        assert!(reported.admits(start, 0.0, Some(10.0)));
        assert!(!reported.admits(start, 1.0, Some(10.0)), "too soon");
        assert!(!reported.admits(soon, 0.0, Some(10.0)), "no more than before");
        assert!(reported.admits(soon, 2.0, Some(10.0)));
        assert!(reported.admits(soon, 10.0, Some(10.0)), "the last");
        assert!(!reported.admits(soon, 10.0, Some(10.0)), "not twice");
    }
}
