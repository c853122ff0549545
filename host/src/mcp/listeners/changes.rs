//! The changes that clients are told of, as one listener hears them.

use std::sync::Arc;

use crate::plugins::Plugins;
use crate::plugins::announcements::ResourceUpdated;
use crate::plugins::catalog::{Catalog, Revisions};
use crate::sync::{broadcast, watch};

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

/// A change that clients are told of.
#[derive(Debug, Clone)]
pub(super) enum Announcement {
    /// Lists have changed for everybody.
    Lists(Lists),
    /// The rules of authorization have changed, and with them some people's lists.
    Rules,
    /// A resource has changed.
    Resource(ResourceUpdated),
}

/// The changes from now on.
pub(super) struct Changes {
    catalogs: watch::Receiver<Arc<Catalog>>,
    seen: Revisions,
    updates: broadcast::Receiver<ResourceUpdated>,
    rules: watch::Receiver<()>,
}

impl Changes {
    pub(super) fn of(plugins: &Plugins, mut rules: watch::Receiver<()>) -> Self {
        let mut catalogs = plugins.changes();
        let seen = catalogs.borrow_and_update().revisions();
        drop(rules.borrow_and_update());
        Self { catalogs, seen, updates: plugins.updates(), rules }
    }

    /// Waits for the next change; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Announcement> {
        let before = self.seen;
        loop {
            tokio::select! {
                changed = self.catalogs.wait_for(|catalog| catalog.revisions() != before) => {
                    let now = changed.ok()?.revisions();
                    self.seen = now;
                    return Some(Announcement::Lists(Lists::between(before, now)));
                }
                // The rules of a server without a login never change.
                Ok(()) = self.rules.changed() => return Some(Announcement::Rules),
                updated = self.updates.recv() => match updated {
                    Ok(updated) => return Some(Announcement::Resource(updated)),
                    // Too many at once: the oldest are lost.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        }
    }
}
