//! The changes of the lists of all views, as the task that tells sessions hears them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::changes::{Announcement, Lists};
use crate::plugins::Plugins;
use crate::plugins::catalog::{Catalog, Revisions};
use crate::sync::watch;
use crate::view::View;

/// The changes at all views from now on.
pub(super) struct ChangesEverywhere {
    catalogs: watch::Receiver<Arc<Catalog>>,
    seen: Seen,
    rules: watch::Receiver<()>,
}

#[derive(Clone, Default)]
struct Seen {
    main: Revisions,
    views: BTreeMap<String, Revisions>,
}

/// The lists that have changed at each view.
#[derive(Debug, Clone, Default)]
pub(super) struct ListsEverywhere {
    main: Lists,
    views: BTreeMap<String, Lists>,
}

impl ListsEverywhere {
    /// Those of one view.
    pub(super) fn at(&self, view: &View) -> Lists {
        match view.name() {
            None => self.main,
            Some(name) => self.views.get(name).copied().unwrap_or_default(),
        }
    }
}

impl Seen {
    fn of(catalog: &Catalog) -> Self {
        let views = catalog.views().map(|(name, of_view)| (name.to_owned(), of_view.revisions()));
        Self { main: catalog.revisions(), views: views.collect() }
    }

    fn is_of(&self, catalog: &Catalog) -> bool {
        self.main == catalog.revisions()
            && self.views.len() == catalog.views().count()
            && catalog.views().all(|(name, of_view)| self.views.get(name) == Some(&of_view.revisions()))
    }

    fn until(&self, now: &Self) -> ListsEverywhere {
        let before = |name: &String| self.views.get(name).copied().unwrap_or_default();
        let views = now.views.iter().map(|(name, now)| (name.clone(), Lists::between(before(name), *now)));
        ListsEverywhere { main: Lists::between(self.main, now.main), views: views.collect() }
    }
}

impl ChangesEverywhere {
    pub(super) fn of(plugins: &Plugins, mut rules: watch::Receiver<()>) -> Self {
        let mut catalogs = plugins.changes();
        let seen = Seen::of(&catalogs.borrow_and_update());
        drop(rules.borrow_and_update());
        Self { catalogs, seen, rules }
    }

    /// Waits for the next change; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Announcement<ListsEverywhere>> {
        let before = &self.seen;
        tokio::select! {
            changed = self.catalogs.wait_for(|catalog| !before.is_of(catalog)) => {
                let now = Seen::of(&*changed.ok()?);
                let lists = before.until(&now);
                self.seen = now;
                Some(Announcement::Lists(lists))
            }
            Ok(()) = self.rules.changed() => Some(Announcement::Rules),
        }
    }
}
