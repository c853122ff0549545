//! Announcements of plugins: a list is another one, a resource holds something else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, broadcast};

/// Updated resources that a slow listener may be behind; then it misses the oldest.
const UPDATES: usize = 256;

/// A list that a plugin gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
}

/// A resource holds something else than before.
#[derive(Debug, Clone)]
pub struct ResourceUpdated {
    /// The plugin that says so.
    pub plugin: Arc<str>,
    /// The resource.
    pub uri: Arc<str>,
}

/// Takes announcements. A list that is announced many times is announced once.
#[derive(Clone)]
pub(super) struct Announcements {
    lists: Arc<Lists>,
    updates: broadcast::Sender<ResourceUpdated>,
}

#[derive(Default)]
struct Lists {
    /// By plugin.
    announced: Mutex<BTreeSet<(Arc<str>, List)>>,
    news: Notify,
}

impl Announcements {
    pub(super) fn new() -> Self {
        Self { lists: Arc::default(), updates: broadcast::Sender::new(UPDATES) }
    }

    /// Notes that one of a plugin's lists may be another.
    pub(super) fn list(&self, plugin: &Arc<str>, list: List) {
        let mut announced = self.lists.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.insert((Arc::clone(plugin), list));
        drop(announced);
        self.lists.news.notify_one();
    }

    /// Tells all listeners that a resource holds something else.
    pub(super) fn resource(&self, plugin: &Arc<str>, uri: String) {
        // An error means that nobody listens.
        let _ = self.updates.send(ResourceUpdated { plugin: Arc::clone(plugin), uri: uri.into() });
    }

    /// Waits until a plugin has announced a list.
    pub(super) async fn list_announced(&self) {
        self.lists.news.notified().await;
    }

    /// Takes the lists that were announced.
    pub(super) fn take_lists(&self) -> BTreeSet<(Arc<str>, List)> {
        std::mem::take(&mut *self.lists.announced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resources that are updated from now on.
    pub(super) fn updates(&self) -> broadcast::Receiver<ResourceUpdated> {
        self.updates.subscribe()
    }
}
