//! The format of what is in a shared store, and the one in which its servers agree to write.
//!
//! Every server reads all formats up to its own ([`latest`]). It writes the *agreed* one ([`Agreed`]), which stands in the
//! store beside its mark. Servers raise that together, once all that are there read a later one
//! (`crate::replicas::agreement`); it is never lowered. So a later version writes what an earlier one reads, for as long as
//! one is there.
//!
//! A change takes a later format if an earlier version could not bear it:
//!
//! - a record that it could not read, or a field that it would lose when it reads a row, changes it and writes it back. A
//!   field that may be lost without harm needs none;
//! - another kind of hint in the place of one (`crate::replicas::Hint`), and another layout of messages;
//! - other keys, or other values behind them, for what the scripts of an earlier version read or write;
//! - another layout of what clients carry from server to server: tokens, ids of sessions, states of requests, cursors.
//!
//! Who makes such a change raises [`LATEST`] by one, writes the new thing only where [`Agreed::written`] says so, and reads
//! both. Records need nothing more: each says in which format it was written (`crate::records`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// The format of every store when it is made, whatever its server reads: one rule for all, and whoever starts beside it may
/// be of an earlier version.
pub(crate) const FIRST: u8 = 1;

/// The latest format that this version reads.
const LATEST: u8 = 1;

static IN_ITS_PLACE: OnceLock<u8> = OnceLock::new();

/// Makes this process one of a later version, which reads formats up to this one, once and before anything asks. For the
/// tests' own server: the `tinymcp` program never calls this.
pub fn read_formats_up_to(latest: u8) {
    let _ = IN_ITS_PLACE.set(latest);
}

/// The latest format that this process reads.
pub(crate) fn latest() -> u8 {
    IN_ITS_PLACE.get().copied().unwrap_or(LATEST)
}

/// The format that the servers of a store have agreed on, as far as this one has seen. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    seen: Arc<AtomicU32>,
    latest: u8,
}

impl Agreed {
    /// What a server that reads formats up to `latest` begins with.
    pub(super) fn new(seen: u32, latest: u8) -> Self {
        Self { seen: Arc::new(AtomicU32::new(seen)), latest }
    }

    /// The format in which this server writes.
    pub(crate) fn written(&self) -> u8 {
        u8::try_from(self.seen()).unwrap_or(u8::MAX).min(self.latest)
    }

    /// The latest one that it reads.
    pub(crate) fn latest(&self) -> u8 {
        self.latest
    }

    /// The agreed one, which may be later than that.
    pub(crate) fn seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }

    /// The agreed one, if this server does not read it: what it has to say about the store counts no more.
    pub(crate) fn unread(&self) -> Option<u32> {
        Some(self.seen()).filter(|seen| *seen > u32::from(self.latest))
    }

    /// The store says this one. An earlier one is none: a server that took over may not know yet what was agreed.
    pub(crate) fn note(&self, stored: u32) {
        self.seen.fetch_max(stored, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agreed_format_only_rises_and_one_that_is_not_read_is_not_written() {
        let agreed = Agreed::new(1, 2);
        let other_handle = agreed.clone();
        agreed.note(2);
        agreed.note(1);
        assert_eq!((other_handle.written(), other_handle.seen(), other_handle.unread()), (2, 2, None));
        agreed.note(300);
        assert_eq!((other_handle.written(), other_handle.seen(), other_handle.unread()), (2, 300, Some(300)));
    }
}
