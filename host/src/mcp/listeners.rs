//! Notifications of changes: one per change of a list or a resource, and none if a list stays the same.
//!
//! Nobody who reads slowly holds anybody up, and nothing piles up for them: a modern client's changes are looked at when
//! its stream takes them, and what a legacy session is told waits in its bounded event stream. Updates of resources
//! reach both in turns ([`crate::plugins::updates`]), so that no plugin that tells of many holds anybody up either.

mod changes;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::{
    PromptListChangedNotification, ResourceListChangedNotification, ResourceUpdatedNotification,
    ResourceUpdatedNotificationParam, ServerNotification, SubscriptionFilter, ToolListChangedNotification,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::changes::{Announcement, Changes, Lists};
use super::event_stream::EventStream;
use super::listener_places::{ListenerPlace, ListenerPlaces, NoPlace};
use super::preferences::Preferences;
use crate::config::names::Scope;
use crate::plugins::Plugins;
use crate::plugins::catalog::{Catalog, Revisions};
use crate::plugins::served::Served;
use crate::plugins::updates::{Subscription, Updated};
use crate::principal::{self, Principal};
use crate::view::View;

/// The clients that wait for changes.
///
/// Modern clients each wait on the channel within their own `subscriptions/listen` request. Legacy sessions are kept
/// in one list with one task for all, so that a session that ends leaves nothing behind that waits for a change.
pub(super) struct Listeners {
    plugins: Plugins,
    rules: watch::Receiver<()>,
    places: Arc<ListenerPlaces>,
    /// By session id.
    sessions: Mutex<HashMap<Arc<str>, LegacySession>>,
    /// Signals that it is the turn of one of them to hear of updated resources.
    turns: Arc<Notify>,
    draining: CancellationToken,
}

/// A legacy session.
struct LegacySession {
    stream: EventStream,
    preferences: Arc<Preferences>,
    principal: Arc<Principal>,
    /// The reach that its lists were last made for.
    reach: Reach,
    /// The lists that it has been told of, which are those at its beginning at first.
    seen: Revisions,
}

/// A modern client in its `subscriptions/listen` request.
pub(super) struct Listener {
    listeners: Arc<Listeners>,
    changes: Changes,
    accepted: SubscriptionFilter,
    subscription: Subscription,
    principal: Arc<Principal>,
    reach: Reach,
    place: ListenerPlace,
}

/// The scopes that a person could hold: with the catalog, they make the person's lists.
#[derive(Clone, PartialEq)]
struct Reach(Option<BTreeSet<String>>);

impl Reach {
    fn of(principal: &Principal) -> Self {
        Self(principal.could_hold())
    }

    fn covers(&self, served: &Served) -> bool {
        self.0.as_ref().is_none_or(|scopes| principal::has_all(scopes, served.scopes()))
    }
}

impl Lists {
    fn notifications(self) -> Vec<ServerNotification> {
        let tools = || ServerNotification::ToolListChangedNotification(ToolListChangedNotification::default());
        let prompts = || ServerNotification::PromptListChangedNotification(PromptListChangedNotification::default());
        let resources =
            || ServerNotification::ResourceListChangedNotification(ResourceListChangedNotification::default());
        let all = [self.tools.then(tools), self.prompts.then(prompts), self.resources.then(resources)];
        all.into_iter().flatten().collect()
    }

    /// The lists that have changed for a person whose scopes have changed.
    fn of_other_reach(catalog: &Catalog, before: &Reach, now: &Reach) -> Self {
        let differs = |served: &Served| before.covers(served) != now.covers(served);
        Self {
            tools: catalog.tools().iter().any(|tool| differs(&tool.served)),
            prompts: catalog.prompts().iter().any(|prompt| differs(&prompt.served)),
            resources: catalog.resources().iter().any(|resource| differs(&resource.served))
                || catalog.templates().iter().any(|template| differs(&template.served)),
        }
    }
}

impl Listeners {
    /// Starts the tasks that tell of updated resources, and legacy sessions of all changes, on `tracker` until
    /// `draining`; on a server with so many `connections`.
    pub(super) fn start(
        plugins: &Plugins,
        rules: watch::Receiver<()>,
        connections: usize,
        tracker: &TaskTracker,
        draining: CancellationToken,
    ) -> Arc<Self> {
        let updating = plugins.clone();
        tracker.spawn(draining.clone().run_until_cancelled_owned(async move { updating.tell_updates().await }));
        let (plugins, sessions, places) = (plugins.clone(), Mutex::default(), ListenerPlaces::new(connections));
        let turns = Arc::default();
        let listeners = Arc::new(Self { plugins, rules, places, sessions, turns, draining: draining.clone() });
        let telling = Arc::clone(&listeners);
        tracker.spawn(async move { draining.run_until_cancelled(telling.tell_sessions()).await });
        listeners
    }

    /// Takes a place for an event stream of this person.
    ///
    /// # Errors
    /// There is none for them.
    pub(super) fn enter(&self, principal: &Principal) -> Result<ListenerPlace, NoPlace> {
        self.places.enter(principal.person())
    }

    /// Lets a legacy session with these preferences subscribe to resources, before it is added.
    pub(super) fn prepare(&self, preferences: &Preferences) {
        preferences.hear_by(self.plugins.updates().subscription(Arc::clone(&self.turns)));
    }

    /// Adds a legacy session, which is told of what changes from now on.
    pub(super) fn add(
        &self,
        id: &Arc<str>,
        stream: EventStream,
        preferences: Arc<Preferences>,
        principal: Arc<Principal>,
    ) {
        let reach = Reach::of(&principal);
        // Whoever tells of a change holds the same lock: a list is either seen here, or told of.
        let mut sessions = self.sessions();
        let seen = revisions_at(&self.plugins.catalog(), principal.view()).unwrap_or_default();
        sessions.insert(Arc::clone(id), LegacySession { stream, preferences, principal, reach, seen });
    }

