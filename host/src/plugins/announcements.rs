//! Announcements of plugins: a list is another one, a resource holds something else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::updates::Updates;

/// A list that a plugin gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
}

/// Lists that plugins announced, by plugin.
pub(super) type Announced = BTreeSet<(Arc<str>, List)>;

/// Takes announcements. A list that is announced many times is announced once.
#[derive(Clone, Default)]
pub(super) struct Announcements {
    lists: Arc<Lists>,
    updates: Arc<Updates>,
}

#[derive(Default)]
struct Lists {
    /// By plugin.
    announced: Mutex<Announced>,
    news: Notify,
}

impl Announcements {
    /// Notes that one of a plugin's lists may be another.
    pub(super) fn list(&self, plugin: &Arc<str>, list: List) {
        let mut announced = self.lists.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.insert((Arc::clone(plugin), list));
        drop(announced);
        self.lists.news.notify_one();
    }

    /// Notes that a resource holds something else.
    pub(super) fn resource(&self, plugin: &Arc<str>, uri: &str) {
        self.updates.announce(plugin, uri);
    }

    /// Waits until a plugin has announced a list.
    pub(super) async fn list_announced(&self) {
        self.lists.news.notified().await;
    }

    /// Takes the lists that were announced.
    pub(super) fn take_lists(&self) -> Announced {
        std::mem::take(&mut *self.lists.announced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resources that hold something else, and those who subscribe to them.
    pub(super) fn updates(&self) -> &Arc<Updates> {
        &self.updates
    }
}
