//! Announcements of plugins: a list is another one, a resource holds something else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::updates::Updates;

/// A list that a plugin gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
}

impl List {
    const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// Its name among servers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
        }
    }

    /// The list of this name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.name() == name)
    }
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
    /// Those that other servers are to be told of, once there are any.
    for_others: Mutex<Option<Announced>>,
    news_for_others: Notify,
}

impl Announcements {
    /// Notes that one of a plugin's lists may be another.
    pub(super) fn list(&self, plugin: &Arc<str>, list: List) {
        self.list_elsewhere(plugin, list);
        if let Some(for_others) = lock(&self.lists.for_others).as_mut() {
            for_others.insert((Arc::clone(plugin), list));
            self.lists.news_for_others.notify_one();
        }
    }

    /// The same of a plugin on another server.
    pub(super) fn list_elsewhere(&self, plugin: &Arc<str>, list: List) {
        lock(&self.lists.announced).insert((Arc::clone(plugin), list));
        self.lists.news.notify_one();
    }

    /// Waits for lists that are announced here from the first call on, for other servers, and takes them.
    pub(super) async fn lists_for_others(&self) -> Announced {
        loop {
            let news = self.lists.news_for_others.notified();
            let announced = std::mem::take(lock(&self.lists.for_others).get_or_insert_default());
            if !announced.is_empty() {
                return announced;
            }
            news.await;
        }
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
        std::mem::take(&mut *lock(&self.lists.announced))
    }

    /// Resources that hold something else, and those who subscribe to them.
    pub(super) fn updates(&self) -> &Arc<Updates> {
        &self.updates
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
