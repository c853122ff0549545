//! What a client of the older protocol has said for its whole session: the level of messages that it wants, and the
//! resources that it subscribes to. It is gone after a restart, and the client says it again or does without.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::plugins::wit::log::Level;

/// Resources that one session may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 1000;

pub(super) struct SessionState(Mutex<Said>);

struct Said {
    least_level: Level,
    subscriptions: BTreeSet<String>,
}

impl Default for SessionState {
    /// Without a word of the client, the server decides (MCP, server/utilities/logging).
    fn default() -> Self {
        Self(Mutex::new(Said { least_level: Level::Info, subscriptions: BTreeSet::new() }))
    }
}

impl SessionState {
    pub(super) fn least_level(&self) -> Level {
        self.said(|said| said.least_level)
    }

    pub(super) fn set_least_level(&self, level: Level) {
        self.said(|said| said.least_level = level);
    }

    /// Whether there was room for another subscription.
    pub(super) fn subscribe(&self, uri: &str) -> bool {
        self.said(|said| {
            if said.subscriptions.len() >= MAX_SUBSCRIPTIONS && !said.subscriptions.contains(uri) {
                return false;
            }
            said.subscriptions.insert(uri.to_owned());
            true
        })
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        self.said(|said| said.subscriptions.remove(uri));
    }

    pub(super) fn subscribes_to(&self, uri: &str) -> bool {
        self.said(|said| said.subscriptions.contains(uri))
    }

    fn said<T>(&self, with: impl FnOnce(&mut Said) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
