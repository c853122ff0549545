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
    pub(super) fn between(before: Revisions, now: Revisions) -> Self {
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

/// Finds the lists that a listener hears of in a catalog.
type Look = Box<dyn Fn(&Catalog) -> Option<Revisions> + Send + Sync>;

/// The changes from now on.
pub(super) struct Changes {
    catalogs: watch::Receiver<Arc<Catalog>>,
    look: Look,
    seen: Revisions,
    /// The lists are in the catalog. Those of a view may be about to come.
    is_there: bool,
    rules: watch::Receiver<()>,
}

impl Changes {
    /// The changes of everything.
    pub(super) fn of(plugins: &Plugins, rules: watch::Receiver<()>) -> Self {
        Self::in_view(plugins, rules, Box::new(|catalog| Some(catalog.revisions())))
    }

    /// The changes of a part of the catalog, until that is gone.
    pub(super) fn in_view(plugins: &Plugins, mut rules: watch::Receiver<()>, look: Look) -> Self {
        let mut catalogs = plugins.changes();
        let found = look(&catalogs.borrow_and_update());
        drop(rules.borrow_and_update());
        Self { catalogs, look, seen: found.unwrap_or_default(), is_there: found.is_some(), rules }
    }

    /// Waits for the next change; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Announcement> {
        let before = self.seen;
        let (look, was_there) = (&self.look, self.is_there);
        tokio::select! {
            changed = self.catalogs.wait_for(|catalog| look(catalog).map_or(was_there, |now| now != before)) => {
                let catalog = changed.ok()?;
                let now = look(&catalog)?;
                (self.seen, self.is_there) = (now, true);
                Some(Announcement::Lists(Lists::between(before, now)))
            }
            // The rules of a server without a login never change.
            Ok(()) = self.rules.changed() => Some(Announcement::Rules),
        }
    }
}
