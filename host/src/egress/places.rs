//! The places of open connections, over all plugins: descriptors are the server's, too. Look-ups have places of their own.
//!
//! A plugin may take a further place only while it has fewer than are free, so that there is something left for the next:
//! one alone has half of all places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::log_limiter::LogLimiter;

static TAKEN: LogLimiter = LogLimiter::new("connections of plugins that have as many as they may");

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Mutex<Taken>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_plugin: HashMap<Arc<str>, usize>,
}

/// A place of an open connection. It is given back when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    plugin: Arc<str>,
}

impl Places {
    /// So many.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default(), given_back: Notify::new() })
    }

    /// Takes a place for a plugin, if it may have one more.
    pub(super) fn take(self: &Arc<Self>, plugin: &Arc<str>) -> Option<Place> {
        let mut taken = self.taken();
        let own = taken.by_plugin.get(plugin).copied().unwrap_or_default();
        if own >= self.most - taken.all {
            return None;
        }
        taken.all += 1;
        *taken.by_plugin.entry(Arc::clone(plugin)).or_default() += 1;
        Some(Place { places: Arc::clone(self), plugin: Arc::clone(plugin) })
    }

    /// The number of places that are taken.
    pub(super) fn open(&self) -> usize {
        self.taken().all
    }

    /// Waits until there is a place for a plugin.
    pub(super) async fn wait(self: &Arc<Self>, plugin: &Arc<str>) -> Place {
        loop {
            let given_back = self.given_back.notified();
            tokio::pin!(given_back);
            given_back.as_mut().enable();
            if let Some(place) = self.take(plugin) {
                return place;
            }
            given_back.await;
        }
    }

    /// Tells the operator that a plugin has as many places as it may.
    pub(super) fn tell(&self, plugin: &str) {
        let (own, all) = {
            let taken = self.taken();
            (taken.by_plugin.get(plugin).copied().unwrap_or_default(), taken.all)
        };
        let most = self.most;
        TAKEN.log_of(plugin, || {
            tracing::warn!(
                plugin,
                open = own,
                open_in_all = all,
                "plugin `{plugin}` has {own} connections open, and gets no more while fewer than that are free: \
                 {all} of {most} are open"
            );
        });
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.by_plugin.get_mut(&self.plugin) {
            *own -= 1;
            if *own == 0 {
                taken.by_plugin.remove(&self.plugin);
            }
        }
        drop(taken);
        self.places.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn all_of(places: &Arc<Places>, plugin: &str) -> Vec<Place> {
        let plugin: Arc<str> = plugin.into();
        std::iter::from_fn(|| places.take(&plugin)).collect()
    }

    #[tokio::test]
    async fn a_plugin_leaves_places_for_the_next() {
        let places = Places::new(1024);
        let greedy = all_of(&places, "greedy");
        assert_eq!(greedy.len(), 512);
        let second = all_of(&places, "second");
        assert_eq!(second.len(), 256);
        assert_eq!(all_of(&places, "third").len(), 128);

        let plugin: Arc<str> = "greedy".into();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.wait(&plugin).await }
        });
        drop((greedy, second));
        drop(tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap());
        assert!(places.taken().by_plugin.is_empty() && places.taken().all == 0);
    }

    #[test]
    fn all_may_be_taken_by_many() {
        let places = Places::new(8);
        let taken: Vec<Place> = (0..8).filter_map(|plugin| places.take(&plugin.to_string().into())).collect();
        assert_eq!(taken.len(), 8);
        assert!(places.take(&"another".into()).is_none());
    }
}
