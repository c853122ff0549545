//! Resources that hold something else, on their way to the clients that subscribe to them.
//!
//! Plugins may say so as often as they like. What they say is merged by resource, and only of resources with
//! subscribers, so that no more waits than clients have subscribed to. It is told in rounds with a pause between them,
//! and within a round the subscribers get their turns in slices, so that calls of others come in between. Nothing is
//! lost: what is said during a round, and what a subscriber does not take in its turn, is for the next one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::names::Scope;

/// Time from the beginning of a round to that of the next, and so between two notifications of one resource to one
/// client.
const INTERVAL: Duration = Duration::from_millis(100);

/// Subscribers that get their turn together: some hundred microseconds of writing.
const SLICE: usize = 32;

/// Time between two slices.
const PAUSE: Duration = Duration::from_millis(1);

/// Resources that a subscriber may take in one turn.
const TURN: usize = 64;

/// Resources, and bytes of their URIs, that wait to be told to other servers. Of a plugin that says more, any may have
/// changed.
const OTHERS_MAX: usize = 512;
const OTHERS_BYTES: usize = 64 * 1024;

/// The clients that subscribe to resources, and what was said of these.
#[derive(Default)]
pub struct Updates {
    state: Mutex<State>,
    news: Notify,
    news_for_others: Notify,
}

/// Plugins, with the URI that each speaks of; none for any of its resources.
pub type Said = BTreeSet<(Arc<str>, Option<Arc<str>>)>;

#[derive(Default)]
struct State {
    /// By URI.
    subscribers: HashMap<Arc<str>, Vec<Arc<Subscriber>>>,
    /// Plugins with the URIs of subscribed resources that they say hold something else.
    announced: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Subscribers that left something in their last turn.
    behind: Vec<Arc<Subscriber>>,
    /// What other servers are to be told, once there are any.
    for_others: Option<ForOthers>,
}

#[derive(Default)]
struct ForOthers {
    said: Said,
    bytes: usize,
}

impl ForOthers {
    /// Notes what a plugin says; true if nothing waited before.
    fn note(&mut self, plugin: &Arc<str>, uri: &str) -> bool {
        let is_first = self.said.is_empty();
        if self.said.contains(&(Arc::clone(plugin), None)) {
            return false;
        }
        if self.said.len() < OTHERS_MAX && self.bytes + uri.len() <= OTHERS_BYTES {
            if self.said.insert((Arc::clone(plugin), Some(uri.into()))) {
                self.bytes += uri.len();
            }
            return is_first;
        }
        self.said.retain(|(of, _)| of != plugin);
        self.bytes = self.said.iter().filter_map(|(_, uri)| Some(uri.as_ref()?.len())).sum();
        self.said.insert((Arc::clone(plugin), None));
        is_first
    }
}

/// The resources that one client subscribes to, until this is dropped.
pub struct Subscription {
    updates: Arc<Updates>,
    subscriber: Arc<Subscriber>,
    uris: BTreeSet<Arc<str>>,
}

struct Subscriber {
    waiting: Mutex<Waiting>,
    /// Signals a turn.
    turn: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    /// Resources, with the scopes that those who may know of them hold.
    updated: BTreeMap<Arc<str>, Arc<[Scope]>>,
    turn: Turn,
}

/// The turn of a subscriber to take what waits for it.
#[derive(Default, PartialEq, Eq)]
enum Turn {
    #[default]
    None,
    /// It comes in this round, or in the next one.
    Queued,
    Now,
}

/// A resource that holds something else.
pub struct Updated {
    /// The resource.
    pub uri: Arc<str>,
    /// The scopes that a person needs who is told of it.
    pub scopes: Arc<[Scope]>,
}

impl Updates {
    /// Makes a subscription to nothing yet. `turn` is notified when there is something to take.
    pub fn subscription(self: &Arc<Self>, turn: Arc<Notify>) -> Subscription {
        let subscriber = Arc::new(Subscriber { waiting: Mutex::default(), turn });
        Subscription { updates: Arc::clone(self), subscriber, uris: BTreeSet::new() }
    }

    /// Notes that a plugin says that a resource holds something else.
    pub(super) fn announce(&self, plugin: &Arc<str>, uri: &str) {
        let mut state = self.state();
        if let Some(for_others) = &mut state.for_others
            && for_others.note(plugin, uri)
        {
            self.news_for_others.notify_one();
        }
        let Some((uri, _)) = state.subscribers.get_key_value(uri) else { return };
        let announced = (Arc::clone(plugin), Arc::clone(uri));
        let is_first = state.announced.is_empty();
        state.announced.insert(announced);
        drop(state);
        if is_first {
            self.news.notify_one();
        }
    }

    /// Notes that a plugin says so on another server: of one resource, or that it may be any.
    pub fn announced_elsewhere(&self, plugin: &str, uri: Option<&str>) {
        let mut state = self.state();
        let subscribed: Vec<Arc<str>> = match uri {
            Some(uri) => state.subscribers.get_key_value(uri).map(|(uri, _)| Arc::clone(uri)).into_iter().collect(),
            None => state.subscribers.keys().cloned().collect(),
        };
        if subscribed.is_empty() {
            return;
        }
        let (plugin, is_first) = (Arc::<str>::from(plugin), state.announced.is_empty());
        state.announced.extend(subscribed.into_iter().map(|uri| (Arc::clone(&plugin), uri)));
        drop(state);
        if is_first {
            self.news.notify_one();
        }
    }

