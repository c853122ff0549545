//! Preferences of a client of the older era for its whole session: the level of messages that it wants, and the
//! resources that it subscribes to. Those on a server alone do not survive a restart; several servers share them (`wishes`).

use std::sync::{Mutex, PoisonError};

use super::subscriptions::{Subscriptions, TooMany};
use crate::plugins::updates::{Subscription, Updated};
use crate::plugins::wit::log::Level;

pub(super) struct Preferences(Mutex<Values>);

struct Values {
    least_level: Level,
    subscriptions: Subscriptions,
    /// Grows with each change that several servers share: that of the latest that was taken over.
    changes: u64,
}

/// A change of preferences.
pub(super) enum Wish {
    Level(Level),
    Subscribe(String),
    Unsubscribe(String),
}

impl Default for Preferences {
    /// Until the client sets a level, the server chooses one (MCP, server/utilities/logging).
    fn default() -> Self {
        Self(Mutex::new(Values { least_level: Level::Info, subscriptions: Subscriptions::default(), changes: 0 }))
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

    /// Changes them.
    ///
    /// # Errors
    /// There is no room for another subscription.
    pub(super) fn change(&self, wish: &Wish) -> Result<(), TooMany> {
        self.with(|values| match wish {
            Wish::Level(level) => {
                values.least_level = *level;
                Ok(())
            }
            Wish::Subscribe(uri) => values.subscriptions.add(uri),
            Wish::Unsubscribe(uri) => {
                values.subscriptions.remove(uri);
                Ok(())
            }
        })
    }

    /// Takes over what several servers share, unless a later state of it was.
    pub(super) fn take_over(&self, changes: u64, level: Option<Level>, uris: &[String]) {
        self.with(|values| {
            if changes > values.changes {
                values.changes = changes;
                values.least_level = level.unwrap_or(Level::Info);
                values.subscriptions.become_these(uris);
            }
        });
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
