//! Subscriptions to resources: few enough, and short enough, to be kept for as long as a client listens.

use std::collections::HashSet;

use crate::plugins::updates::{Subscription, Updated};

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

/// The subscriptions of one session; without a session nobody hears of them, and none are kept.
#[derive(Default)]
pub(super) struct Subscriptions {
    subscription: Option<Subscription>,
    bytes: usize,
}

/// Requires room for another subscription beside so many, whose URIs have so many bytes.
///
/// # Errors
/// There is none.
pub(super) fn require_room(count: usize, bytes: usize, uri: &str) -> Result<(), TooMany> {
    if count >= MAX_SUBSCRIPTIONS || bytes + uri.len() > MAX_SUBSCRIPTION_BYTES { Err(TooMany) } else { Ok(()) }
}

impl Subscriptions {
    /// Begins to hear of updates by this subscription, unless it does already.
    pub(super) fn hear_by(&mut self, subscription: Subscription) {
        self.subscription.get_or_insert(subscription);
    }

    /// Adds one.
    ///
    /// # Errors
    /// There is no room for another.
    pub(super) fn add(&mut self, uri: &str) -> Result<(), TooMany> {
        let Some(subscription) = self.subscription.as_mut().filter(|own| !own.has(uri)) else { return Ok(()) };
        require_room(subscription.len(), self.bytes, uri)?;
        self.bytes += uri.len();
        subscription.add(uri);
        Ok(())
    }

    pub(super) fn remove(&mut self, uri: &str) {
        if self.subscription.as_mut().is_some_and(|own| own.remove(uri)) {
            self.bytes -= uri.len();
        }
    }

    /// Has these from now on, and no others. They have room.
    pub(super) fn become_these(&mut self, uris: &[String]) {
        let Some(subscription) = self.subscription.as_ref() else { return };
        let wanted: HashSet<&str> = uris.iter().map(String::as_str).collect();
        let gone: Vec<String> = subscription.uris().filter(|own| !wanted.contains(own)).map(str::to_owned).collect();
        gone.iter().for_each(|uri| self.remove(uri));
        // Those that have no room were refused where they were asked for.
        for uri in uris {
            let _ = self.add(uri);
        }
    }

    /// Takes at most so many updates, if it is this session's turn.
    pub(super) fn take_updates(&self, max: usize) -> Vec<Updated> {
        self.subscription.as_ref().map(|own| own.take(max)).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscription.as_ref().is_none_or(Subscription::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plugins::updates::Updates;

    #[test]
    fn their_number_and_their_bytes_are_bounded() {
        let updates = Arc::new(Updates::default());
        let subscriptions = || {
            let mut subscriptions = Subscriptions::default();
            subscriptions.hear_by(updates.subscription(Arc::default()));
            subscriptions
        };
        let mut many = subscriptions();
        for number in 0..MAX_SUBSCRIPTIONS {
            many.add(&format!("x:{number}")).unwrap();
        }
        assert_eq!(many.add("x:more"), Err(TooMany));
        assert_eq!(many.add("x:7"), Ok(()));
        many.remove("x:7");
        assert_eq!((many.add("x:more"), many.add("x:7")), (Ok(()), Err(TooMany)));
        let mut long = subscriptions();
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
