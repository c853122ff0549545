//! The end of the first scan, and the catalogs that the registry publishes.

use tokio::time::Instant;

use super::entry::Entry;
use super::{PUBLISH_WITHIN, Registry};
use crate::plugins::catalog::{Offerings, PluginStatus};
use crate::plugins::plugin::Digest;

impl Registry {
    /// The first scan is done when all that it found has been loaded or refused, or has had `plugins.wait` for it. Whose
    /// names are whose is settled only when all have been heard.
    pub(super) fn settle_first_scan(&mut self) {
        if self.is_settled || self.is_missing {
            return;
        }
        let is_ready = self.publisher.is_ready();
        // A command looks once, and nobody pulls for it.
        let coming = if self.looks_once() { 0 } else { self.coming() };
        if self.loads.is_empty() && coming == 0 {
            self.is_settled = true;
            self.remember_what_is_asked();
            self.publish();
        } else if is_ready || self.ready_by.is_none_or(|by| Instant::now() < by) {
            return;
        } else {
            self.publish();
            let loading = self.loads.len() + coming;
            tracing::warn!(
                loading,
                "{loading} files are still being pulled or loaded after `plugins.wait`; their tools come later, by `list_changed`"
            );
        }
        if !is_ready {
            self.publisher.settle();
        }
    }

    /// Deletes code that nobody uses, if some was added since the last time.
    fn sweep_code(&mut self) {
        if !self.is_settled || !std::mem::take(&mut self.is_code_new) {
            return;
        }
        let Some(cache) = self.cache.clone() else { return };
        let in_force = |entry: &Entry| entry.offer().map(|offer| offer.plugin.digest);
        let waits = |entry: &Entry| entry.waiting.as_ref().map(|waiting| waiting.plugin.digest);
        let used = self.entries.values().flat_map(|entry| [entry.digest, in_force(entry), waits(entry)]).flatten();
        let used: Vec<Digest> = used.collect();
        tokio::task::spawn_blocking(move || cache.sweep(&used));
    }

    /// Makes a catalog of all plugins in force, and publishes it.
    pub(super) fn publish(&mut self) {
        self.find_foreign_parts();
        if std::mem::take(&mut self.retry_refused) {
            self.try_refused_again();
            self.find_foreign_parts();
        }
        self.publish_by = self.retry_refused.then(|| Instant::now() + PUBLISH_WITHIN);
        self.remember();
        let entries = || self.entries.iter().map(|(file, entry)| (file.as_str(), entry));
        let mut offerings = Offerings::default();
        entries().for_each(|(_, entry)| offerings.append(entry.offerings()));
        let announced = std::mem::take(&mut self.announced);
        let mut plugins: Vec<PluginStatus> = entries().map(|(file, entry)| entry.status(file)).collect();
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        let config = self.config();
        self.publisher.publish(|catalog| {
            let next = catalog.replaced_by(offerings, plugins, &announced, &config.view);
            let is_new_list = next.revisions().tools != catalog.revisions().tools;
            if is_new_list {
                tracing::info!(
                    tools = next.tools().len(),
                    "list of tools changed; clients that ignore `list_changed` must reconnect"
                );
            }
            next
        });
        self.runtime.warm.sweep();
        self.sweep_code();
    }
}
