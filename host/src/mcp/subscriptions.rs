//! Subscriptions to resources: few enough, and short enough, to be kept for as long as a client listens.

use std::collections::BTreeSet;

/// The most resources that one client may subscribe to.
pub(super) const MAX_SUBSCRIPTIONS: usize = 1000;

/// The most bytes of their URIs.
pub(super) const MAX_SUBSCRIPTION_BYTES: usize = 64 * 1024;

/// The refusal of a further subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a client may subscribe to {MAX_SUBSCRIPTIONS} resources, whose URIs have {} KiB together; end some subscriptions, or \
     listen to the lists alone",
    MAX_SUBSCRIPTION_BYTES / 1024
)]
pub(super) struct TooMany;

/// The subscriptions of one session.
#[derive(Default)]
pub(super) struct Subscriptions {
    uris: BTreeSet<Box<str>>,
    bytes: usize,
}

impl Subscriptions {
    /// Adds one.
    ///
    /// # Errors
    /// There is no room for another.
    pub(super) fn add(&mut self, uri: &str) -> Result<(), TooMany> {
        if self.uris.contains(uri) {
            return Ok(());
        }
        if self.uris.len() >= MAX_SUBSCRIPTIONS || self.bytes + uri.len() > MAX_SUBSCRIPTION_BYTES {
            return Err(TooMany);
        }
        self.bytes += uri.len();
        self.uris.insert(uri.into());
        Ok(())
    }

    pub(super) fn remove(&mut self, uri: &str) {
        if self.uris.remove(uri) {
            self.bytes -= uri.len();
        }
    }

    pub(super) fn has(&self, uri: &str) -> bool {
        self.uris.contains(uri)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uris.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_number_and_their_bytes_are_bounded() {
        let mut many = Subscriptions::default();
        for number in 0..MAX_SUBSCRIPTIONS {
            many.add(&format!("x:{number}")).unwrap();
        }
        assert_eq!(many.add("x:more"), Err(TooMany));
        assert_eq!(many.add("x:7"), Ok(()));
        many.remove("x:7");
        assert!(!many.has("x:7") && many.add("x:more").is_ok());
        let mut long = Subscriptions::default();
        let uri = |number: usize| format!("x:{number}{}", "y".repeat(8000));
        for number in 0..8 {
            long.add(&uri(number)).unwrap();
        }
        assert_eq!(long.add(&uri(8)), Err(TooMany));
        long.remove(&uri(0));
        long.remove(&uri(0));
        assert_eq!(long.add(&uri(8)), Ok(()));
    }
}
