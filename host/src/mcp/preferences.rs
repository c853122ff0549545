//! Preferences of a client of the older era for its whole session: the level of messages that it wants, and the
//! resources that it subscribes to. They do not survive a restart.

use std::sync::{Mutex, PoisonError};

use super::subscriptions::{Subscriptions, TooMany};
use crate::plugins::updates::{Subscription, Updated};
use crate::plugins::wit::log::Level;

pub(super) struct Preferences(Mutex<Values>);

struct Values {
    least_level: Level,
    subscriptions: Subscriptions,
}

impl Default for Preferences {
    /// Until the client sets a level, the server chooses one (MCP, server/utilities/logging).
    fn default() -> Self {
        Self(Mutex::new(Values { least_level: Level::Info, subscriptions: Subscriptions::default() }))
    }
}

impl Preferences {
    /// True if the client has stated none.
    pub(super) fn are_default(&self) -> bool {
        self.with(|values| values.least_level == Level::Info && values.subscriptions.is_empty())
    }

    pub(super) fn least_level(&self) -> Level {
        self.with(|values| values.least_level)
    }

    pub(super) fn set_least_level(&self, level: Level) {
        self.with(|values| values.least_level = level);
    }

    /// Adds a subscription.
    ///
    /// # Errors
    /// There is no room for another.
    pub(super) fn subscribe(&self, uri: &str) -> Result<(), TooMany> {
        self.with(|values| values.subscriptions.add(uri))
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        self.with(|values| values.subscriptions.remove(uri));
    }

    /// Begins to hear of updated resources by this subscription, unless it does already.
    pub(super) fn hear_by(&self, subscription: Subscription) {
        self.with(|values| values.subscriptions.hear_by(subscription));
    }

    /// Takes at most so many updates of resources that the client subscribes to, if it is its turn.
    pub(super) fn take_updates(&self, max: usize) -> Vec<Updated> {
        self.with(|values| values.subscriptions.take_updates(max))
    }

    fn with<T>(&self, with: impl FnOnce(&mut Values) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