    /// Waits for what plugins say here from the first call on, for other servers, and takes it. Of one that says very much
    /// it is that any of its resources may have changed.
    pub async fn for_others(&self) -> Said {
        loop {
            let news = self.news_for_others.notified();
            let said = std::mem::take(self.state().for_others.get_or_insert_default());
            if !said.said.is_empty() {
                return said.said;
            }
            news.await;
        }
    }

    /// Tells subscribers, one round after the other. `scopes` has those that a person needs who is told of a plugin's
    /// own resource; of others a plugin can say nothing.
    pub(super) async fn tell(&self, scopes: impl Fn(&str, &str) -> Option<Arc<[Scope]>>) {
        loop {
            self.news.notified().await;
            let next = Instant::now() + INTERVAL;
            self.round(&scopes).await;
            sleep_until(next).await;
        }
    }

    async fn round(&self, scopes: impl Fn(&str, &str) -> Option<Arc<[Scope]>>) {
        let (announced, mut turns) = {
            let mut state = self.state();
            (std::mem::take(&mut state.announced), std::mem::take(&mut state.behind))
        };
        for (plugin, uri) in announced {
            if let Some(scopes) = scopes(&plugin, &uri) {
                self.hand_out(&uri, &scopes, &mut turns);
            }
            tokio::task::yield_now().await;
        }
        for slice in turns.chunks(SLICE) {
            slice.iter().for_each(|subscriber| subscriber.call());
            sleep(PAUSE).await;
        }
    }

    /// Hands an update to the subscribers of its resource; those who have no turn in this round yet get one.
    fn hand_out(&self, uri: &Arc<str>, scopes: &Arc<[Scope]>, turns: &mut Vec<Arc<Subscriber>>) {
        let subscribers = self.state().subscribers.get(uri).cloned().unwrap_or_default();
        turns.extend(subscribers.into_iter().filter(|subscriber| subscriber.note(uri, scopes)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Adds a resource.
    pub fn add(&mut self, uri: &str) {
        let mut state = self.updates.state();
        let shared = state.subscribers.get_key_value(uri).map(|(uri, _)| Arc::clone(uri));
        let uri = shared.unwrap_or_else(|| uri.into());
        if self.uris.insert(Arc::clone(&uri)) {
            state.subscribers.entry(uri).or_default().push(Arc::clone(&self.subscriber));
        }
    }

    /// Removes a resource; true if it was there.
    pub fn remove(&mut self, uri: &str) -> bool {
        let is_there = self.uris.remove(uri);
        if is_there {
            self.updates.state().remove(uri, &self.subscriber);
            self.subscriber.waiting().updated.remove(uri);
        }
        is_there
    }

    /// The resources.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.uris.iter().map(|uri| &**uri)
    }

    /// The number of resources.
    pub fn len(&self) -> usize {
        self.uris.len()
    }

    /// True if it has no resource.
    pub fn is_empty(&self) -> bool {
        self.uris.is_empty()
    }

    /// True if it has this resource.
    pub fn has(&self, uri: &str) -> bool {
        self.uris.contains(uri)
    }

    /// Waits for the next turn in which there is something to take, and takes it.
    pub async fn next(&self) -> Vec<Updated> {
        loop {
            let turn = self.subscriber.turn.notified();
            let updated = self.take(usize::MAX);
            if !updated.is_empty() {
                return updated;
            }
            turn.await;
        }
    }

    /// Takes at most so many updates, if it is this subscriber's turn. What is left is for the next round.
    pub fn take(&self, max: usize) -> Vec<Updated> {
        let mut waiting = self.subscriber.waiting();
        if waiting.turn != Turn::Now {
            return Vec::new();
        }
        let mut taken = Vec::new();
        while taken.len() < max.min(TURN)
            && let Some((uri, scopes)) = waiting.updated.pop_first()
        {
            taken.push(Updated { uri, scopes });
        }
        waiting.turn = if waiting.updated.is_empty() { Turn::None } else { Turn::Queued };
        let is_behind = waiting.turn == Turn::Queued;
        drop(waiting);
        if is_behind {
            self.updates.state().behind.push(Arc::clone(&self.subscriber));
            self.updates.news.notify_one();
        }
        taken
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.updates.state();
        for uri in &self.uris {
            state.remove(uri, &self.subscriber);
        }
    }
}

impl State {
    fn remove(&mut self, uri: &str, subscriber: &Arc<Subscriber>) {
        let Some(subscribers) = self.subscribers.get_mut(uri) else { return };
        if let Some(index) = subscribers.iter().position(|other| Arc::ptr_eq(other, subscriber)) {
            subscribers.swap_remove(index);
        }
        if subscribers.is_empty() {
            self.subscribers.remove(uri);
        }
    }
}

impl Subscriber {
    /// Notes an update; true if this gives the subscriber a turn.
    fn note(&self, uri: &Arc<str>, scopes: &Arc<[Scope]>) -> bool {
        let mut waiting = self.waiting();
        waiting.updated.insert(Arc::clone(uri), Arc::clone(scopes));
        let is_first = waiting.turn == Turn::None;
        if is_first {
            waiting.turn = Turn::Queued;
        }
        is_first
    }

    fn call(&self) {
        self.waiting().turn = Turn::Now;
        self.turn.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
