//! The changes of lists that clients are told of, as one listener hears them.

use std::sync::Arc;

use crate::plugins::Plugins;
use crate::plugins::catalog::{Catalog, Revisions};
use crate::sync::watch;

/// The lists that have changed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lists {
    pub(super) tools: bool,
    pub(super) prompts: bool,
    pub(super) resources: bool,
}

impl Lists {
    fn between(before: Revisions, now: Revisions) -> Self {
        Self {
            tools: before.tools != now.tools,
            prompts: before.prompts != now.prompts,
            resources: before.resources != now.resources,
        }
    }
}

/// A change of lists.
#[derive(Debug, Clone, Copy)]
pub(super) enum Announcement {
    /// Lists have changed for everybody.
    Lists(Lists),
    /// The rules of authorization have changed, and with them some people's lists.
    Rules,
}

/// The changes from now on.
pub(super) struct Changes {
    catalogs: watch::Receiver<Arc<Catalog>>,
    seen: Revisions,
    rules: watch::Receiver<()>,
}

impl Changes {
    pub(super) fn of(plugins: &Plugins, mut rules: watch::Receiver<()>) -> Self {
        let mut catalogs = plugins.changes();
        let seen = catalogs.borrow_and_update().revisions();
        drop(rules.borrow_and_update());
        Self { catalogs, seen, rules }
    }

    /// Waits for the next change; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Announcement> {
        let before = self.seen;
        tokio::select! {
            changed = self.catalogs.wait_for(|catalog| catalog.revisions() != before) => {
                let now = changed.ok()?.revisions();
                self.seen = now;
                Some(Announcement::Lists(Lists::between(before, now)))
            }
            // The rules of a server without a login never change.
            Ok(()) = self.rules.changed() => Some(Announcement::Rules),
        }
    }
}
