//! What plugins say has changed, on its way to those who want to know.

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

/// A resource that holds something else than before.
#[derive(Debug, Clone)]
pub struct Updated {
    /// The plugin that says so.
    pub plugin: Arc<str>,
    /// The resource.
    pub uri: Arc<str>,
}

/// Takes what plugins say. Saying something many times is saying it once.
#[derive(Clone)]
pub(super) struct Changed {
    lists: Arc<Lists>,
    updates: broadcast::Sender<Updated>,
}

#[derive(Default)]
struct Lists {
    /// By plugin.
    said: Mutex<BTreeSet<(Arc<str>, List)>>,
    news: Notify,
}

impl Changed {
    pub(super) fn new() -> Self {
        Self { lists: Arc::default(), updates: broadcast::Sender::new(UPDATES) }
    }

    /// A plugin says that one of its lists may be another.
    pub(super) fn list(&self, plugin: &Arc<str>, list: List) {
        let mut said = self.lists.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert((Arc::clone(plugin), list));
        drop(said);
        self.lists.news.notify_one();
    }

    /// A plugin says that a resource holds something else.
    pub(super) fn resource(&self, plugin: &Arc<str>, uri: String) {
        // An error means that nobody listens.
        let _ = self.updates.send(Updated { plugin: Arc::clone(plugin), uri: uri.into() });
    }

    /// Waits until a plugin has said something about its lists.
    pub(super) async fn said(&self) {
        self.lists.news.notified().await;
    }

    /// Takes what was said about lists.
    pub(super) fn take_lists(&self) -> BTreeSet<(Arc<str>, List)> {
        std::mem::take(&mut *self.lists.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on.
    pub(super) fn updates(&self) -> broadcast::Receiver<Updated> {
        self.updates.subscribe()
    }
}