    /// Forgets a legacy session.
    pub(super) fn remove(&self, id: &str) {
        self.sessions().remove(id);
    }

    /// Begins to listen for a modern client.
    pub(super) fn listen(
        self: &Arc<Self>,
        accepted: SubscriptionFilter,
        principal: &Arc<Principal>,
        place: ListenerPlace,
    ) -> Listener {
        let (changes, reach) = (self.changes(principal.view()), Reach::of(principal));
        let mut subscription = self.plugins.updates().subscription(Arc::default());
        accepted.resource_subscriptions.iter().flatten().for_each(|uri| subscription.add(uri));
        let (listeners, principal) = (Arc::clone(self), Arc::clone(principal));
        Listener { listeners, changes, accepted, subscription, principal, reach, place }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Arc<str>, LegacySession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The changes at a view.
    fn changes(&self, view: &View) -> Changes {
        if view.is_main() {
            return Changes::of(&self.plugins, self.rules.clone());
        }
        let view = view.clone();
        let look = move |catalog: &Catalog| revisions_at(catalog, &view);
        Changes::in_view(&self.plugins, self.rules.clone(), Box::new(look))
    }

    /// The lists that the new rules have changed.
    fn follow(&self, reach: &mut Reach, principal: &Principal) -> Lists {
        let now = Reach::of(principal);
        if now == *reach {
            return Lists::default();
        }
        let lists = Lists::of_other_reach(&self.plugins.catalog_of(principal.view()), reach, &now);
        *reach = now;
        lists
    }

    async fn tell_sessions(&self) {
        let (mut catalogs, mut rules) = (self.plugins.changes(), self.rules.clone());
        loop {
            tokio::select! {
                changed = catalogs.changed() => match changed {
                    Ok(()) => self.tell_of_lists(),
                    Err(_) => return,
                },
                // The rules of a server without a login never change.
                Ok(()) = rules.changed() => self.tell_of_rules(),
                () = self.turns.notified() => self.tell_of_updates(),
            }
        }
    }

    fn tell_of_lists(&self) {
        let mut sessions = self.sessions();
        let catalog = self.plugins.catalog();
        for session in sessions.values_mut() {
            let Some(now) = revisions_at(&catalog, session.principal.view()) else { continue };
            let before = std::mem::replace(&mut session.seen, now);
            session.tell(Lists::between(before, now));
        }
    }

    fn tell_of_rules(&self) {
        for session in self.sessions().values_mut() {
            let lists = self.follow(&mut session.reach, &session.principal);
            session.tell(lists);
        }
    }

    /// The updates that this caller may know of: of resources that are at the caller's view.
    fn notifications_of(&self, updated: Vec<Updated>, principal: &Principal) -> Vec<ServerNotification> {
        if updated.is_empty() {
            return Vec::new();
        }
        let may_know = |scopes: &[Scope]| principal.holds(scopes) && principal.may_still(scopes);
        let at_view = (!principal.view().is_main()).then(|| self.plugins.catalog_of(principal.view()));
        let is_at_view = |uri: &str| match &at_view {
            None => true,
            Some(catalog) => catalog.owner_of(uri).is_some_and(|owner| may_know(owner.scopes())),
        };
        let known = updated.into_iter().filter(|updated| may_know(&updated.scopes) && is_at_view(&updated.uri));
        let notification = |updated: Updated| {
            let params = ResourceUpdatedNotificationParam::new(updated.uri.to_string());
            ServerNotification::ResourceUpdatedNotification(ResourceUpdatedNotification::new(params))
        };
        known.map(notification).collect()
    }

    fn tell_of_updates(&self) {
        for session in self.sessions().values() {
            let updated = session.preferences.take_updates(session.stream.room_for_updates());
            for notification in self.notifications_of(updated, &session.principal) {
                session.stream.tell(notification);
            }
        }
    }
}

impl LegacySession {
    fn tell(&self, lists: Lists) {
        for notification in lists.notifications() {
            self.stream.tell(notification);
        }
    }
}

/// The revisions of the lists at a view; `None` while there is no such view.
fn revisions_at(catalog: &Catalog, view: &View) -> Option<Revisions> {
    match view.name() {
        None => Some(catalog.revisions()),
        Some(name) => catalog.view(name).map(|of_view| of_view.revisions()),
    }
}

impl Listener {
    /// The subscriptions.
    pub(super) fn accepted(&self) -> &SubscriptionFilter {
        &self.accepted
    }

    /// Waits for the next notifications; `None` when the server stops, when the client may no longer listen, or when its
    /// place is taken.
    pub(super) async fn next(&mut self) -> Option<Vec<ServerNotification>> {
        let listeners = Arc::clone(&self.listeners);
        loop {
            let told = tokio::select! {
                () = listeners.draining.cancelled() => return None,
                () = self.place.evicted() => return None,
                () = self.principal.turned_away(&[]) => return None,
                change = self.changes.next() => self.told(change?),
                updated = self.subscription.next() => listeners.notifications_of(updated, &self.principal),
            };
            if !told.is_empty() {
                return Some(told);
            }
        }
    }

    fn told(&mut self, change: Announcement) -> Vec<ServerNotification> {
        let lists = match change {
            Announcement::Lists(lists) => lists,
            Announcement::Rules => self.listeners.follow(&mut self.reach, &self.principal),
        };
        let lists = Lists {
            tools: lists.tools && self.accepted.tools_list_changed == Some(true),
            prompts: lists.prompts && self.accepted.prompts_list_changed == Some(true),
            resources: lists.resources && self.accepted.resources_list_changed == Some(true),
        };
        lists.notifications()
    }
}
