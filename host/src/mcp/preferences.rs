//! Preferences of a client of the older era for its whole session: the level of messages that it wants, and the
//! resources that it subscribes to. They do not survive a restart.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::plugins::wit::log::Level;

/// Resources that one session may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 1000;

pub(super) struct Preferences(Mutex<Values>);

struct Values {
    least_level: Level,
    subscriptions: BTreeSet<String>,
}

impl Default for Preferences {
    /// Until the client sets a level, the server chooses one (MCP, server/utilities/logging).
    fn default() -> Self {
        Self(Mutex::new(Values { least_level: Level::Info, subscriptions: BTreeSet::new() }))
    }
}

impl Preferences {
    pub(super) fn least_level(&self) -> Level {
        self.with(|values| values.least_level)
    }

    pub(super) fn set_least_level(&self, level: Level) {
        self.with(|values| values.least_level = level);
    }

    /// Adds a subscription, if there is room for another.
    pub(super) fn subscribe(&self, uri: &str) -> bool {
        self.with(|values| {
            if values.subscriptions.len() >= MAX_SUBSCRIPTIONS && !values.subscriptions.contains(uri) {
                return false;
            }
            values.subscriptions.insert(uri.to_owned());
            true
        })
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        self.with(|values| values.subscriptions.remove(uri));
    }

    pub(super) fn subscribes_to(&self, uri: &str) -> bool {
        self.with(|values| values.subscriptions.contains(uri))
    }

    fn with<T>(&self, with: impl FnOnce(&mut Values) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
