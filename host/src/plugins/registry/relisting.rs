//! Asking plugins for their lists again: those that announce that these changed, and none too often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::Entry;
use super::pending_lists::{NewLists, Step};
use super::{Registry, job};
use crate::plugins::announcements::List;

/// Time between two questions to one plugin for its lists: one that announces a change with every call makes work for
/// every client.
const RELIST_PAUSE: Duration = Duration::from_millis(250);

impl Registry {
    /// Asks plugins that announced new lists for these, each at most once in [`RELIST_PAUSE`].
    pub(super) fn list_again(&mut self) {
        let mut announced: BTreeMap<Arc<str>, BTreeSet<List>> = BTreeMap::new();
        for (plugin, list) in self.runtime.announcements.take_lists() {
            announced.entry(plugin).or_default().insert(list);
        }
        for (name, lists) in announced {
            let file = self.entries.iter().find(|(_, entry)| entry.is_serving(&name)).map(|(file, _)| file.clone());
            if let Some(file) = file {
                self.relist(&file, lists);
            }
        }
    }

    /// Asks the plugin of a file for its lists again; `lists` are those that it says are new.
    pub(super) fn relist(&mut self, file: &str, lists: BTreeSet<List>) {
        let Some(entry) = self.entries.get(file) else { return };
        let Some(offer) = entry.offer().filter(|offer| offer.plugin.interfaces.give_lists()) else { return };
        let name = Arc::clone(&offer.plugin.name);
        if let Some(pending) = self.relisting.pending.get_mut(&name) {
            pending.extend(lists);
            return;
        }
        let now = Instant::now();
        self.relisting.again_at.retain(|_, again_at| *again_at > now);
        let again_at = self.relisting.again_at.get(&name).copied().unwrap_or(now);
        self.relisting.again_at.insert(Arc::clone(&name), again_at.max(now) + RELIST_PAUSE);
        self.relisting.pending.insert(Arc::clone(&name), lists);
        self.relisting.steps.spawn(async move {
            tokio::time::sleep_until(again_at).await;
            Step::Due(name)
        });
    }

    /// Asks a plugin whose time has come for its lists, unless it is being asked already: then a little later.
    pub(super) fn relist_now(&mut self, name: Arc<str>) {
        if self.relisting.asked.contains(&name) {
            self.relisting.steps.spawn(async move {
                tokio::time::sleep(RELIST_PAUSE).await;
                Step::Due(name)
            });
            return;
        }
        let Some(lists) = self.relisting.pending.remove(&name) else { return };
        let Some(entry) = self.entries.values().find(|entry| entry.is_serving(&name)) else { return };
        let Some(offer) = entry.offer() else { return };
        let (runtime, plugin, terms) =
            (Arc::clone(&self.runtime), Arc::clone(&offer.plugin), Arc::clone(entry.terms()));
        self.relisting.asked.insert(name);
        self.relisting.steps.spawn(async move {
            let read = job::with_lists(&runtime, Arc::clone(&plugin), terms).await;
            Step::Done(Box::new(NewLists { of: plugin, lists, read }))
        });
    }

    /// Puts a plugin with new lists in force, if it is still the one that is served.
    pub(super) fn take_lists(&mut self, answer: NewLists) {
        let NewLists { of, lists, read } = answer;
        self.relisting.asked.remove(&of.name);
        // The same file, though its lists may have been asked for once more meanwhile.
        let is_served = |entry: &Entry| {
            entry.offer().is_some_and(|offer| offer.plugin.digest == of.digest && offer.plugin.name == of.name)
        };
        let Some(file) = self.entries.iter().find(|(_, entry)| is_served(entry)).map(|(file, _)| file.clone()) else {
            return;
        };
        match read {
            Ok(plugin) => {
                let plugin = Arc::new(plugin);
                self.accept(&file, Arc::clone(&plugin), Duration::ZERO);
                let offer = self.entries.get(&file).and_then(Entry::offer);
                if offer.is_some_and(|offer| Arc::ptr_eq(&offer.plugin, &plugin)) {
                    // Nobody is told of lists that wait for approval.
                    self.announced.extend(lists.into_iter().map(|list| (Arc::clone(&of.name), list)));
                }
                self.publish_soon();
            }
            Err(problem) => tracing::warn!(plugin = %of.name, "plugin `{}` keeps its lists: {problem}", of.name),
        }
    }
}
